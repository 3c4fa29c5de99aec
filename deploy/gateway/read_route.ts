// Reads HTTPRoute, GRPCRoute, TLSRoute and TCPRoute of the Gateway API, and ReferenceGrant. What is wrong with a part
// costs that part, never the route: complaints say what happens instead. Used by `conduit dev` on files, which takes no
// route with a complaint, and by the control plane on objects, which goes on with the rest.
import { FieldReader, isAbsent, type Mapping, show } from "./field_reader.ts"
import { readTarget } from "./read_backend.ts"
import { NO_FILTERS, readFilters } from "./read_filter.ts"
import { readMatches } from "./read_match.ts"
import {
  GATEWAY_GROUP,
  MAX_MATCHES_PER_ROUTE,
  MAX_PARENTS_PER_ROUTE,
  MAX_RETRY_ATTEMPTS,
  MAX_ROUTE_LIST,
  MAX_ROUTE_WEIGHT,
  MAX_RULES_PER_ROUTE,
  type ParentRef,
  type ReferenceGrant,
  ROUTE_KINDS,
  type Route,
  type RouteBackend,
  type RouteComplaint,
  type RouteFieldPath,
  type RouteKind,
  type RouteRetry,
  type RouteRule,
  type RouteSession,
  type RouteTimeouts,
} from "./route.ts"

/** What reading an object gave. */
export interface ReadRoute {
  /** Null for an object that is none of ours: of another group, or bound to no Service. */
  readonly route: Route | null
  readonly complaints: readonly RouteComplaint[]
}

const RULE_500 = "the rule answers 500"
const BACKEND_500 = "its share of requests gets 500"

/** Whether an object is a route that this reads. */
export function isRoute(raw: unknown): boolean {
  const { apiVersion, kind } = (raw ?? {}) as Mapping
  return isGateway(apiVersion) && (ROUTE_KINDS as readonly unknown[]).includes(kind)
}

function isGateway(apiVersion: unknown): boolean {
  return typeof apiVersion === "string" && apiVersion.startsWith(`${GATEWAY_GROUP}/`)
}

/**
 * Reads a route.
 *
 * @param defaultNamespace  namespace of an object that names none
 */
export function readRoute(raw: unknown, defaultNamespace = "default"): ReadRoute {
  if (!isRoute(raw)) return { route: null, complaints: [] }
  const reader = new FieldReader()
  const object = raw as Mapping
  const kind = object.kind as RouteKind
  const metadata = reader.mapping(object.metadata, ["metadata"]) ?? {}
  const namespace = typeof metadata.namespace === "string" ? metadata.namespace : defaultNamespace
  const name = reader.within("the route is not read", () => reader.name(metadata.name, ["metadata", "name"]))
  const spec = reader.within("the route binds nothing", () => reader.mapping(object.spec, ["spec"]))
  if (name === null || spec === null) return { route: null, complaints: reader.complaints }
  const parents = readParents(reader, spec.parentRefs, namespace)
  // A route of Gateways only is read by who serves those.
  if (parents === null) return { route: null, complaints: [] }
  reader.known(spec, ["spec"], ["parentRefs", "hostnames", "rules", "useDefaultGateways"])
  // Of requests within the mesh the host says nothing (GEP-1426): only a TLSRoute is bound by it.
  const hostnames = kind === "TLSRoute" ? readHostnames(reader, spec.hostnames) : []
  const read = readRules(reader, spec.rules, { kind, namespace, name })
  // Names of which none can be used are not the same as none.
  const rules = hostnames === null ? [] : read
  const created = Date.parse(String(metadata.creationTimestamp ?? ""))
  return {
    route: {
      kind,
      namespace,
      name,
      createdMs: Number.isNaN(created) ? 0 : created,
      generation: typeof metadata.generation === "number" ? metadata.generation : 0,
      parents,
      hostnames: hostnames ?? [],
      rules,
      complaints: reader.complaints,
    },
    complaints: reader.complaints,
  }
}

/** Parents that are Services; null when there are none and others are. */
function readParents(reader: FieldReader, value: unknown, namespace: string): ParentRef[] | null {
  const path = ["spec", "parentRefs"]
  const parents: ParentRef[] = []
  let others = 0
  let wrong = 0
  reader.within("the parent is not bound", () => {
    for (const [index, entry] of reader.list(value, path, MAX_PARENTS_PER_ROUTE).entries()) {
      const at = [...path, index]
      const ref = reader.mapping(entry, at)
      if (ref === null) {
        wrong++
        continue
      }
      // `core` is no group, but people write it, and conformance's own manifests did.
      const isService =
        ref.kind === "Service" && (isAbsent(ref.group) || ref.group === "" || ref.group === "core")
      if (!isService) {
        others++
        continue
      }
      reader.known(ref, at, ["group", "kind", "namespace", "name", "sectionName", "port"])
      const name = reader.name(ref.name, [...at, "name"])
      const parent = reader.namespace(ref.namespace, [...at, "namespace"], namespace)
      const port = reader.number(ref.port, [...at, "port"], 1, 65535, 0)
      const sectionName = reader.optionalText(ref.sectionName, [...at, "sectionName"], 253)
      if (name === null || parent === null || port === null || sectionName === null) wrong++
      else parents.push({ namespace: parent, name, port, sectionName })
    }
  })
  return parents.length === 0 && wrong === 0 && (others > 0 || isAbsent(value)) ? null : parents
}

interface Owner {
  readonly kind: RouteKind
  readonly namespace: string
  readonly name: string
}

function readRules(reader: FieldReader, value: unknown, owner: Owner): RouteRule[] {
  const path = ["spec", "rules"]
  const entries = reader.within("the route matches nothing", () =>
    reader.list(value, path, MAX_RULES_PER_ROUTE),
  )
  // HTTPRoute's default is one rule that matches everything and has no backend.
  const given = entries.length === 0 && isAbsent(value) && owner.kind === "HTTPRoute" ? [{}] : entries
  const rules: RouteRule[] = []
  const names = new Set<string>()
  let matches = 0
  for (const [index, entry] of given.entries()) {
    const at = [...path, index]
    const body = reader.within("the rule is left out", () => reader.mapping(entry, at))
    if (body === null) continue
    const rule = readRule(reader, body, at, owner, index)
    if (names.has(rule.name)) {
      reader.within("metrics take the two for one", () =>
        reader.add([...at, "name"], `is ${show(rule.name)}, as that of an earlier rule`),
      )
    }
    names.add(rule.name)
    const room = MAX_MATCHES_PER_ROUTE - matches
    if (rule.matches.length > room) {
      reader.within(`those after the first ${MAX_MATCHES_PER_ROUTE} are left out`, () =>
        reader.add([...at, "matches"], `brings the route's matches above ${MAX_MATCHES_PER_ROUTE}`),
      )
    }
    matches += Math.min(room, rule.matches.length)
    rules.push({ ...rule, matches: rule.matches.slice(0, room) })
  }
  return rules
}

/** Names of a TLSRoute; null where some were given and none can be used. */
function readHostnames(reader: FieldReader, value: unknown): string[] | null {
  const path = ["spec", "hostnames"]
  const given = reader.list(value, path, MAX_ROUTE_LIST)
  const names = given.flatMap((one, i) => {
    const isWild = typeof one === "string" && one.startsWith("*.")
    const name = reader.within("the name is ignored", () =>
      reader.hostname(isWild ? one.slice(2) : one, [...path, i]),
    )
    return name === null || name === "" ? [] : [isWild ? `*.${name}` : name]
  })
  return given.length > 0 && names.length === 0 ? null : names
}

const RULE_FIELDS: Readonly<Record<RouteKind, readonly string[]>> = {
  HTTPRoute: ["name", "matches", "filters", "backendRefs", "timeouts", "retry", "sessionPersistence"],
  GRPCRoute: ["name", "matches", "filters", "backendRefs", "sessionPersistence"],
  TLSRoute: ["name", "backendRefs"],
  TCPRoute: ["name", "backendRefs"],
}

function readRule(
  reader: FieldReader,
  body: Mapping,
  path: RouteFieldPath,
  owner: Owner,
  index: number,
): RouteRule {
  const grpc = owner.kind === "GRPCRoute"
  const raw = owner.kind === "TLSRoute" || owner.kind === "TCPRoute"
  reader.known(body, path, RULE_FIELDS[owner.kind])
  const name = isAbsent(body.name) ? "" : (reader.name(body.name, [...path, "name"]) ?? "")
  const matches = raw ? [] : readMatches(reader, body.matches, [...path, "matches"], grpc)
  const onePrefix = matches.length === 1 && matches[0]?.path.kind === "prefix"
  const place = { grpc, namespace: owner.namespace, onePrefix }
  const before = reader.complaints.length
  const filters = raw
    ? NO_FILTERS
    : reader.within(RULE_500, () => readFilters(reader, body.filters, [...path, "filters"], place))
  const wrong = reader.complaints.slice(before).find(one => one.effect === RULE_500)
  const backends: RouteBackend[] = []
  const at = [...path, "backendRefs"]
  const refs = reader.within("the rule has no backend", () =>
    reader.list(body.backendRefs, at, MAX_ROUTE_LIST),
  )
  for (const [i, entry] of refs.entries()) {
    const backend = readBackend(reader, entry, [...at, i], place, raw)
    if (backend !== null) backends.push(backend)
  }
  if (filters.redirect !== null && backends.length > 0) {
    reader.within("the redirect is answered, no backend is asked", () =>
      reader.add(
        at,
        "stands beside a RequestRedirect filter, which leaves nothing to send",
        "IncompatibleFilters",
      ),
    )
  }
  return {
    name: name === "" ? `${owner.name}/${index}` : name,
    matches,
    filters,
    backends,
    timeouts: readTimeouts(reader, body.timeouts, [...path, "timeouts"]),
    retry: readRetry(reader, body.retry, [...path, "retry"]),
    session: raw
      ? null
      : reader.within("there are no sessions", () =>
          readSession(reader, body.sessionPersistence, [...path, "sessionPersistence"]),
        ),
    fault: wrong === undefined ? "" : `a filter cannot be applied: ${wrong.message}`,
  }
}

function readBackend(
  reader: FieldReader,
  entry: unknown,
  path: RouteFieldPath,
  place: Parameters<typeof readFilters>[3],
  raw: boolean,
): RouteBackend | null {
  return reader.within(BACKEND_500, () => {
    const more = raw ? ["weight"] : ["weight", "filters"]
    const target = readTarget(reader, entry, path, place.namespace, more)
    if (target === null) return null
    const { weight, filters } = entry as Mapping
    const before = reader.complaints.length
    const read = raw ? NO_FILTERS : readFilters(reader, filters, [...path, "filters"], place)
    const wrong = reader.complaints.slice(before).find(one => one.effect === BACKEND_500)
    const fault =
      target.fault !== "" || wrong === undefined
        ? target.fault
        : `a filter cannot be applied: ${wrong.message}`
    const share = reader.within("it counts as 1", () =>
      reader.number(weight, [...path, "weight"], 0, MAX_ROUTE_WEIGHT, 1),
    )
    return {
      target: { ...target, fault },
      weight: share ?? 1,
      filters: read,
    }
  })
}

function readTimeouts(reader: FieldReader, value: unknown, path: RouteFieldPath): RouteTimeouts {
  const timeouts = isAbsent(value) ? null : reader.mapping(value, path)
  if (timeouts === null) return { requestMs: null, backendRequestMs: null }
  reader.known(timeouts, path, ["request", "backendRequest"])
  const requestMs = reader.duration(timeouts.request, [...path, "request"])
  const backendRequestMs = reader.duration(timeouts.backendRequest, [...path, "backendRequest"])
  if (requestMs !== null && requestMs !== 0 && backendRequestMs !== null && backendRequestMs > requestMs) {
    reader.within("the request's timeout ends it first", () =>
      reader.add([...path, "backendRequest"], "is longer than timeouts.request"),
    )
  }
  return { requestMs, backendRequestMs }
}

/** Statuses that are sent again when a route says `retry` without codes: those that a proxy makes for a lost server. */
const DEFAULT_RETRY_CODES: readonly number[] = [502, 503, 504]

function readRetry(reader: FieldReader, value: unknown, path: RouteFieldPath): RouteRetry | null {
  const retry = isAbsent(value) ? null : reader.mapping(value, path)
  if (retry === null) return null
  reader.known(retry, path, ["codes", "attempts", "backoff"])
  const codes: number[] = []
  for (const [index, code] of reader.list(retry.codes, [...path, "codes"], 200).entries()) {
    const read = reader.number(code, [...path, "codes", index], 400, 599, 0)
    if (read !== null && read !== 0 && !codes.includes(read)) codes.push(read)
  }
  const attempts = reader.within(`it counts as ${isAbsent(retry.attempts) ? 1 : 0}`, () =>
    reader.number(retry.attempts, [...path, "attempts"], 0, MAX_RETRY_ATTEMPTS, 1),
  )
  return {
    codes: isAbsent(retry.codes) ? DEFAULT_RETRY_CODES : codes,
    attempts: attempts ?? 0,
    backoffMs: reader.duration(retry.backoff, [...path, "backoff"]) ?? 0,
  }
}

/** Name of a session's cookie or header field that is given none. */
const DEFAULT_SESSION = "conduit-session"

function readSession(reader: FieldReader, value: unknown, path: RouteFieldPath): RouteSession | null {
  const body = isAbsent(value) ? null : reader.mapping(value, path)
  if (body === null) return null
  reader.known(body, path, ["sessionName", "absoluteTimeout", "idleTimeout", "type", "cookieConfig"])
  const type = reader.choice(body.type, [...path, "type"], ["Cookie", "Header"], "Cookie")
  // Both are tokens (RFC 6265 section 4.1.1, RFC 9110 section 5.1).
  const name = isAbsent(body.sessionName)
    ? DEFAULT_SESSION
    : reader.fieldName(body.sessionName, [...path, "sessionName"])
  const seconds = (ms: number | null): number => Math.ceil((ms ?? 0) / 1000)
  const absoluteS = seconds(reader.duration(body.absoluteTimeout, [...path, "absoluteTimeout"]))
  const idleS = seconds(reader.duration(body.idleTimeout, [...path, "idleTimeout"]))
  let permanent = false
  if (!isAbsent(body.cookieConfig)) {
    const at = [...path, "cookieConfig"]
    const config = reader.mapping(body.cookieConfig, at) ?? {}
    reader.known(config, at, ["lifetimeType"])
    const types = ["Permanent", "Session"] as const
    permanent = reader.choice(config.lifetimeType, [...at, "lifetimeType"], types, "Session") === "Permanent"
    if (permanent && absoluteS === 0) {
      reader.add([...path, "absoluteTimeout"], "is missing, which cookieConfig.lifetimeType Permanent needs")
      return null
    }
  }
  if (type === null || name === null) return null
  const ends = { absoluteS, idleS }
  if (type === "Header") return { cookie: "", header: name.toLowerCase(), maxAgeS: 0, ...ends }
  return { cookie: name, header: "", maxAgeS: permanent ? absoluteS : 0, ...ends }
}

/** Reads a ReferenceGrant; null for an object that is none, or that grants nothing on Services. */
export function readReferenceGrant(
  raw: unknown,
  defaultNamespace = "default",
): { readonly grant: ReferenceGrant | null; readonly complaints: readonly RouteComplaint[] } {
  const object = (raw ?? {}) as Mapping
  if (!isGateway(object.apiVersion) || object.kind !== "ReferenceGrant")
    return { grant: null, complaints: [] }
  const reader = new FieldReader()
  reader.effect = "it grants nothing"
  const metadata = reader.mapping(object.metadata, ["metadata"]) ?? {}
  const name = reader.name(metadata.name, ["metadata", "name"])
  const spec = reader.mapping(object.spec, ["spec"])
  if (name === null || spec === null) return { grant: null, complaints: reader.complaints }
  reader.known(spec, ["spec"], ["from", "to"])
  const from: { kind: string; namespace: string }[] = []
  for (const [index, entry] of reader.list(spec.from, ["spec", "from"], MAX_ROUTE_LIST).entries()) {
    const at = ["spec", "from", index]
    const ref = reader.mapping(entry, at)
    if (ref === null) continue
    reader.known(ref, at, ["group", "kind", "namespace"])
    const kind = reader.text(ref.kind, [...at, "kind"], 63)
    const namespace = isAbsent(ref.namespace)
      ? reader.add([...at, "namespace"], "is missing")
      : reader.namespace(ref.namespace, [...at, "namespace"], "")
    if (kind !== null && namespace !== null && ref.group === GATEWAY_GROUP) from.push({ kind, namespace })
  }
  const to: string[] = []
  let all = false
  let services = false
  for (const [index, entry] of reader.list(spec.to, ["spec", "to"], MAX_ROUTE_LIST).entries()) {
    const at = ["spec", "to", index]
    const ref = reader.mapping(entry, at)
    if (ref === null) continue
    reader.known(ref, at, ["group", "kind", "name"])
    if ((ref.group ?? "") !== "" || ref.kind !== "Service") continue
    services = true
    if (isAbsent(ref.name)) all = true
    else {
      const service = reader.name(ref.name, [...at, "name"])
      if (service !== null) to.push(service)
    }
  }
  const namespace = typeof metadata.namespace === "string" ? metadata.namespace : defaultNamespace
  const grants = services && (all || to.length > 0)
  return {
    grant: grants ? { namespace, name, from, to: all ? [] : to } : null,
    complaints: reader.complaints,
  }
}
