// What an HTTP engine needs of outbound/ or inbound/: where its requests go, and where they are counted.
import type { Endpoint, EndpointSource } from "../balance/mod.ts"
import type { LogFields, Logger } from "../log.ts"
import { type Clock, formatAddress } from "../net/mod.ts"
import type { ServiceRoutes } from "../route/mod.ts"
import type { AuthorityLabel, Direction, HttpScope, ScopeLabels, Telemetry } from "../telemetry/mod.ts"
import { ReplayBudget } from "../wire/mod.ts"
import type { HttpEnv } from "./env.ts"
import { Exchange } from "./exchange.ts"
import type { AccessLog } from "./exchange_facts.ts"
import { MirrorBudget, type MirrorTerms } from "./mirror.ts"
import {
  isByPolicy,
  newErrorId,
  proxyErrorValue,
  REFUSAL_LIMITED,
  REFUSAL_OVERLOAD,
  type Refusal,
} from "./refusal.ts"
import type { RequestGuard } from "./request_guard.ts"
import type { Tracer } from "./request_trace.ts"
import type { RequestView } from "./request_view.ts"
import { RulePlans } from "./rule_plan.ts"

/** Requests in flight per direction, beyond which new ones are refused (Linkerd's figure; each costs a few KB). */
export const MAX_REQUESTS_IN_FLIGHT = 100_000

const NO_FIELDS: LogFields = {}

/** Counts what is in flight in one direction; shared by all its connections. */
export class Admission {
  inFlight = 0
  readonly limit: number
  /** Of the bodies that are kept to be sent again. */
  readonly replay: ReplayBudget
  /** Of the copies that mirrors get. */
  readonly mirrors = new MirrorBudget()

  constructor(limit: number = MAX_REQUESTS_IN_FLIGHT, replay: ReplayBudget = new ReplayBudget()) {
    this.limit = limit
    this.replay = replay
  }
}

/** Where requests of a connection go. Fields are read at each request: discovery may change them. */
export interface HttpTarget {
  /** Chooses the endpoint. */
  readonly source: EndpointSource
  /** Labels of the requests; a change is told by another object. */
  readonly labels: ScopeLabels
  /** `authority` label where a request bears none: the service's full name, or "". */
  readonly defaultAuthority: string
  /** Routes and settings of the service; null where it has none, and inbound. */
  readonly routes: ServiceRoutes | null
  /** Port that the client called. */
  readonly port: number
}

/** One per accepted connection. */
export interface HttpService {
  /** 0 inbound, 1 outbound. */
  readonly direction: Direction
  /** What bodies that are kept to be sent again may take. */
  readonly replay: ReplayBudget
  /** What copies of requests need. */
  mirrorTerms(env: HttpEnv): MirrorTerms
  /** Starts the exchange of a request. Never throws. */
  begin(request: RequestView): Exchange
  /** Null where a request under way may go on, after the rules have changed; else what to answer. */
  reexamine(request: RequestView): Refusal | null
  /**
   * Refuses what never became a request (a malformed or oversized head): logs it and gives the value of the
   * conduit-proxy-error field.
   */
  refuse(refusal: Refusal, detail: string): string
}

/** Parts of a service. */
export interface HttpServiceOptions {
  readonly direction: Direction
  readonly target: HttpTarget
  readonly telemetry: Telemetry
  readonly clock: Clock
  readonly log: Logger
  /** Shared by all connections of a direction. */
  readonly admission: Admission
  /** Uniform, 0 to 1. Default: Math.random. */
  readonly random?: () => number
  /** Facts for the log that tell which connection this is: `conn`, `peer`, `dst`. */
  readonly fields?: Readonly<Record<string, string | number>>
  /** Decides on each request; null (the default) for none, as outbound. */
  readonly guard?: RequestGuard | null
  /** Version of HTTP that the connection speaks. Default: 1. */
  readonly httpVersion?: 1 | 2
  /** Told of each exchange that is over. Default: null, for none. */
  readonly accessLog?: AccessLog | null
  /** Decides which requests belong to a trace. Default: null, for none. */
  readonly tracer?: Tracer | null
  /** Told of every endpoint that could not be reached. Default: nobody. */
  readonly onUnreached?: (() => void) | undefined
}

/** Makes the service of one accepted connection. */
export function createHttpService(options: HttpServiceOptions): HttpService {
  return new HttpContext(options)
}

/** The service and what its exchanges share. For `Exchange` only; others see `HttpService`. */
export class HttpContext implements HttpService {
  readonly direction: Direction
  readonly target: HttpTarget
  readonly telemetry: Telemetry
  readonly clock: Clock
  readonly log: Logger
  readonly admission: Admission
  readonly replay: ReplayBudget
  readonly random: () => number
  readonly httpVersion: 1 | 2
  readonly accessLog: AccessLog | null
  readonly tracer: Tracer | null
  readonly onUnreached: (() => void) | undefined
  private readonly guard: RequestGuard | null
  private readonly fields: Readonly<Record<string, string | number>>
  private scope: HttpScope
  private labels: ScopeLabels
  /** Of the routes that were met last, and the labels. */
  private plans: RulePlans | null = null

  constructor(options: HttpServiceOptions) {
    this.direction = options.direction
    this.target = options.target
    this.telemetry = options.telemetry
    this.clock = options.clock
    this.log = options.log
    this.admission = options.admission
    this.replay = options.admission.replay
    this.random = options.random ?? Math.random
    this.guard = options.guard ?? null
    this.fields = options.fields ?? {}
    this.httpVersion = options.httpVersion ?? 1
    this.accessLog = options.accessLog ?? null
    this.tracer = options.tracer ?? null
    this.onUnreached = options.onUnreached
    this.labels = options.target.labels
    this.scope = options.telemetry.http.scope(this.labels)
  }

  begin(request: RequestView): Exchange {
    if (this.target.labels !== this.labels) {
      this.labels = this.target.labels
      this.plans = null
      this.scope = this.telemetry.http.scope(this.labels)
    }
    const authority = request.authority === "" ? this.target.defaultAuthority : request.authority
    const { guard } = this
    const denied = guard === null ? null : guard.refuse(request)
    const refusal =
      denied === null && this.admission.inFlight >= this.admission.limit ? REFUSAL_OVERLOAD : denied
    this.admission.inFlight++
    const label = this.telemetry.authorities.of(authority)
    const { routes } = this.target
    if (routes !== null && !routes.isNeutral && refusal === null)
      return this.beginRouted(routes, request, label)
    const exchange = new Exchange(this, this.scope, this.learned(request), label, request, refusal)
    if (guard !== null) {
      if (denied !== null) exchange.guardAnswer = guard.answer
      else if (refusal === null) exchange.held = guard.held
      else if (guard.held !== null) guard.held.forget()
    }
    return exchange
  }

  /** As `begin`, by the routes and settings of the service. */
  private beginRouted(routes: ServiceRoutes, request: RequestView, label: AuthorityLabel): Exchange {
    const plans = this.plansOf(routes)
    const rule = routes.isRouted ? routes.table.match(request) : null
    const plan = rule === null ? plans.rest : plans.plan(rule)
    const routing = plan.routing(request, this.target.port, this.random)
    const { nowMs } = this.clock
    const times = plan.times(request, nowMs)
    if (plan.retry !== null) routes.budget.deposit(nowMs)
    const { refusal, source } = routing
    const scope = plan.scope ?? this.scope
    const route = plan.scope ?? (refusal === null ? this.learned(request) : this.scope)
    const own = routing.isBare ? null : routing
    return new Exchange(this, scope, route, label, request, refusal, own, source, times)
  }

  private plansOf(routes: ServiceRoutes): RulePlans {
    if (this.plans === null || this.plans.routes !== routes)
      this.plans = RulePlans.of(routes, this.labels, this.telemetry.http)
    return this.plans
  }

  /** The route of a request that no rule takes. */
  private learned({ method, path, isGrpc }: RequestView): HttpScope {
    const { learned } = this.scope
    return learned === null ? this.scope : learned.of(method, path, isGrpc)
  }

  mirrorTerms(env: HttpEnv): MirrorTerms {
    const { admission, telemetry, random } = this
    return { budget: admission.mirrors, counts: telemetry.mirrors, env, random }
  }

  /** Address and port of the client. */
  get peer(): string {
    return String(this.fields.peer ?? "")
  }

  /** Address and port that it called. */
  get destination(): string {
    return String(this.fields.dst ?? "")
  }

  reexamine(request: RequestView): Refusal | null {
    const { guard } = this
    return guard === null || guard.stillAllows(request) ? null : guard.denial
  }

  refuse(refusal: Refusal, detail: string): string {
    const id = newErrorId()
    this.telemetry.malformed.value++
    this.keep(id, refusal, null, detail, null)
    this.log.info(`refused: ${refusal.reason}`, { ...this.fields, id, status: refusal.status, detail })
    return proxyErrorValue(refusal, id)
  }

  /** `address:port` of the client. */
  get client(): string {
    return String(this.fields.peer ?? "")
  }

  /** DNS name that the client proved; "" for none. */
  get clientId(): string {
    return this.guard?.clientId ?? ""
  }

  /** Logs a refused exchange and gives the value of the conduit-proxy-error field. */
  refuseExchange(refusal: Refusal, request: RequestView, detail: string, endpoint: Endpoint | null): string {
    const id = newErrorId()
    this.keep(id, refusal, request, detail, endpoint)
    const reasons = isByPolicy(refusal) && this.guard !== null ? this.guard.refusedFields() : NO_FIELDS
    if (reasons === null) return proxyErrorValue(refusal, id)
    this.log.info(`refused: ${refusal.reason}`, {
      ...this.fields,
      ...reasons,
      id,
      status: refusal.status,
      method: request.method,
      authority: request.authority,
      path: request.path,
      ...(endpoint === null ? {} : { endpoint: `${endpoint.address}:${endpoint.port}` }),
      ...(detail === "" ? {} : { detail }),
    })
    return proxyErrorValue(refusal, id)
  }

  /** Keeps the whole story of a refusal for whoever asks about its id. */
  private keep(
    id: string,
    refusal: Refusal,
    request: RequestView | null,
    detail: string,
    endpoint: Endpoint | null,
  ): void {
    const { guard } = this
    const { reason, status } = refusal
    this.telemetry.refusals.add({
      id,
      timeMs: Date.now(),
      direction: this.direction,
      reason,
      status,
      method: request?.method ?? "",
      authority: request?.authority ?? "",
      path: request?.path ?? "",
      clientIp: hostOf(this.peer),
      clientId: guard?.clientId ?? "",
      destination: this.destination,
      endpoint: endpoint === null ? "" : formatAddress(endpoint.address, endpoint.port),
      verdict: isByPolicy(refusal) && refusal !== REFUSAL_LIMITED ? (guard?.refused ?? null) : null,
      detail,
    })
  }
}

/** `10.0.0.1` of `10.0.0.1:80`, `fd00::1` of `[fd00::1]:80`. */
function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "")
}
