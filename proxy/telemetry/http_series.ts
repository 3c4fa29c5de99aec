// The series of HTTP traffic, found once per endpoint, authority and scope, then reached through a cache on the
// endpoint: recording a request builds no string and allocates nothing.
import type { Endpoint, EndpointInfo } from "../balance/mod.ts"
import type { AuthorityLabel } from "./authority_labels.ts"
import { LearnedBudget, LearnedRoutes } from "./learned_routes.ts"
import type { Registry } from "./registry.ts"
import { type Histogram, type Labels, type Metric, type Scalar, SeriesGroup } from "./series.ts"

const REQUEST_TOTAL: Metric = { name: "request_total", kind: "counter", help: "Requests begun." }
const RESPONSE_TOTAL: Metric = { name: "response_total", kind: "counter", help: "Responses ended." }
const RESPONSE_LATENCY: Metric = {
  name: "response_latency_ms",
  kind: "histogram",
  help: "Milliseconds from the request's head to the end of the response.",
}
const ROUTE_REQUEST_TOTAL: Metric = {
  name: "route_request_total",
  kind: "counter",
  help: "Requests per route.",
}
const ROUTE_ACTUAL_REQUEST_TOTAL: Metric = {
  name: "route_actual_request_total",
  kind: "counter",
  help: "Requests per route as sent to endpoints, retries included.",
}
const ROUTE_RESPONSE_TOTAL: Metric = {
  name: "route_response_total",
  kind: "counter",
  help: "Responses per route.",
}
const ROUTE_RESPONSE_LATENCY: Metric = {
  name: "route_response_latency_ms",
  kind: "histogram",
  help: "Milliseconds from the request's head to the end of the response, per route.",
}

/** Facing the application's own listeners. */
export const INBOUND = 0
/** Facing the application's calls. */
export const OUTBOUND = 1
/** Which side of the proxy. */
export type Direction = 0 | 1

/** Value of the `tls` label of a connection without TLS of the mesh. As Linkerd: `disabled` where this proxy has no
 * identity, `no_identity` where the peer has none, `loopback` where the pod talks to itself. */
export type TlsLabel = "true" | "disabled" | "no_identity" | "loopback"

/** What all requests of a connection share. */
export interface ScopeLabels {
  readonly direction: Direction
  /** Outbound: the Service addressed; empty for a pod's address or the outside. */
  readonly dstService: string
  readonly dstNamespace: string
  /** Inbound: how the client's connection is secured. Outbound: null, the endpoint decides. */
  readonly tls: TlsLabel | null
  /** Identity that the client proved; empty for none. */
  readonly clientId: string
  /** Name of the route; empty for the default. */
  readonly route: string
}

/** Interned labels that all requests of a connection share, with the series per route. */
export class HttpScope {
  readonly id: number
  readonly labels: ScopeLabels
  route: RouteSeries | null = null
  /** Routes that are learnt from requests; null where none are: inbound, for rules, and without a Service. */
  readonly learned: LearnedRoutes | null

  constructor(id: number, labels: ScopeLabels, learned: LearnedRoutes | null = null) {
    this.id = id
    this.labels = labels
    this.learned = learned
  }
}

/** How responses of one kind are counted. */
class ResponseSeries {
  readonly status: number
  readonly grpcStatus: number
  readonly failure: boolean
  readonly error: string
  readonly total: Scalar
  readonly latency: Histogram

  constructor(
    status: number,
    grpcStatus: number,
    failure: boolean,
    error: string,
    total: Scalar,
    latency: Histogram,
  ) {
    this.status = status
    this.grpcStatus = grpcStatus
    this.failure = failure
    this.error = error
    this.total = total
    this.latency = latency
  }
}

/** A group with responses by status, gRPC status, classification and error. */
abstract class ResponseGroup extends SeriesGroup {
  private readonly registry: Registry
  private readonly labels: Labels
  private readonly totalMetric: Metric
  private readonly latencyMetric: Metric
  private readonly responses: ResponseSeries[] = []

  constructor(key: string, registry: Registry, labels: Labels, totalMetric: Metric, latencyMetric: Metric) {
    super(key)
    this.registry = registry
    this.labels = labels
    this.totalMetric = totalMetric
    this.latencyMetric = latencyMetric
  }

  /** Counts the end of a response. `grpcStatus` -1 and `status` 0 for none, `error` "" for none. */
  response(status: number, grpcStatus: number, failure: boolean, error: string, latencyMs: number): void {
    const responses = this.responses
    for (let i = 0; i < responses.length; i++) {
      // i < length
      const known = responses[i]!
      if (
        known.status === status &&
        known.grpcStatus === grpcStatus &&
        known.failure === failure &&
        known.error === error
      ) {
        known.total.value++
        known.latency.observe(latencyMs)
        return
      }
    }
    const added = this.add(status, grpcStatus, failure, error)
    added.total.value++
    added.latency.observe(latencyMs)
  }

  private add(status: number, grpcStatus: number, failure: boolean, error: string): ResponseSeries {
    const statusLabels: [string, string][] = status > 0 ? [["status_code", String(status)]] : []
    const labels: [string, string][] = [["classification", failure ? "failure" : "success"], ...statusLabels]
    if (grpcStatus >= 0) labels.push(["grpc_status", String(grpcStatus)])
    if (error !== "") labels.push(["error", error])
    const total = this.registry.scalar(this, this.totalMetric, [...this.labels, ...labels])
    const latency =
      this.responses.find(known => known.status === status)?.latency ??
      this.registry.histogram(this, this.latencyMetric, [...this.labels, ...statusLabels])
    const added = new ResponseSeries(status, grpcStatus, failure, error, total, latency)
    this.responses.push(added)
    return added
  }
}

/** The series of one scope, authority and endpoint. */
export class RequestSeries extends ResponseGroup {
  readonly authority: AuthorityLabel | null
  private readonly requests: Scalar

  constructor(key: string, registry: Registry, labels: Labels, authority: AuthorityLabel | null) {
    super(key, registry, labels, RESPONSE_TOTAL, RESPONSE_LATENCY)
    this.authority = authority
    this.requests = registry.scalar(this, REQUEST_TOTAL, labels)
  }

  /** Counts the start of a request. */
  request(): void {
    this.requests.value++
  }
}

/** The series of one route. */
export class RouteSeries extends ResponseGroup {
  private readonly requests: Scalar
  private readonly actual: Scalar

  constructor(key: string, registry: Registry, labels: Labels) {
    super(key, registry, labels, ROUTE_RESPONSE_TOTAL, ROUTE_RESPONSE_LATENCY)
    this.requests = registry.scalar(this, ROUTE_REQUEST_TOTAL, labels)
    this.actual = registry.scalar(this, ROUTE_ACTUAL_REQUEST_TOTAL, labels)
  }

  /** Counts a request of a client. */
  request(): void {
    this.requests.value++
  }

  /** Counts a request sent to an endpoint. */
  sent(): void {
    this.actual.value++
  }
}

/** Cache on an endpoint: series by scope and authority. */
class EndpointSeries {
  /** What the labels were made from; an update of the endpoint may make others. */
  info: EndpointInfo
  /** How connections to it were secured then. */
  tls: TlsLabel
  lastKey = -1
  last: RequestSeries | null = null
  readonly byKey = new Map<number, RequestSeries>()

  constructor(info: EndpointInfo, tls: TlsLabel) {
    this.info = info
    this.tls = tls
  }

  renew(info: EndpointInfo, tls: TlsLabel): void {
    this.info = info
    this.tls = tls
    this.lastKey = -1
    this.last = null
    this.byKey.clear()
  }
}

/** Entries of an endpoint's cache at most; a cleared cache costs one lookup by text for each that is still in use. */
const MAX_CACHED = 1024

/** Scopes remembered at most: services called, by route, and clients' identities. A scope made anew finds its series. */
const MAX_SCOPES = 4096

/** Scope and authority ids below this make one exact number together. */
const AUTHORITY_IDS = 2 ** 26

/** Finds and makes the series of HTTP traffic. */
export class HttpMetrics {
  private readonly registry: Registry
  private readonly scopes = new Map<string, HttpScope>()
  /** The same by identity: targets share one object among all their connections. */
  private readonly scopeOf = new WeakMap<ScopeLabels, HttpScope>()
  private nextScopeId = 0
  /** By namespace and name of the Service. */
  private readonly learned = new Map<string, LearnedRoutes>()
  private readonly learnedBudget = new LearnedBudget()
  /** How connections to an endpoint are secured; replaced where the proxy has an identity. */
  tlsOf: (info: EndpointInfo) => TlsLabel = tlsWithoutIdentity

  constructor(registry: Registry) {
    this.registry = registry
  }

  /** The scope of these labels. */
  scope(labels: ScopeLabels): HttpScope {
    const known = this.scopeOf.get(labels)
    if (known !== undefined) return known
    const key = JSON.stringify(labels)
    let scope = this.scopes.get(key)
    if (scope === undefined) {
      if (this.scopes.size >= MAX_SCOPES) this.scopes.clear()
      scope = new HttpScope(this.nextScopeId++, labels, this.learnedOf(labels))
      this.scopes.set(key, scope)
    }
    this.scopeOf.set(labels, scope)
    return scope
  }

  /** Forgets learned routes whose series went; to be called after the registry's sweep. */
  sweep(): void {
    for (const learned of this.learned.values()) learned.sweep()
  }

  private learnedOf(labels: ScopeLabels): LearnedRoutes | null {
    const { direction, dstService, dstNamespace, route } = labels
    if (direction === INBOUND || dstService === "" || route !== "") return null
    const key = `${dstNamespace}/${dstService}`
    let learned = this.learned.get(key)
    if (learned === undefined && this.learned.size < MAX_SCOPES) {
      learned = new LearnedRoutes(labels, this.learnedBudget)
      this.learned.set(key, learned)
    }
    return learned ?? null
  }

  /** Series of requests to an endpoint; null for a request that never got one. */
  requests(scope: HttpScope, endpoint: Endpoint | null, authority: AuthorityLabel): RequestSeries {
    if (endpoint === null) return this.find(scope, null, authority)
    // Only this class writes the slot.
    let cache = endpoint.series as EndpointSeries | null
    if (cache === null) {
      cache = new EndpointSeries(endpoint.info, this.tlsOf(endpoint.info))
      endpoint.series = cache
    } else {
      const tls = this.tlsOf(endpoint.info)
      if (cache.info !== endpoint.info || cache.tls !== tls) cache.renew(endpoint.info, tls)
    }
    const key = scope.id * AUTHORITY_IDS + authority.id
    const last = cache.lastKey === key ? cache.last : (cache.byKey.get(key) ?? null)
    if (last !== null && !last.dropped) {
      cache.lastKey = key
      cache.last = last
      return last
    }
    const found = this.find(scope, endpoint, authority)
    if (cache.byKey.size >= MAX_CACHED) cache.byKey.clear()
    cache.byKey.set(key, found)
    cache.lastKey = key
    cache.last = found
    return found
  }

  /** Series of the scope's route; outbound only. */
  route(scope: HttpScope): RouteSeries {
    const known = scope.route
    if (known !== null && !known.dropped) return known
    const { dstService, dstNamespace, route } = scope.labels
    const labels: Labels = compact([
      ["direction", "outbound"],
      ["dst_service", dstService],
      ["dst_namespace", dstNamespace],
      ["rt_route", route === "" ? "default" : route],
    ])
    const found = this.registry.group(
      `route ${JSON.stringify(labels)}`,
      key => new RouteSeries(key, this.registry, labels),
    )
    scope.route = found
    return found
  }

  private find(scope: HttpScope, endpoint: Endpoint | null, authority: AuthorityLabel): RequestSeries {
    const tls = scope.labels.tls ?? (endpoint === null ? "no_identity" : this.tlsOf(endpoint.info))
    const labels = requestLabels(scope.labels, endpoint, authority, tls)
    const key = `http ${JSON.stringify(labels)}`
    if (!this.registry.full || this.registry.has(key)) {
      return this.registry.group(key, newKey => new RequestSeries(newKey, this.registry, labels, authority))
    }
    const overflow: Labels = [
      ["direction", scope.labels.direction === INBOUND ? "inbound" : "outbound"],
      ["authority", "other"],
    ]
    return this.registry.group(
      `http overflow ${scope.labels.direction}`,
      newKey => new RequestSeries(newKey, this.registry, overflow, null),
    )
  }
}

/** The `tls` label of calls to an endpoint by a proxy without identity. */
export function tlsWithoutIdentity(info: EndpointInfo): TlsLabel {
  return info.meshed ? "disabled" : "no_identity"
}

/** Labels of requests; empty ones left out. */
function requestLabels(
  scope: ScopeLabels,
  endpoint: Endpoint | null,
  authority: AuthorityLabel,
  tls: TlsLabel,
): Labels {
  const info = endpoint?.info
  const outbound = scope.direction === OUTBOUND
  return compact([
    ["direction", outbound ? "outbound" : "inbound"],
    ["authority", authority.text],
    ["target_addr", endpoint === null ? "" : targetAddress(endpoint.address, endpoint.port)],
    ["tls", tls],
    ["client_id", scope.clientId],
    ["server_id", outbound && tls === "true" ? (info?.identity ?? "") : ""],
    ...(outbound ? destinationLabels(scope.dstService, scope.dstNamespace, info ?? null) : []),
  ])
}

/** The `dst_` labels of an endpoint of a service. */
export function destinationLabels(
  service: string,
  serviceNamespace: string,
  info: EndpointInfo | null,
): [string, string][] {
  const namespace = info === null || info.namespace === "" ? serviceNamespace : info.namespace
  const labels: [string, string][] = [
    ["dst_service", service],
    ["dst_namespace", namespace],
  ]
  if (info !== null && info.workloadKind !== "") labels.push([`dst_${info.workloadKind}`, info.workload])
  if (info !== null) labels.push(["dst_pod", info.pod])
  return labels
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function targetAddress(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`
}

/** Labels without those that are empty. */
export function compact(labels: Labels): Labels {
  return labels.filter(label => label[1] !== "")
}
