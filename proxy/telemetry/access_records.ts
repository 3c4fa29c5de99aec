// Who called what and what was decided about it: cumulative counts of inbound traffic per client, port, method, route,
// verdict and policy. They go to the control plane in the reports, for `edges`, `policy list`, `what-if` and `learn`, and
// stand on no /metrics: clients and paths are too many for a Prometheus.
import { type AuditMatch, PathReading, type Verdict } from "../../protos/authorization/mod.ts"
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

/** What a client spoke; `tcp` and `tls` are connections into which nobody looks. */
export type AccessProtocol = "http1" | "http2" | "grpc" | "tcp" | "tls"

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
  readonly verdict: Verdict
  readonly record: AccessRecord
  readonly next: Cached | null
  /** Entries from here to the end. */
  readonly length: number

  constructor(
    protocol: AccessProtocol,
    method: string,
    verdict: Verdict,
    record: AccessRecord,
    next: Cached | null,
  ) {
    this.protocol = protocol
    this.method = method
    this.verdict = verdict
    this.record = record
    this.next = next
    this.length = next === null ? 1 : next.length + 1
  }
}

/** What one client sends to one port. */
class ClientAccess {
  readonly clientId: string
  readonly address: string
  readonly port: number
  /** The same client's other port that was found before this one. */
  readonly next: ClientAccess | null
  /** Whether anything was counted since the last sweep. */
  active = true
  /** By path where a route is one path, else by template; null for connections. */
  readonly routes = new Map<string | PathTemplate | null, Cached>()

  constructor(client: AccessClient, port: number, next: ClientAccess | null) {
    this.clientId = client.dnsName
    this.address = client.address
    this.port = port
    this.next = next
  }
}

/** The record of a chain, unless it is gone; null for none. */
function find(
  first: Cached,
  protocol: AccessProtocol,
  method: string,
  verdict: Verdict,
): AccessRecord | null {
  for (let cached: Cached | null = first; cached !== null; cached = cached.next) {
    if (cached.verdict === verdict && cached.protocol === protocol && cached.method === method)
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

/** Its result is taken at once. */
const reading = new PathReading()

/** All records of a proxy; the observer of its policy. */
export class AccessRecords {
  /** The series, apart from those of /metrics. */
  readonly registry: Registry
  private readonly templates = new PathTemplates()
  private readonly methods = new Set<string>()
  private readonly clients = new Map<string, ClientAccess>()
  /** The same by the object that a connection holds: no name is built for a client that was met before. */
  private readonly clientOf = new WeakMap<AccessClient, ClientAccess>()
  private lastClient: AccessClient | null = null
  private last: ClientAccess | null = null
  private cachedRoutes = 0

  constructor(limit: number = MAX_ACCESS_RECORDS) {
    this.registry = new Registry(limit)
  }

  /** Entries of all caches. */
  get cached(): number {
    return this.cachedRoutes
  }

  /**
   * Counts a request, or a connection into which nobody looks.
   *
   * @param port  port of the pod
   * @param method  empty for connections
   * @param target  path as it was sent; empty for connections
   * @param verdict  the same object for decisions alike
   */
  decided(
    client: AccessClient,
    port: number,
    protocol: AccessProtocol,
    method: string,
    target: string,
    verdict: Verdict,
  ): void {
    const access = client === this.lastClient && this.last?.port === port ? this.last : this.of(client, port)
    access.active = true
    // What is known by its path is in normal form, so this needs not be made.
    let exact = target === "" ? undefined : access.routes.get(target)
    let known = exact === undefined ? null : find(exact, protocol, method, verdict)
    if (known !== null) {
      known.count.value++
      return
    }
    let path = ""
    if (method !== "") {
      reading.read(target)
      path = reading.path
      if (path !== target) {
        exact = access.routes.get(path)
        known = exact === undefined ? null : find(exact, protocol, method, verdict)
      }
    }
    if (known !== null) known.count.value++
    else this.countRoute(access, protocol, method, path, verdict)
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

  private of(client: AccessClient, port: number): ClientAccess {
    const first = this.clientOf.get(client) ?? null
    let access: ClientAccess | null = first
    while (access !== null && access.port !== port) access = access.next
    if (access === null) {
      const key = `${port} ${client.address} ${client.dnsName}`
      const known = this.clients.get(key)
      access = known ?? new ClientAccess(client, port, first)
      if (known === undefined && this.clients.size < MAX_ACCESS_CLIENTS) this.clients.set(key, access)
      this.clientOf.set(client, access)
    }
    this.lastClient = client
    this.last = access
    return access
  }

  private countRoute(
    access: ClientAccess,
    protocol: AccessProtocol,
    method: string,
    path: string,
    verdict: Verdict,
  ): void {
    const raw = protocol === "tcp" || protocol === "tls"
    const template = raw ? null : this.templates.of(path, protocol === "grpc")
    if (template === null && !raw) {
      this.other(verdict).count.value++
      return
    }
    const key = template !== null && template.text === path ? path : template
    const first = access.routes.get(key)
    const known = first === undefined ? null : find(first, protocol, method, verdict)
    const record = known ?? this.record(access, template, protocol, method, verdict)
    record.count.value++
    if (known !== null || record.isOther || !this.mayCache(access)) return
    const keep = first !== undefined && first.length < MAX_CACHED_PER_ROUTE && !hasDropped(first)
    access.routes.set(key, new Cached(protocol, method, verdict, record, keep ? first : null))
  }

  private record(
    access: ClientAccess,
    template: PathTemplate | null,
    protocol: AccessProtocol,
    method: string,
    verdict: Verdict,
  ): AccessRecord {
    if (!this.knowsMethod(method)) return this.other(verdict)
    const labels: Labels = [
      ["client_id", access.clientId],
      ["client_ip", access.address],
      ["port", String(access.port)],
      ["protocol", protocol],
      ["method", method],
      ["path", template?.text ?? ""],
      ["verdict", verdictLabel(verdict)],
      ["policy", policyLabel(verdict)],
      ["audit", verdict.audit === null ? "" : auditLabel(verdict.audit)],
    ]
    const key = `access ${JSON.stringify(labels)}`
    if (this.registry.full && !this.registry.has(key)) return this.other(verdict)
    return this.registry.group(key, newKey => {
      const shown: Labels = template === null ? labels : [...labels, ["example", template.example]]
      return new AccessRecord(newKey, this.registry, shown, template)
    })
  }

  /** Whether a client may remember one more route. */
  private mayCache(access: ClientAccess): boolean {
    // One that is not listed would not hear of `forgetRoutes`.
    const key = `${access.port} ${access.address} ${access.clientId}`
    const listed = this.clients.get(key)
    if (listed === undefined && this.clients.size < MAX_ACCESS_CLIENTS) this.clients.set(key, access)
    else if (listed !== access) return false
    if (this.cachedRoutes >= MAX_CACHED_ROUTES) this.forgetRoutes()
    this.cachedRoutes++
    return true
  }

  private forgetRoutes(): void {
    for (const client of this.clients.values()) client.routes.clear()
    this.cachedRoutes = 0
  }

  private knowsMethod(method: string): boolean {
    if (this.methods.has(method)) return true
    if (this.methods.size >= MAX_ACCESS_METHODS || method.length > MAX_ACCESS_METHOD_LENGTH) return false
    this.methods.add(method)
    return true
  }

  /** What cannot be told apart; only the verdict is known of it. */
  private other(verdict: Verdict): AccessRecord {
    const label = verdictLabel(verdict)
    return this.registry.group(`other ${label}`, key => {
      const labels: Labels = [
        ["other", "true"],
        ["verdict", label],
      ]
      return new AccessRecord(key, this.registry, labels, null, true)
    })
  }
}

/** `audit` was let through and is to be looked at. */
function verdictLabel({ allowed, audit }: Verdict): string {
  if (!allowed) return "deny"
  return audit === null ? "allow" : "audit"
}

/** `namespace/name` of the policy that decided; where none did, what did instead. */
function policyLabel({ cause, namespace, name }: Verdict): string {
  return namespace === "" ? cause : `${namespace}/${name}`
}

function auditLabel({ namespace, name }: AuditMatch): string {
  return namespace === "" ? "default" : `${namespace}/${name}`
}
