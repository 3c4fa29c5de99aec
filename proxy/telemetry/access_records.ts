// Who called what and what was decided about it: cumulative counts of inbound traffic per client, port, method, route,
// verdict and policy. They go to the control plane in the reports, for `edges`, `policy list`, `what-if` and `learn`, and
// stand on no /metrics: clients and paths are too many for a Prometheus.
import { type PathTemplate, PathTemplates } from "./path_template.ts"
import { Registry } from "./registry.ts"
import { type Labels, type Metric, type Scalar, SeriesGroup } from "./series.ts"

/** Records of one proxy at most, some 1.5 KB each: a pod has tens of callers with a few routes each. Beyond it: `other`. */
export const MAX_ACCESS_RECORDS = 1000

/** Clients (per port) whose connections share a cache; those of further clients find their records by name. */
export const MAX_ACCESS_CLIENTS = 512

/** Routes remembered with their records over all clients, some 200 bytes each; then all are forgotten and learnt anew. */
export const MAX_CACHED_ROUTES = 4096

/** Records remembered per route and client: a route is called with a few methods, and decided by a few policies. */
export const MAX_CACHED_PER_ROUTE = 16

/** Methods told apart; HTTP knows some forty (IANA registry), and no client uses ten. */
export const MAX_ACCESS_METHODS = 48

/** Longest method told apart. */
export const MAX_ACCESS_METHOD_LENGTH = 32

/** Name of the metric in reports. */
export const ACCESS_METRIC: Metric = {
  name: "access_total",
  kind: "counter",
  help: "Requests, and connections that are not HTTP, decided on the inbound side.",
}

/** What a client spoke. */
export type AccessProtocol = "http1" | "http2" | "grpc" | "tcp"

/** What was decided; `audit` was let through and is to be looked at. */
export type AccessVerdict = "allow" | "deny" | "audit"

/** Who a client is; `Client` of accept/ fits. */
export interface AccessClient {
  /** IP address as text. */
  readonly address: string
  /** DNS name that it proved; empty for none. */
  readonly dnsName: string
}

/** The count of one kind of access. */
class AccessRecord extends SeriesGroup {
  readonly template: PathTemplate | null
  readonly count: Scalar
  /** Of accesses that cannot be told apart. */
  readonly isOther: boolean

  constructor(
    key: string,
    registry: Registry,
    labels: Labels,
    template: PathTemplate | null,
    isOther = false,
  ) {
    super(key)
    this.template = template
    this.isOther = isOther
    this.count = registry.scalar(this, ACCESS_METRIC, labels)
  }
}

/** A record as a client's cache holds it, with others of the same route. */
class Cached {
  readonly protocol: AccessProtocol
  readonly method: string
  readonly verdict: AccessVerdict
  readonly policy: string
  readonly record: AccessRecord
  readonly next: Cached | null
  /** Entries from here to the end. */
  readonly length: number

  constructor(
    protocol: AccessProtocol,
    method: string,
    verdict: AccessVerdict,
    policy: string,
    record: AccessRecord,
    next: Cached | null,
  ) {
    this.protocol = protocol
    this.method = method
    this.verdict = verdict
    this.policy = policy
    this.record = record
    this.next = next
    this.length = next === null ? 1 : next.length + 1
  }
}

/** Counts what one client sends to one port; asked for once per connection. */
export class ClientAccess {
  readonly clientId: string
  readonly address: string
  readonly port: number
  /** Whether anything was counted since the last sweep. */
  active = true
  private readonly records: AccessRecords
  /** By path where a route is one path, else by template; null for connections. */
  private readonly routes = new Map<string | PathTemplate | null, Cached>()

  /** Made by `AccessRecords.of`. */
  constructor(records: AccessRecords, client: AccessClient, port: number) {
    this.records = records
    this.clientId = client.dnsName
    this.address = client.address
    this.port = port
  }

  /**
   * Counts a decided request.
   *
   * @param path  normal form, without the query
   * @param policy  `namespace/name` of the policy that decided, or `default`
   */
  request(
    protocol: AccessProtocol,
    method: string,
    path: string,
    verdict: AccessVerdict,
    policy: string,
  ): void {
    this.active = true
    const exact = this.routes.get(path)
    const known = exact === undefined ? null : find(exact, protocol, method, verdict, policy)
    if (known !== null) known.count.value++
    else this.countRoute(this.records.template(path, protocol), protocol, method, path, verdict, policy)
  }

  /** Counts a decided connection that is not HTTP. */
  connection(verdict: AccessVerdict, policy: string): void {
    this.active = true
    this.countRoute(null, "tcp", "", "", verdict, policy)
  }

  /** Entries of its cache. */
  get cached(): number {
    return this.routes.size
  }

  /** Empties its cache. */
  forget(): void {
    this.routes.clear()
  }

  private countRoute(
    template: PathTemplate | null,
    protocol: AccessProtocol,
    method: string,
    path: string,
    verdict: AccessVerdict,
    policy: string,
  ): void {
    const key = template !== null && template.text === path ? path : template
    const first = this.routes.get(key)
    const known = first === undefined ? null : find(first, protocol, method, verdict, policy)
    const record = known ?? this.records.record(this, template, protocol, method, verdict, policy)
    record.count.value++
    if (known !== null || record.isOther || !this.records.mayCache(this)) return
    const keep = first !== undefined && first.length < MAX_CACHED_PER_ROUTE && !hasDropped(first)
    this.routes.set(key, new Cached(protocol, method, verdict, policy, record, keep ? first : null))
  }
}

/** The record of a chain, unless it is gone; null for none. */
function find(
  first: Cached,
  protocol: AccessProtocol,
  method: string,
  verdict: AccessVerdict,
  policy: string,
): AccessRecord | null {
  for (let cached: Cached | null = first; cached !== null; cached = cached.next) {
    if (
      cached.verdict === verdict &&
      cached.protocol === protocol &&
      cached.method === method &&
      cached.policy === policy
    )
      return cached.record.dropped ? null : cached.record
  }
  return null
}

/** Whether a record of the chain is gone; the others are found anew then, one by one. */
function hasDropped(first: Cached): boolean {
  for (let cached: Cached | null = first; cached !== null; cached = cached.next) {
    if (cached.record.dropped) return true
  }
  return false
}

/** All records of a proxy. */
export class AccessRecords {
  /** The series, apart from those of /metrics. */
  readonly registry: Registry
  private readonly templates = new PathTemplates()
  private readonly methods = new Set<string>()
  private readonly clients = new Map<string, ClientAccess>()
  private cachedRoutes = 0

  constructor(limit: number = MAX_ACCESS_RECORDS) {
    this.registry = new Registry(limit)
  }

  /** Where a connection's accesses are counted. */
  of(client: AccessClient, port: number): ClientAccess {
    const key = `${port} ${client.address} ${client.dnsName}`
    const known = this.clients.get(key)
    if (known !== undefined) return known
    const made = new ClientAccess(this, client, port)
    if (this.clients.size < MAX_ACCESS_CLIENTS) this.clients.set(key, made)
    return made
  }

  /** For `ClientAccess`: the route of a path; null where there is no room for another one. */
  template(path: string, protocol: AccessProtocol): PathTemplate | null {
    return this.templates.of(path, protocol === "grpc")
  }

  /** For `ClientAccess`: the record of an access, made if it is new. */
  record(
    client: ClientAccess,
    template: PathTemplate | null,
    protocol: AccessProtocol,
    method: string,
    verdict: AccessVerdict,
    policy: string,
  ): AccessRecord {
    if (template === null && protocol !== "tcp") return this.other(verdict)
    if (!this.knowsMethod(method)) return this.other(verdict)
    const labels: Labels = [
      ["client_id", client.clientId],
      ["client_ip", client.address],
      ["port", String(client.port)],
      ["protocol", protocol],
      ["method", method],
      ["path", template?.text ?? ""],
      ["verdict", verdict],
      ["policy", policy],
    ]
    const key = `access ${JSON.stringify(labels)}`
    if (this.registry.full && !this.registry.has(key)) return this.other(verdict)
    return this.registry.group(key, newKey => {
      const shown: Labels = template === null ? labels : [...labels, ["example", template.example]]
      return new AccessRecord(newKey, this.registry, shown, template)
    })
  }

  /** For `ClientAccess`: whether it may remember one more route. */
  mayCache(client: ClientAccess): boolean {
    if (this.clients.get(`${client.port} ${client.address} ${client.clientId}`) !== client) return false
    if (this.cachedRoutes >= MAX_CACHED_ROUTES) this.forgetRoutes()
    this.cachedRoutes++
    return true
  }

  /** Drops records without change for ten minutes, and what only they needed; to be called every minute. */
  sweep(nowMs: number): void {
    this.registry.sweep(nowMs)
    this.methods.clear()
    for (const group of this.registry.allGroups()) {
      // Only this class makes groups in this registry.
      const record = group as AccessRecord
      if (record.template !== null) record.template.used = true
    }
    this.templates.retain()
    this.forgetRoutes()
    for (const [key, client] of this.clients) {
      if (!client.active) this.clients.delete(key)
      client.active = false
    }
  }

  private forgetRoutes(): void {
    for (const client of this.clients.values()) client.forget()
    this.cachedRoutes = 0
  }

  private knowsMethod(method: string): boolean {
    if (this.methods.has(method)) return true
    if (this.methods.size >= MAX_ACCESS_METHODS || method.length > MAX_ACCESS_METHOD_LENGTH) return false
    this.methods.add(method)
    return true
  }

  /** What cannot be told apart; only the verdict is known of it. */
  private other(verdict: AccessVerdict): AccessRecord {
    return this.registry.group(
      `other ${verdict}`,
      key =>
        new AccessRecord(
          key,
          this.registry,
          [
            ["other", "true"],
            ["verdict", verdict],
          ],
          null,
          true,
        ),
    )
  }
}
