// Routes as the control plane sends them: plain data, from which RouteTable compiles what requests are matched with.

/** One of `conduit.destination.v1.RouteKind`: no route binds the port. */
export const ROUTE_KIND_NONE = 0
/** HTTPRoutes. */
export const ROUTE_KIND_HTTP = 1
/** GRPCRoutes: what is no gRPC request meets none of them. */
export const ROUTE_KIND_GRPC = 2
/** TLSRoutes: connections are spread over the backends of the rule for the name that they ask for. */
export const ROUTE_KIND_TLS = 3
/** TCPRoutes: connections are spread over the backends of the only rule. */
export const ROUTE_KIND_TCP = 4

/** One of `conduit.destination.v1.MatchKind`: equal. */
export const MATCH_EXACT = 0
/** Equal, or below by segments. */
export const MATCH_PREFIX = 1
/** The expression takes all of it. */
export const MATCH_REGEX = 2

/** A comparison with a header field or query parameter. */
export interface FieldMatchConfig {
  /** Of header fields in lower case. */
  readonly name: string
  /** MATCH_EXACT or MATCH_REGEX. */
  readonly kind: number
  readonly value: string
}

/** Conditions that must all hold. */
export interface MatchConfig {
  /** Order among all matches of the service; of those that hold the lowest counts. */
  readonly rank: number
  /** One of the MATCH_ constants. */
  readonly pathKind: number
  readonly path: string
  /** "" for any. */
  readonly method: string
  readonly headers: readonly FieldMatchConfig[]
  readonly query: readonly FieldMatchConfig[]
}

/** A header field with a value. */
export interface HeaderFieldConfig {
  readonly name: string
  readonly value: string
}

/** Changes of header fields. */
export interface HeaderModifierConfig {
  readonly set: readonly HeaderFieldConfig[]
  readonly add: readonly HeaderFieldConfig[]
  /** In lower case. */
  readonly remove: readonly string[]
}

/** The path stays. */
export const PATH_KEPT = 0
/** All of the path is replaced. */
export const PATH_FULL = 1
/** What the rule's prefix took is replaced. */
export const PATH_PREFIX = 2

/** A change of the path. */
export interface PathModifierConfig {
  /** One of the PATH_ constants. */
  readonly kind: number
  readonly value: string
}

/** A redirect. */
export interface RedirectConfig {
  readonly scheme: string
  readonly hostname: string
  readonly path: PathModifierConfig
  /** 0: to be derived. */
  readonly port: number
  readonly status: number
}

/** What is done to requests and responses; null where nothing is. */
export interface FiltersConfig {
  readonly requestHeaders: HeaderModifierConfig | null
  readonly responseHeaders: HeaderModifierConfig | null
  readonly redirect: RedirectConfig | null
  readonly rewrite: { readonly hostname: string; readonly path: PathModifierConfig } | null
  readonly mirrors: readonly MirrorConfig[]
}

/** A share of requests that is copied to a backend. */
export interface MirrorConfig {
  readonly backend: number
  readonly numerator: number
  readonly denominator: number
}

/** A share of a rule's requests. */
export interface RuleBackendConfig {
  readonly weight: number
  /** 0 for the service itself, else the number of a backend. */
  readonly backend: number
  readonly filters: FiltersConfig
  /** Why its share gets 500; "" for nothing. */
  readonly fault: string
}

/** Milliseconds, 0 for none. */
export interface TimeoutsConfig {
  readonly requestMs: number
  readonly backendRequestMs: number
  readonly responseMs: number
  readonly idleMs: number
}

/** No timeout. */
export const NO_TIMEOUTS: TimeoutsConfig = { requestMs: 0, backendRequestMs: 0, responseMs: 0, idleMs: 0 }

/** When requests are sent again. */
export interface RetryConfig {
  readonly codes: readonly number[]
  readonly grpcCodes: readonly number[]
  readonly attempts: number
  /** 0 for BACKOFF_MIN_MS. */
  readonly backoffMs: number
  readonly anyMethod: boolean
}

/** Requests of a session go to one endpoint; exactly one name is set. */
export interface SessionConfig {
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

/** Faults that requests to the service are to meet. */
export interface FaultConfig {
  readonly delayMs: number
  /** Percent of requests. */
  readonly delayPercent: number
  /** HTTP status. */
  readonly abortStatus: number
  /** Percent of requests. */
  readonly abortPercent: number
}

/** A rule. */
export interface RuleConfig {
  readonly name: string
  readonly matches: readonly MatchConfig[]
  readonly filters: FiltersConfig
  readonly backends: readonly RuleBackendConfig[]
  readonly timeouts: TimeoutsConfig
  readonly retry: RetryConfig | null
  readonly session: SessionConfig | null
  /** Of TLSRoutes: names that clients ask for, `*.example.com` for all below one; empty for any. Absent elsewhere. */
  readonly serverNames?: readonly string[]
  /** Why every request gets 500; "" for nothing. */
  readonly fault: string
}

/** When endpoints are left out after failures. */
export interface AccrualConfig {
  /** Failures in a row; 0: never. */
  readonly maxFailures: number
  readonly minPenaltyMs: number
  readonly maxPenaltyMs: number
}

/** How endpoints are chosen beside their load. */
export interface BalancingConfig {
  /** Milliseconds over which an endpoint that joins comes to its full share; 0 at once. */
  readonly slowStartMs: number
  /** Endpoints for the proxy's own node, or where there are none for its own zone, come first. */
  readonly preferZone: boolean
  /** The proxy stays with one endpoint. */
  readonly byClient: boolean
}

/** All routes of a service's port. */
export interface RoutesConfig {
  /** One of the ROUTE_KIND_ constants. */
  readonly kind: number
  readonly rules: readonly RuleConfig[]
  /** Of requests that meet no route. */
  readonly timeouts: TimeoutsConfig
  readonly retry: RetryConfig | null
  readonly accrual: AccrualConfig | null
  readonly balancing: BalancingConfig | null
  readonly injected: FaultConfig | null
}

/** Filters that do nothing. */
export const NO_FILTERS: FiltersConfig = {
  requestHeaders: null,
  responseHeaders: null,
  redirect: null,
  rewrite: null,
  mirrors: [],
}

/** What a service without routes and annotations has. */
export const NO_ROUTES: RoutesConfig = {
  kind: ROUTE_KIND_NONE,
  rules: [],
  timeouts: NO_TIMEOUTS,
  retry: null,
  accrual: null,
  balancing: null,
  injected: null,
}
