// The routes of a Service's port as proxies get them: references resolved, defaults filled in, matches in order.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type {
  HeaderModifier,
  PathModifier,
  Route,
  RouteFilters,
  RouteRule,
  ServiceTraffic,
} from "../../deploy/gateway/mod.ts"
import { destinationV1 } from "../../protos/mod.ts"
import type { ClusterStore, ServicePort, ServiceRecord } from "../cluster/mod.ts"
import { type Binding, bindingOf, orderedMatches, resolveBackend } from "../routing/mod.ts"

/** Matches that a port's routes may have in all; those with the least precedence are left out. */
export const MAX_MATCHES_PER_PORT = 4096
/** Other Services that a port's routes may send to; further ones answer 500. */
export const MAX_BACKENDS_PER_PORT = 256

type RuleInit = MessageInitShape<typeof destinationV1.HttpRouteSchema>
type MatchInit = MessageInitShape<typeof destinationV1.RouteMatchSchema>
type FiltersInit = MessageInitShape<typeof destinationV1.RouteFiltersSchema>
type PathInit = MessageInitShape<typeof destinationV1.PathModifierSchema>

/** Where a rule is written. */
export interface RuleOrigin {
  readonly route: Route
  /** Place in `spec.rules`. */
  readonly index: number
}

/** Routes of a port in plain data, and the Services that they send to besides the port's own. */
export interface PortRoutes {
  readonly kind: destinationV1.RouteKind
  readonly rules: readonly RuleInit[]
  /** Where each rule is written. */
  readonly origins: readonly RuleOrigin[]
  /** By number, from 1. */
  readonly backends: readonly { readonly service: ServiceRecord; readonly port: ServicePort }[]
  /** Keys of the Services that any rule refers to, there or not: a change of one may change the routes. */
  readonly dependsOn: readonly string[]
}

const { RouteKind, MatchKind } = destinationV1
const KINDS = {
  HTTPRoute: RouteKind.HTTP,
  GRPCRoute: RouteKind.GRPC,
  TLSRoute: RouteKind.TLS,
  TCPRoute: RouteKind.TCP,
} as const
const MATCH_KINDS = {
  exact: MatchKind.UNSPECIFIED,
  prefix: MatchKind.PREFIX,
  regex: MatchKind.REGEX,
} as const

/** Routes of a port for clients of a namespace; null when there are none. */
export function portRoutes(
  store: ClusterStore,
  service: ServiceRecord,
  port: ServicePort,
  clientNamespace: string,
): PortRoutes | null {
  const binding = bindingOf(store, service, port, clientNamespace)
  if (binding === null) return null
  return new Flattening(store, service, port, binding).finish()
}

/** A Service's annotations, as far as proxies act on them. */
export function trafficFields({ retry, timeouts, accrual, balancing, fault }: ServiceTraffic) {
  const { requestMs, responseMs, idleMs } = timeouts
  const attemptMs = retry?.attemptTimeoutMs ?? 0
  return {
    ...(retry === null
      ? {}
      : {
          retry: {
            codes: [...retry.codes],
            grpcCodes: [...retry.grpcCodes],
            attempts: retry.attempts,
          },
        }),
    ...(requestMs + responseMs + idleMs + attemptMs === 0
      ? {}
      : { timeouts: { requestMs, backendRequestMs: attemptMs, responseMs, idleMs } }),
    ...(accrual === null ? {} : { failureAccrual: accrual }),
    ...(balancing === null ? {} : { balancing }),
    ...(fault === null ? {} : { fault }),
  }
}

class Flattening {
  private readonly store: ClusterStore
  private readonly service: ServiceRecord
  private readonly binding: Binding
  private readonly backends: { service: ServiceRecord; port: ServicePort }[] = []
  private readonly numbers = new Map<string, number>()
  private readonly dependsOn = new Set<string>()

  constructor(store: ClusterStore, service: ServiceRecord, port: ServicePort, binding: Binding) {
    this.store = store
    this.service = service
    this.binding = binding
    this.numbers.set(backendKey(service, port), 0)
  }

  finish(): PortRoutes {
    const { kind, routes } = this.binding
    const raw = kind === "TLSRoute" || kind === "TCPRoute"
    const matches = new Map<RouteRule, MatchInit[]>()
    for (const [rank, { rule, match }] of orderedMatches(this.binding)
      .slice(0, MAX_MATCHES_PER_PORT)
      .entries()) {
      const of = matches.get(rule) ?? []
      matches.set(rule, of)
      of.push({
        rank,
        path: { kind: MATCH_KINDS[match.path.kind], value: match.path.value },
        method: match.method,
        headers: match.headers.map(field => ({ ...field, kind: MATCH_KINDS[field.kind] })),
        query: match.query.map(field => ({ ...field, kind: MATCH_KINDS[field.kind] })),
      })
    }
    const rules: RuleInit[] = []
    const origins: RuleOrigin[] = []
    for (const route of routes) {
      for (const [index, rule] of route.rules.entries()) {
        const own = matches.get(rule) ?? []
        // A rule that nothing can meet says nothing to a proxy: of connections the first one takes all that its route does,
        // and the first TCPRoute all that there are.
        if (raw ? index > 0 || (kind === "TCPRoute" && rules.length > 0) : own.length === 0) continue
        rules.push(this.rule(route, rule, own))
        origins.push({ route, index })
      }
    }
    return { kind: KINDS[kind], rules, origins, backends: this.backends, dependsOn: [...this.dependsOn] }
  }

  private rule(route: Route, rule: RouteRule, matches: MatchInit[]): RuleInit {
    const { traffic } = this.service
    const { retry } = rule
    const requestMs = rule.timeouts.requestMs ?? traffic.timeouts.requestMs
    const attemptMs = rule.timeouts.backendRequestMs ?? traffic.retry?.attemptTimeoutMs ?? 0
    const { responseMs, idleMs } = traffic.timeouts
    const defaults = trafficFields(traffic).retry
    return {
      name: rule.name,
      fault: rule.fault,
      matches,
      filters: this.filters(route, rule.filters),
      backends: rule.backends.map(({ target, weight, filters }) => {
        const number = this.number(route, target)
        return {
          weight,
          filters: this.filters(route, filters),
          ...(typeof number === "number" ? { backend: number } : { fault: number.fault }),
        }
      }),
      timeouts: { requestMs, backendRequestMs: attemptMs, responseMs, idleMs },
      ...(rule.session === null ? {} : { session: rule.session }),
      serverNames: [...route.hostnames],
      ...(retry !== null
        ? {
            retry: {
              codes: [...retry.codes],
              grpcCodes: this.binding.kind === "GRPCRoute" ? [...(traffic.retry?.grpcCodes ?? [])] : [],
              attempts: retry.attempts,
              backoffMs: retry.backoffMs,
              // Who names POST in every match of a rule means POST when it says `retry`.
              anyMethod: rule.matches.length > 0 && rule.matches.every(match => match.method !== ""),
            },
          }
        : defaults === undefined
          ? {}
          : { retry: defaults }),
    }
  }

  /** Number of a backend, or what is wrong with the reference. */
  private number(
    route: Route,
    target: RouteRule["backends"][number]["target"],
  ): number | { readonly fault: string } {
    this.dependsOn.add(`service/${target.namespace}/${target.name}`)
    const { service, ...found } = resolveBackend(this.store, route, target, this.service.namespace)
    if (service === null || !("port" in found)) return { fault: found.fault?.message ?? "" }
    const key = backendKey(service, found.port)
    const known = this.numbers.get(key)
    if (known !== undefined) return known
    if (this.backends.length >= MAX_BACKENDS_PER_PORT) {
      return { fault: `${target.field}: the routes name more than ${MAX_BACKENDS_PER_PORT} backends` }
    }
    this.numbers.set(key, this.backends.push({ service, port: found.port }))
    return this.backends.length
  }

  private filters(route: Route, filters: RouteFilters): FiltersInit {
    const { requestHeaders, responseHeaders, redirect, rewrite, mirrors } = filters
    return {
      ...(requestHeaders === null ? {} : { requestHeaders: modifier(requestHeaders) }),
      ...(responseHeaders === null ? {} : { responseHeaders: modifier(responseHeaders) }),
      ...(redirect === null ? {} : { redirect: { ...redirect, path: pathInit(redirect.path) } }),
      ...(rewrite === null ? {} : { rewrite: { hostname: rewrite.hostname, path: pathInit(rewrite.path) } }),
      // A mirror whose backend cannot be used is dropped (HTTPRequestMirrorFilter).
      mirrors: mirrors.flatMap(({ target, numerator, denominator }) => {
        const number = this.number(route, target)
        return typeof number === "number" ? [{ backend: number, numerator, denominator }] : []
      }),
    }
  }
}

function backendKey(service: ServiceRecord, port: ServicePort): string {
  return `${service.namespace}/${service.name}:${port.port}`
}

function modifier({ set, add, remove }: HeaderModifier): FiltersInit["requestHeaders"] {
  return { set: set.map(field => ({ ...field })), add: add.map(field => ({ ...field })), remove: [...remove] }
}

function pathInit(path: PathModifier | null): PathInit {
  return path === null ? {} : { change: { case: path.kind, value: path.value } }
}
