// Routes of the Gateway API as they are understood: what read_route.ts makes of an HTTPRoute, GRPCRoute, TLSRoute or
// TCPRoute. Plain data, defaults filled in; references are names still, for the cluster's model to resolve.

/** API group of routes and grants. */
export const GATEWAY_GROUP = "gateway.networking.k8s.io"

/** Kinds of routes, the most specific first: of kinds that bind the same port, the first one counts (GEP-1294). */
export const ROUTE_KINDS = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute"] as const

/** A kind of `ROUTE_KINDS`. */
export type RouteKind = (typeof ROUTE_KINDS)[number]

/** Rules of one route, as the API server bounds them. */
export const MAX_RULES_PER_ROUTE = 16
/** Matches of one rule, as the API server bounds them. */
export const MAX_MATCHES_PER_RULE = 64
/** Matches of all rules of one route, as the API server bounds them. */
export const MAX_MATCHES_PER_ROUTE = 128
/** Entries of every other list of a route (filters, backends, header fields), as the API server bounds them. */
export const MAX_ROUTE_LIST = 16
/** Parents of one route, as the API server bounds them. */
export const MAX_PARENTS_PER_ROUTE = 32
/** Longest path, prefix or query value, as the API server bounds it. */
export const MAX_ROUTE_PATH_CHARS = 1024
/** Longest value of a header field, as the API server bounds it. */
export const MAX_ROUTE_VALUE_CHARS = 4096
/** Highest weight of a backend, as the API server bounds it. */
export const MAX_ROUTE_WEIGHT = 1_000_000
/** Most attempts beyond the first that a route may ask for: each is work for a server that has failed already. */
export const MAX_RETRY_ATTEMPTS = 10

/** How a value is compared. `regex` must take all of it. */
export type MatchKind = "exact" | "prefix" | "regex"

/** A comparison with a path. */
export interface PathMatch {
  readonly kind: MatchKind
  /** A prefix has no slash at its end: the one of all paths is "". */
  readonly value: string
}

/** A comparison with a header field or query parameter. */
export interface FieldMatch {
  /** Of header fields in lower case. */
  readonly name: string
  readonly kind: "exact" | "regex"
  readonly value: string
}

/** Conditions that must all hold. */
export interface RouteMatch {
  readonly path: PathMatch
  /** In upper case, "" for any. */
  readonly method: string
  readonly headers: readonly FieldMatch[]
  readonly query: readonly FieldMatch[]
  /** What GRPCRoute's precedence counts: characters of service and method. */
  readonly serviceChars: number
  readonly methodChars: number
}

/** A header field with a value. */
export interface HeaderField {
  readonly name: string
  readonly value: string
}

/** Changes of header fields; no name stands in it twice. */
export interface HeaderModifier {
  readonly set: readonly HeaderField[]
  readonly add: readonly HeaderField[]
  /** In lower case. */
  readonly remove: readonly string[]
}

/** A change of the path. */
export interface PathModifier {
  /** `full`: all of it; `prefix`: what the rule's prefix took. */
  readonly kind: "full" | "prefix"
  readonly value: string
}

/** What is done to requests and responses. Null where nothing is. */
export interface RouteFilters {
  readonly requestHeaders: HeaderModifier | null
  readonly responseHeaders: HeaderModifier | null
  readonly redirect: {
    /** `http`, `https`, or "" for the request's. */
    readonly scheme: string
    readonly hostname: string
    readonly path: PathModifier | null
    /** 0 when it is to be derived. */
    readonly port: number
    readonly status: number
  } | null
  readonly rewrite: { readonly hostname: string; readonly path: PathModifier | null } | null
  readonly mirrors: readonly {
    readonly target: BackendTarget
    readonly numerator: number
    readonly denominator: number
  }[]
}

/** A port of a Service that a route names. */
export interface BackendTarget {
  readonly namespace: string
  readonly name: string
  /** 0 when none is named. */
  readonly port: number
  /** Place in the object, as people write it. */
  readonly field: string
  /** Why it cannot be used whatever the cluster holds; "" when it can. */
  readonly fault: string
  /** Reason of the condition ResolvedRefs that `fault` stands for. */
  readonly faultReason: "" | "InvalidKind" | "BackendNotFound" | "UnsupportedProtocol"
}

/** A share of a rule's requests. */
export interface RouteBackend {
  readonly target: BackendTarget
  readonly weight: number
  readonly filters: RouteFilters
}

/** Timeouts in milliseconds, 0 for none, null where the route says nothing. */
export interface RouteTimeouts {
  readonly requestMs: number | null
  readonly backendRequestMs: number | null
}

/** When requests are sent again. */
export interface RouteRetry {
  /** HTTP statuses. */
  readonly codes: readonly number[]
  readonly attempts: number
  /** Milliseconds; 0 for the proxy's own figure. */
  readonly backoffMs: number
}

/** Requests of a session go to one endpoint; exactly one name is set. */
export interface RouteSession {
  /** Name of the cookie, or "". */
  readonly cookie: string
  /** Name of the header field in lower case, or "". */
  readonly header: string
  /** Seconds that the cookie is kept; 0 for as long as the client's own session. */
  readonly maxAgeS: number
  /** Seconds after which a session ends; 0 for never. */
  readonly absoluteS: number
  /** Seconds without a request after which it ends; 0 for never. */
  readonly idleS: number
}

/** A rule. */
export interface RouteRule {
  /** Name for metrics: the rule's own, else `<route>/<index>`. */
  readonly name: string
  readonly matches: readonly RouteMatch[]
  readonly filters: RouteFilters
  readonly backends: readonly RouteBackend[]
  readonly timeouts: RouteTimeouts
  readonly retry: RouteRetry | null
  readonly session: RouteSession | null
  /** What is wrong with the rule as a whole, so that it answers 500; "" for nothing. */
  readonly fault: string
}

/** A Service that a route binds. */
export interface ParentRef {
  readonly namespace: string
  readonly name: string
  /** 0 for all ports. */
  readonly port: number
  /** Name of a port, "" for all. */
  readonly sectionName: string
}

/** A route that binds at least one Service. */
export interface Route {
  readonly kind: RouteKind
  readonly namespace: string
  readonly name: string
  /** Creation, milliseconds since 1970; 0 when unknown. */
  readonly createdMs: number
  readonly generation: number
  /** Services only: other parents are others' business. */
  readonly parents: readonly ParentRef[]
  /** Of a TLSRoute: names that clients ask for, `*.example.com` for all below one; empty for any. Empty elsewhere. */
  readonly hostnames: readonly string[]
  readonly rules: readonly RouteRule[]
  /** What was left out of it. */
  readonly complaints: readonly RouteComplaint[]
}

/** A ReferenceGrant: who may refer to Services of its namespace. */
export interface ReferenceGrant {
  readonly namespace: string
  readonly name: string
  readonly from: readonly { readonly kind: string; readonly namespace: string }[]
  /** Names of Services; empty for all of the namespace. */
  readonly to: readonly string[]
}

/** Path to a field: names and list indexes from the object's root. */
export type RouteFieldPath = readonly (string | number)[]

/** Reasons of the conditions Accepted and PartiallyInvalid that a complaint stands for. */
export type ComplaintReason = "UnsupportedValue" | "IncompatibleFilters" | "UnsupportedProtocol" | "Pending"

/** Something wrong with a field. */
export interface RouteComplaint {
  readonly path: RouteFieldPath
  /** What is wrong, to stand behind the field's name. */
  readonly message: string
  /** What happens instead, a clause: `the rule answers 500`. */
  readonly effect: string
  readonly reason: ComplaintReason
}

/** A path as people write it: `spec.rules[0].matches[1].path.value`. */
export function dottedRouteField(path: RouteFieldPath): string {
  let text = ""
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`
    else if (/[./]/.test(step)) text += `["${step}"]`
    else text += text === "" ? step : `.${step}`
  }
  return text
}
