// The routes of one service as a proxy holds them: the compiled table, the endpoints of the backends that it names, and
// the retry budget. Lives as long as the routes do not change; endpoints come and go in place.
import {
  NO_BACKEND,
  RetryRule,
  ROUTE_KIND_GRPC,
  ROUTE_KIND_HTTP,
  ROUTE_KIND_TCP,
  ROUTE_KIND_TLS,
  type RoutesConfig,
  RouteTable,
  type Rule,
} from "../../protos/routes/mod.ts"
import type {
  AccrualConfig,
  BalancingConfig,
  EndpointSet,
  EndpointSource,
  EndpointUpdate,
} from "../balance/mod.ts"
import { hasTimeouts } from "./request_times.ts"
import { RetryBudget } from "./retry_budget.ts"

/** A port of another Service that rules send to. */
export interface BackendInfo {
  readonly namespace: string
  readonly name: string
  readonly port: number
  readonly fqdn: string
  readonly protocol: number
  readonly accrual: AccrualConfig | null
  readonly balancing: BalancingConfig | null
}

const NOWHERE: EndpointSource = { pick: () => null }

/** A backend with its endpoints, as discovery names it. */
export interface BackendUpdate {
  readonly info: BackendInfo
  readonly endpoints: readonly EndpointUpdate[]
}

/** A backend with its endpoints. */
export class RouteBackend {
  readonly info: BackendInfo
  readonly endpoints: EndpointSet

  constructor(info: BackendInfo, endpoints: EndpointSet) {
    this.info = info
    this.endpoints = endpoints
  }
}

/** The routes of one service. */
export class ServiceRoutes {
  readonly config: RoutesConfig
  /** Whether it changes nothing about an HTTP request: settings of balancing and breakers hold for endpoints alone. */
  readonly isNeutral: boolean
  /** Whether requests go by rules: one that meets none goes nowhere. */
  readonly isRouted: boolean
  /** Whether TCPRoutes say where connections go, whatever these carry. */
  readonly isByConnection: boolean
  readonly table: RouteTable
  /** Of requests that meet no route, because the service has none. */
  readonly retry: RetryRule | null
  /** Shared by all requests to the service. */
  readonly budget: RetryBudget
  readonly backends: readonly RouteBackend[]
  private readonly own: EndpointSet

  private constructor(
    config: RoutesConfig,
    own: EndpointSet,
    backends: readonly RouteBackend[],
    budget: RetryBudget,
  ) {
    this.config = config
    this.isNeutral = isNeutral(config)
    this.isRouted = isRouted(config)
    this.isByConnection = config.kind === ROUTE_KIND_TCP
    this.table = new RouteTable(config)
    this.retry = config.retry === null ? null : new RetryRule(config.retry)
    this.own = own
    this.backends = backends
    this.budget = budget
  }

  /**
   * Routes that take the place of others (null: of none). Endpoints of backends that stay keep load, pools and metrics,
   * and the budget goes on.
   *
   * @param own  endpoints of the service itself
   */
  static replace(
    before: ServiceRoutes | null,
    config: RoutesConfig,
    backends: readonly BackendUpdate[],
    own: EndpointSet,
    nowMs: number,
  ): ServiceRoutes {
    const known = new Map<string, EndpointSet>()
    for (const { info, endpoints } of before?.backends ?? []) known.set(keyOf(info), endpoints)
    const made = backends.map(({ info, endpoints }) => {
      const key = keyOf(info)
      const set = known.get(key) ?? own.sibling()
      known.delete(key)
      set.replace(endpoints, nowMs)
      return new RouteBackend(info, set)
    })
    for (const gone of known.values()) gone.clear()
    own.setAccrual(config.accrual)
    own.setBalancing(config.balancing)
    for (const { info, endpoints } of made) {
      endpoints.setAccrual(info.accrual)
      endpoints.setBalancing(info.balancing)
    }
    // The same routes once more, after a reconnect: whoever holds them goes on with them.
    if (before !== null && before.own === own && isSame(before, config, made)) return before
    return new ServiceRoutes(config, own, made, before?.budget ?? new RetryBudget())
  }

  /** A change to the endpoints of one backend; a number that is none is ignored. */
  updateBackend(
    number: number,
    removed: readonly { readonly address: string; readonly port: number }[],
    added: readonly EndpointUpdate[],
    nowMs: number,
  ): void {
    this.backends[number - 1]?.endpoints.update(removed, added, nowMs)
  }

  /** The service is gone, or has no routes any more. */
  clear(): void {
    this.own.setAccrual(null)
    this.own.setBalancing(null)
    for (const backend of this.backends) backend.endpoints.clear()
  }

  /** Backend of a number above 0; null for the service itself and for what is none. */
  backend(number: number): RouteBackend | null {
    return this.backends[number - 1] ?? null
  }

  /** Endpoints of a number: 0 is the service itself; null for what is none. */
  endpoints(number: number): EndpointSet | null {
    return number === 0 ? this.own : (this.backends[number - 1]?.endpoints ?? null)
  }

  /**
   * Endpoints for one connection, by the rule of a TLSRoute or TCPRoute where there are such: none for a share that leads
   * nowhere, and for a name that no TLSRoute takes.
   *
   * @param random  uniform, 0 to 1
   * @param serverName  that the client's TLS asks for; "" for none
   */
  connection(random: number, serverName: string): EndpointSource {
    const { kind } = this.config
    if (kind !== ROUTE_KIND_TLS && kind !== ROUTE_KIND_TCP) return this.own
    const rule = this.table.ofServerName(serverName)
    if (rule === null) return NOWHERE
    const chosen = rule.config.backends[this.choose(rule, random)]
    return (chosen === undefined ? null : this.endpoints(chosen.backend)) ?? NOWHERE
  }

  /** Index of the backend that all requests of a rule go to, or NO_BACKEND where `choose` has to be asked. */
  onlyBackend({ config }: Rule): number {
    const { backends, fault } = config
    const index = backends.findIndex(({ weight }) => weight > 0)
    const only = backends[index]
    if (fault !== "" || only === undefined || only.fault !== "") return NO_BACKEND
    const isOnly = backends.every(({ weight }, i) => i === index || weight <= 0)
    return isOnly && this.endpoints(only.backend) !== null ? index : NO_BACKEND
  }

  /**
   * Chooses a backend of a rule: its index among the rule's, or NO_BACKEND for 500 (no backend, none with a weight, one
   * with a fault, or the rule has a fault itself). Shares are even: any hundred requests are spread by them.
   *
   * @param random  uniform, 0 to 1; the rule's first choice is made by it
   */
  choose(rule: Rule, random: number): number {
    if (rule.config.fault !== "") return NO_BACKEND
    const index = rule.pick.pick(rule.points.next(random))
    const chosen = rule.config.backends[index]
    if (chosen === undefined || chosen.fault !== "" || this.endpoints(chosen.backend) === null)
      return NO_BACKEND
    return index
  }
}

function isRouted({ kind }: RoutesConfig): boolean {
  return kind === ROUTE_KIND_HTTP || kind === ROUTE_KIND_GRPC
}

function isNeutral(config: RoutesConfig): boolean {
  const { retry, timeouts, injected } = config
  return !isRouted(config) && retry === null && injected === null && !hasTimeouts(timeouts)
}

function isSame(before: ServiceRoutes, config: RoutesConfig, backends: readonly RouteBackend[]): boolean {
  return (
    JSON.stringify(before.config) === JSON.stringify(config) &&
    before.backends.length === backends.length &&
    before.backends.every((backend, i) => JSON.stringify(backend.info) === JSON.stringify(backends[i]?.info))
  )
}

function keyOf(info: BackendInfo): string {
  return `${info.namespace}/${info.name}:${info.port}`
}
