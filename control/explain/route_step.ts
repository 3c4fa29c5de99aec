// The steps `route` and `backends`: which rule the call meets, by the proxy's own table, and where its share of calls goes.
import {
  MATCH_EXACT,
  MATCH_PREFIX,
  type MatchConfig,
  type RetryConfig,
  ROUTE_KIND_GRPC,
  ROUTE_KIND_HTTP,
  ROUTE_KIND_NONE,
  ROUTE_KIND_TCP,
  ROUTE_KIND_TLS,
  type RoutedRequest,
  type RoutesConfig,
  RouteTable,
  type Rule,
  redirectLocation,
  type TimeoutsConfig,
} from "../../protos/routes/mod.ts"
import type { ServicePort, ServiceRecord } from "../cluster/mod.ts"
import type { EndpointInit, Resolution, RuleOrigin } from "../destination/mod.ts"
import { routeStatus } from "../routing/mod.ts"
import { placeOf, textOf } from "./caller.ts"
import { type Chain, type Note, type Place, percent } from "./chain.ts"
import { withFaults } from "./fault_note.ts"
import type { World } from "./question.ts"
import { routesConfigOf } from "./routes_config.ts"

/** Where a share of the calls goes. */
export interface Leg {
  /** Of all calls, above 0 to 1. */
  readonly share: number
  /** Null for what is no Service. */
  readonly service: ServiceRecord | null
  readonly port: ServicePort | null
  readonly endpoints: readonly EndpointInit[]
  /** Path as the server gets it. */
  readonly path: string
}

/** A call of a Service as its caller's proxy sees it. */
export interface RoutedCall {
  readonly world: World
  readonly service: ServiceRecord
  readonly port: ServicePort
  readonly resolution: Extract<Resolution, { kind: "service" }>
  readonly request: RoutedRequest
  /** Nobody looks into it. */
  readonly raw: boolean
}

/** Decides the route of a call; the legs that go on. */
export function routeSteps(chain: Chain, call: RoutedCall): Leg[] {
  const config = routesConfigOf(call.resolution.service)
  const { injected } = config
  const decide = (): Leg[] => decided(chain, call, config)
  // Faults are of requests.
  return injected === null || call.raw ? decide() : withFaults(chain, call.service, injected, decide)
}

function decided(chain: Chain, call: RoutedCall, config: RoutesConfig): Leg[] {
  const { kind } = config
  const forRaw = kind === ROUTE_KIND_TLS || kind === ROUTE_KIND_TCP
  if (kind === ROUTE_KIND_NONE || call.raw !== forRaw) return unrouted(chain, call, config)
  const table = new RouteTable(config)
  // Whoever calls a name over TLS asks for that name.
  const [host = ""] = call.request.authority.split(":")
  const rule = call.raw ? table.ofServerName(host) : table.match(call.request)
  if (rule === null) {
    if (call.raw) noName(chain, call, host)
    else noRule(chain, call, table)
    return []
  }
  return routed(chain, call, table, rule)
}

/** No route is asked: everything goes to the Service's own endpoints. */
function unrouted(chain: Chain, call: RoutedCall, config: RoutesConfig): Leg[] {
  const { service, port, resolution, request, raw } = call
  const what = textOf(placeOf(service))
  const other = config.kind !== ROUTE_KIND_NONE
  const settings = raw ? [] : settingsText(config.timeouts, config.retry)
  chain.say("route", "ok", {
    decision: other
      ? `${raw ? "routes are for requests, and nobody looks into this" : "routes are for connections that are not HTTP"}: all go to ${what}`
      : `no route binds port ${port.port}: all go to ${what} itself`,
    object: settings.length > 0 ? placeOf(service, "metadata.annotations") : placeOf(service),
    details: [...settings, ...bystanders(call)],
    ...(raw ? {} : { change: `an HTTPRoute whose parentRefs name ${what}` }),
  })
  chain.say("backends", "ok", { decision: `100 % to ${what}`, object: placeOf(service) })
  return [{ share: 1, service, port, endpoints: resolution.endpoints, path: request.path }]
}

/** No TLSRoute is for the name that the client asks for. */
function noName(chain: Chain, call: RoutedCall, name: string): void {
  const { origins } = call.resolution
  const [origin] = origins
  chain.end(
    "route",
    {
      decision: `none of the ${origins.length} rules is for the name ${name}`,
      reason: "where TLSRoutes bind a port, a connection that asks for another name, or for none, is reset",
      object: origin === undefined ? null : rulePlace(origin, ""),
      details: origins.map(
        ({ route }) => `TLSRoute ${route.namespace}/${route.name}: ${route.hostnames.join(", ")}`,
      ),
      change: `a TLSRoute with ${name} among its spec.hostnames, or with none`,
    },
    {
      status: 0,
      error: "no-route",
      what: "the connection is reset: no TLSRoute is for the name that it asks for",
    },
  )
}

function noRule(chain: Chain, call: RoutedCall, table: RouteTable): void {
  const near = nearestRule(table, call)
  const [origin] = call.resolution.origins
  const grpcOnly = (call.resolution.service.routeKind ?? 0) === ROUTE_KIND_GRPC && !call.request.isGrpc
  const object =
    near === null ? (origin === undefined ? null : rulePlace(origin, "")) : rulePlace(near.origin, ".matches")
  chain.end(
    "route",
    {
      decision: `none of the ${call.resolution.origins.length} rules takes ${call.request.method} ${call.request.path}`,
      reason: grpcOnly
        ? "the routes are GRPCRoutes, which take gRPC requests only"
        : "where routes bind a port, what none of them takes is answered 404",
      object,
      details: bystanders(call),
      change:
        near === null
          ? "a rule that matches it"
          : `${textOf(rulePlace(near.origin, ""))} comes nearest: its spec.rules[${near.origin.index}] wants ${near.wants}`,
    },
    { status: 404, error: "no-route", what: "404 no-route: no rule of its routes takes the request" },
  )
}

function routed(chain: Chain, call: RoutedCall, table: RouteTable, rule: Rule): Leg[] {
  const { request, resolution, port, raw } = call
  // The table keeps the rules in the order in which they were sent.
  const origin = resolution.origins[rule.index]
  if (origin === undefined) throw new Error("a rule without origin")
  const place = rulePlace(origin, "")
  const { filters, fault } = rule.config
  const matched = raw ? null : matchOf(rule, request)
  const said = {
    decision: `${origin.route.kind} ${origin.route.namespace}/${origin.route.name}, rule ${rule.name}`,
    reason:
      matched === null
        ? ""
        : `${matchText(matched)} takes ${request.method} ${request.path}, and no match comes before it`,
    object: place,
    details: [
      ...settingsText(rule.config.timeouts, rule.config.retry),
      ...filtersText(rule, request),
      ...(origin.route.namespace === call.service.namespace
        ? []
        : ["it is a consumer's route: it holds for callers of its own namespace only"]),
      ...bystanders(call),
    ],
    notes: raw ? [] : sessionNotes(rule, request, origin),
    change: withoutRule(call, table, rule),
  }
  if (fault !== "") {
    chain.end("route", { ...said, reason: fault, change: `mend ${place.field}` }, noBackend(fault))
    return []
  }
  if (filters.redirect !== null) {
    const { status } = filters.redirect
    const location = redirectLocation(filters.redirect, rule.redirectPath, request, port.port)
    chain.say("route", "ok", { ...said, decision: `${said.decision}: ${status} to ${location}` })
    chain.lose({
      share: 1,
      status,
      error: "",
      step: "route",
      what: `${status}: the proxy redirects to ${location}`,
    })
    return []
  }
  chain.say("route", "ok", said)
  return backends(chain, call, rule, origin)
}

/** Sessions of a rule: who bears one meets its endpoint, whatever the weights say. */
function sessionNotes({ config: { session } }: Rule, request: RoutedRequest, origin: RuleOrigin): Note[] {
  if (session === null) return []
  const { cookie, header, maxAgeS } = session
  const cookies = (request.values("cookie") ?? "").split(/[;,]/).map(one => one.trim())
  const bears =
    cookie === "" ? request.values(header) !== undefined : cookies.some(one => one.startsWith(`${cookie}=`))
  const name = cookie === "" ? `header ${header}` : `cookie ${cookie}`
  const life = maxAgeS > 0 ? ` for ${maxAgeS} s` : ""
  const text = bears
    ? `the call bears ${name}: it goes to the endpoint of that session while it is there, whatever the weights say`
    : `the answer gives ${name}${life}: calls that bear it stay with one endpoint`
  return [{ text, object: rulePlace(origin, ".sessionPersistence") }]
}

function backends(chain: Chain, call: RoutedCall, rule: Rule, origin: RuleOrigin): Leg[] {
  const { service, port, resolution, request, world } = call
  const legs: Leg[] = []
  const details: string[] = []
  const path = rule.rewritePath?.apply(request.path) ?? request.path
  let object: Place = rulePlace(origin, ".backendRefs")
  let reason = ""
  const written = origin.route.rules[origin.index]?.backends ?? []
  for (const [index, { weight, backend, fault }] of rule.config.backends.entries()) {
    const share = rule.pick.share(index)
    const target = written[index]?.target
    const name =
      target === undefined ? `backend ${index}` : `Service ${target.namespace}/${target.name}:${target.port}`
    details.push(`${percent(share)} to ${name} (weight ${weight})${fault === "" ? "" : `: ${fault}`}`)
    if (share <= 0) continue
    if (fault !== "") {
      object = rulePlace(origin, `.backendRefs[${index}]`)
      reason = fault
      chain.lose({ ...noBackend(fault), share, step: "backends" })
      continue
    }
    const other = resolution.backends[backend - 1]
    if (other === undefined) legs.push({ share, service, port, endpoints: resolution.endpoints, path })
    else {
      const found = world.store.service(other.info.namespace ?? "", other.info.name ?? "") ?? null
      const at = found?.ports.find(one => one.port === other.info.port && one.protocol === "TCP") ?? null
      legs.push({ share, service: found, port: at, endpoints: other.endpoints, path })
    }
  }
  if (legs.length === 0 && chain.lostAt("backends") === 0) {
    const why = rule.config.backends.length === 0 ? "the rule has no backend" : "every weight is 0"
    chain.end(
      "backends",
      {
        decision: "nowhere to go",
        reason: why,
        object,
        details,
        change: "a backendRef with a weight above 0",
      },
      noBackend(why),
    )
    return []
  }
  const lost = chain.lostAt("backends")
  chain.say("backends", chain.outcomeOf("backends"), {
    decision:
      lost > 0
        ? `${percent(lost)} of the calls have no backend`
        : legs.map(leg => `${percent(leg.share)} to ${legName(leg)}`).join(", "),
    reason,
    object,
    details: details.length > 1 ? details : [],
    change: lost > 0 ? changeOf(reason) : "",
  })
  return legs
}

/** Where a leg leads, for sentences. */
export function legName({ service, port }: Leg): string {
  return service === null ? "the address" : `Service ${service.namespace}/${service.name}:${port?.port ?? 0}`
}

function noBackend(why: string) {
  return { status: 500, error: "no-backend", what: `500 no-backend: ${why}` } as const
}

function changeOf(fault: string): string {
  const granted = /no ReferenceGrant in namespace "([^"]+)"/.exec(fault)
  if (granted !== null) return `a ReferenceGrant in namespace "${granted[1]}"`
  if (fault.includes("there is no Service")) return "that Service, or another name in the backendRef"
  return "mend the backendRef"
}

function rulePlace({ route, index }: RuleOrigin, field: string): Place {
  const { kind, namespace, name } = route
  return { kind, namespace, name, field: `spec.rules[${index}]${field}` }
}

/** Routes that name the Service and are not asked, and why. */
function bystanders({ world, service, resolution }: RoutedCall): string[] {
  const asked = new Set(resolution.origins.map(({ route }) => route))
  const consumer = resolution.origins.some(({ route }) => route.namespace !== service.namespace)
  const lines: string[] = []
  for (const { route } of world.store.routesOf(service.namespace, service.name)) {
    if (asked.has(route)) continue
    const what = `${route.kind} ${route.namespace}/${route.name} is not asked`
    const own = routeStatus(world.store, route).find(
      ({ parentRef }) => parentRef.namespace === service.namespace && parentRef.name === service.name,
    )
    const refused = own?.conditions.find(({ type, status }) => type === "Accepted" && status === "False")
    if (refused !== undefined) lines.push(`${what}: ${refused.message}`)
    else if (route.namespace !== service.namespace)
      lines.push(`${what}: it is for callers of its own namespace only`)
    else if (consumer) lines.push(`${what}: a route of the caller's own namespace counts instead`)
    else lines.push(`${what}: it binds another port`)
  }
  return lines
}

/** The first match of a rule that holds: a table of it alone decides, as the whole one did. */
function matchOf(rule: Rule, request: RoutedRequest): MatchConfig | null {
  const ordered = [...rule.config.matches].sort((a, b) => a.rank - b.rank)
  return ordered.find(match => holds(match, request)) ?? null
}

function holds(match: MatchConfig, request: RoutedRequest): boolean {
  return tableOf([match]).match(request) !== null
}

function tableOf(matches: readonly MatchConfig[]): RouteTable {
  return new RouteTable({
    kind: ROUTE_KIND_HTTP,
    rules: [{ ...EMPTY_RULE, matches }],
    timeouts: EMPTY_RULE.timeouts,
    retry: null,
    accrual: null,
    balancing: null,
    injected: null,
  })
}

const NONE: TimeoutsConfig = { requestMs: 0, backendRequestMs: 0, responseMs: 0, idleMs: 0 }
const EMPTY_RULE = {
  name: "",
  matches: [],
  filters: { requestHeaders: null, responseHeaders: null, redirect: null, rewrite: null, mirrors: [] },
  backends: [],
  timeouts: NONE,
  retry: null,
  session: null,
  fault: "",
} as const

/** The rule whose match holds but for the fewest conditions. */
function nearestRule(table: RouteTable, { resolution, request }: RoutedCall) {
  let best: { origin: RuleOrigin; wants: string; missing: number } | null = null
  for (const rule of table.rules) {
    const origin = resolution.origins[rule.index]
    if (origin === undefined) continue
    for (const match of rule.config.matches) {
      const wants = missingOf(match, request)
      if (best === null || wants.length < best.missing) {
        best = { origin, wants: wants.join(" and ") || "a gRPC request", missing: wants.length }
      }
    }
  }
  return best
}

/** Conditions of a match that a request does not meet, each judged alone. */
function missingOf(match: MatchConfig, request: RoutedRequest): string[] {
  const any = { ...match, pathKind: MATCH_PREFIX, path: "", method: "", headers: [], query: [] }
  const missing: string[] = []
  if (!holds({ ...any, pathKind: match.pathKind, path: match.path }, request))
    missing.push(`a path ${pathText(match)}`)
  if (!holds({ ...any, method: match.method }, request)) missing.push(`method ${match.method}`)
  for (const field of match.headers) {
    if (!holds({ ...any, headers: [field] }, request)) missing.push(`header ${fieldText(field)}`)
  }
  for (const field of match.query) {
    if (!holds({ ...any, query: [field] }, request)) missing.push(`query parameter ${fieldText(field)}`)
  }
  return missing
}

/** What the call would meet if the rule were not there. */
function withoutRule(call: RoutedCall, table: RouteTable, rule: Rule): string {
  if (call.raw) return ""
  const config = routesConfigOf(call.resolution.service)
  const rules = config.rules.map((one, index) => (index === rule.index ? { ...one, matches: [] } : one))
  const next = rules.length < 2 ? null : new RouteTable({ ...config, rules }).match(call.request)
  const origin = next === null ? undefined : call.resolution.origins[next.index]
  if (origin === undefined) return table.rules.length < 2 ? "" : "without this rule none would take it: 404"
  const at = rulePlace(origin, "")
  return `without this rule ${textOf(at)} ${at.field} would take it`
}

function matchText(match: MatchConfig): string {
  const parts = [`path ${pathText(match)}`]
  if (match.method !== "") parts.push(`method ${match.method}`)
  for (const field of match.headers) parts.push(`header ${fieldText(field)}`)
  for (const field of match.query) parts.push(`query parameter ${fieldText(field)}`)
  return parts.join(", ")
}

function pathText({ pathKind, path }: MatchConfig): string {
  if (pathKind === MATCH_EXACT) return `equal to ${path}`
  return pathKind === MATCH_PREFIX ? `below ${path === "" ? "/" : path}` : `like ${path}`
}

function fieldText({ name, kind, value }: MatchConfig["headers"][number]): string {
  return kind === MATCH_EXACT ? `${name}: ${value}` : `${name} like ${value}`
}

function settingsText(timeouts: TimeoutsConfig, retry: RetryConfig | null): string[] {
  const lines: string[] = []
  const parts = [
    ["request", timeouts.requestMs],
    ["attempt", timeouts.backendRequestMs],
    ["response", timeouts.responseMs],
    ["idle", timeouts.idleMs],
  ] as const
  const set = parts.filter(([, ms]) => ms > 0).map(([name, ms]) => `${name} ${ms} ms`)
  if (set.length > 0) lines.push(`timeouts: ${set.join(", ")}; then 504 timeout`)
  if (retry !== null) {
    const on = [...retry.codes, ...retry.grpcCodes.map(code => `gRPC ${code}`)]
    const methods = retry.anyMethod ? "" : ", of idempotent methods"
    lines.push(`retries: up to ${retry.attempts} on ${on.join(", ") || "no status"}${methods}`)
  }
  return lines
}

function filtersText(rule: Rule, request: RoutedRequest): string[] {
  const { requestHeaders, responseHeaders, rewrite, mirrors } = rule.config.filters
  const lines: string[] = []
  if (rule.rewritePath !== null) lines.push(`the path becomes ${rule.rewritePath.apply(request.path)}`)
  if (rewrite !== null && rewrite.hostname !== "") lines.push(`the host becomes ${rewrite.hostname}`)
  for (const [what, modifier] of [
    ["request", requestHeaders],
    ["response", responseHeaders],
  ] as const) {
    if (modifier === null) continue
    const changes = [
      ...modifier.set.map(field => `set ${field.name}`),
      ...modifier.add.map(field => `add ${field.name}`),
      ...modifier.remove.map(name => `remove ${name}`),
    ]
    lines.push(`header fields of the ${what}: ${changes.join(", ")}`)
  }
  if (mirrors.length > 0)
    lines.push(`copies go to ${mirrors.length} mirror${mirrors.length === 1 ? "" : "s"}`)
  return lines
}
