// What stands behind an address, kept up to date in place: whoever holds a Destination sees the latest answer.
import {
  Endpoint,
  type EndpointInfo,
  EndpointSet,
  type EndpointSource,
  type EndpointUpdate,
  PROTOCOL_DETECT,
  SingleEndpoint,
  Standpoint,
} from "../balance/mod.ts"

import { type BackendUpdate, NO_ROUTES, type RoutesConfig, ServiceRoutes } from "../route/mod.ts"

/** What an address is. `pending`: not known yet. */
export type DestinationKind = "pending" | "service" | "endpoint" | "external"

/** A Service's port, as the control plane names it. */
export interface ServiceInfo {
  readonly namespace: string
  readonly name: string
  readonly port: number
  /** Fully qualified name. */
  readonly fqdn: string
  /** One of the `PROTOCOL_` constants of balance/. */
  readonly protocol: number
}

/** What stands behind an address and port. Made by `Discovery`, updated in place for as long as it lives. */
export class Destination {
  /** Text form of the address that was asked about. */
  readonly address: string
  readonly port: number
  kind: DestinationKind = "pending"
  /** Set while `kind` is `service`. */
  service: ServiceInfo | null = null
  /** Routes of the service; null while it has none, and says nothing of retries, timeouts and failures either. */
  routes: ServiceRoutes | null = null
  /** How bytes are to be understood: of the service, or of the endpoint. */
  protocol: number = PROTOCOL_DETECT
  /**
   * Where a connection's endpoint comes from: the balanced set of a service, else the address itself. While the
   * answer is pending (or the control plane is gone before it came), the address itself too.
   */
  source: EndpointSource
  /** Counts changes of `kind`, `service`, `routes`, `protocol` or `source` (not of a service's endpoints). */
  generation = 0
  /** Reading of the clock at the last lookup; belongs to `Discovery`. */
  usedMs: number
  /** Reading of the clock at the last answer about it, NaN before the first; belongs to `Discovery`. */
  answeredMs = Number.NaN
  /** Reading of the clock when it was first asked about. */
  readonly createdMs: number
  /** No answer came in time: connections no longer wait for it, until it comes. */
  waived = false
  private readonly random: () => number
  private readonly standpoint: Standpoint
  private set: EndpointSet | null = null
  private single: Endpoint
  private waiters: (() => void)[] = []

  /** For `Discovery` and tests. */
  constructor(
    address: string,
    port: number,
    random: () => number,
    nowMs = 0,
    standpoint: Standpoint = new Standpoint(""),
  ) {
    this.standpoint = standpoint
    this.createdMs = nowMs
    this.usedMs = nowMs
    this.address = address
    this.port = port
    this.random = random
    this.single = new Endpoint(address, port)
    this.source = new SingleEndpoint(this.single)
  }

  /** The address itself as an endpoint, for connections that are forwarded as they came. */
  get original(): Endpoint {
    return this.single
  }

  /** The endpoints of the service; null unless `kind` is `service`. */
  get endpoints(): EndpointSet | null {
    return this.set
  }

  /** Whether an answer came, now or earlier. */
  get known(): boolean {
    return this.kind !== "pending"
  }

  /**
   * Calls back once: when the first answer comes, or when `Discovery` gives up waiting (`kind` is still `pending`
   * then, and `source` is the address itself). At once if known or given up.
   */
  whenKnown(callback: () => void): void {
    if (this.known || this.waived) callback()
    else this.waiters.push(callback)
  }

  /** A service stands behind the address. */
  setService(
    service: ServiceInfo,
    endpoints: readonly EndpointUpdate[],
    nowMs: number,
    routes: RoutesConfig = NO_ROUTES,
    backends: readonly BackendUpdate[] = [],
  ): void {
    if (this.set === null) this.set = new EndpointSet(this.random, this.standpoint)
    this.single.outside = false
    this.set.replace(endpoints, nowMs)
    this.setRoutes(routes, backends, this.set, nowMs)
    const same = this.service !== null && sameService(this.service, service)
    if (same && this.kind === "service") return
    this.change("service", same ? this.service : service, service.protocol, this.set)
  }

  private setRoutes(
    config: RoutesConfig,
    backends: readonly BackendUpdate[],
    own: EndpointSet,
    nowMs: number,
  ): void {
    const before = this.routes
    if (isEmpty(config)) {
      before?.clear()
      this.routes = null
    } else this.routes = ServiceRoutes.replace(before, config, backends, own, nowMs)
    if (before !== this.routes) this.generation++
  }

  /** The endpoints of the service changed; ignored unless `kind` is `service`. */
  updateEndpoints(
    removed: readonly { readonly address: string; readonly port: number }[],
    added: readonly EndpointUpdate[],
    nowMs: number,
  ): void {
    this.set?.update(removed, added, nowMs)
  }

  /** A pod stands behind the address: go there and nowhere else. */
  setEndpoint(info: EndpointInfo): void {
    const before = this.single.info
    this.single.outside = false
    if (
      this.kind === "endpoint" &&
      before.pod === info.pod &&
      before.namespace === info.namespace &&
      before.identity === info.identity
    ) {
      this.single.info = info
      if (this.protocol === info.protocol) return
    } else {
      this.renewSingle(info)
    }
    this.change("endpoint", null, info.protocol, new SingleEndpoint(this.single))
  }

  /** Nothing that the mesh knows: forward as it came. */
  setExternal(): void {
    if (this.kind === "external") return
    if (this.kind === "endpoint") this.renewSingle(undefined)
    this.single.outside = true
    this.change("external", null, PROTOCOL_DETECT, new SingleEndpoint(this.single))
  }

  /** No answer is to be expected soon: whoever waits goes on with the address as it came. */
  giveUp(): void {
    if (!this.known) this.waived = true
    this.callWaiters()
  }

  /** Whether anybody waits for the first answer. */
  get awaited(): boolean {
    return this.waiters.length > 0
  }

  private callWaiters(): void {
    const waiters = this.waiters
    if (waiters.length === 0) return
    this.waiters = []
    for (const waiter of waiters) waiter()
  }

  /** Another pod (or none) stands behind the address now: what was learnt about the old one is void. */
  private renewSingle(info: EndpointInfo | undefined): void {
    const before = this.single
    this.single = new Endpoint(this.address, this.port, info)
    before.remove()
  }

  private change(
    kind: DestinationKind,
    service: ServiceInfo | null,
    protocol: number,
    source: EndpointSource,
  ): void {
    if (kind !== "service" && this.set !== null) {
      this.set.clear()
      this.set = null
      this.routes?.clear()
      this.routes = null
    }
    this.kind = kind
    this.service = service
    this.protocol = protocol
    this.source = source
    this.generation++
    this.waived = false
    this.callWaiters()
  }
}

function isEmpty({ kind, retry, timeouts, accrual, balancing, injected }: RoutesConfig): boolean {
  const { requestMs, backendRequestMs, responseMs, idleMs } = timeouts
  return (
    kind === 0 &&
    retry === null &&
    accrual === null &&
    balancing === null &&
    injected === null &&
    requestMs + backendRequestMs + responseMs + idleMs === 0
  )
}

function sameService(a: ServiceInfo, b: ServiceInfo): boolean {
  return (
    a.namespace === b.namespace &&
    a.name === b.name &&
    a.port === b.port &&
    a.fqdn === b.fqdn &&
    a.protocol === b.protocol
  )
}
