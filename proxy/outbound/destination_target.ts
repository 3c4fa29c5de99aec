// A destination as discovery knows it, seen as the target of connections: labels and endpoints follow its updates.
import type { Target } from "../accept/mod.ts"
import type { EndpointSource } from "../balance/mod.ts"
import type { Destination } from "../discovery/mod.ts"
import type { HttpTarget } from "../http/mod.ts"
import { formatAddress } from "../net/mod.ts"
import type { ServiceRoutes } from "../route/mod.ts"
import { type ConnectionLabels, OUTBOUND, type ScopeLabels } from "../telemetry/mod.ts"

/** The target behind one destination; one per destination, so that label objects are shared. */
export class DestinationTarget implements Target, HttpTarget {
  private readonly destination: Destination
  private generation = -1
  private scope: ScopeLabels | null = null
  private connection: ConnectionLabels | null = null

  constructor(destination: Destination) {
    this.destination = destination
  }

  get protocol(): number {
    return this.destination.protocol
  }

  http(random: number): HttpTarget {
    const { destination } = this
    return destination.routes?.isByConnection ? new TcpRoutedTarget(this, destination, random) : this
  }

  /** The application beside the proxy is the only client. */
  of(): Target {
    return this
  }

  raw(random: number, serverName: string): EndpointSource {
    const { routes, source } = this.destination
    return routes === null ? source : routes.connection(random, serverName)
  }

  get source(): EndpointSource {
    return this.destination.source
  }

  get routes(): ServiceRoutes | null {
    return this.destination.routes
  }

  get port(): number {
    return this.destination.port
  }

  get defaultAuthority(): string {
    return this.destination.service?.fqdn ?? ""
  }

  get labels(): ScopeLabels {
    if (this.scope === null || this.generation !== this.destination.generation) this.renew()
    // renew() has set it.
    return this.scope as ScopeLabels
  }

  get connectionLabels(): ConnectionLabels {
    if (this.connection === null || this.generation !== this.destination.generation) this.renew()
    // renew() has set it.
    return this.connection as ConnectionLabels
  }

  private renew(): void {
    const { service, address, port, generation } = this.destination
    this.generation = generation
    const dstService = service?.name ?? ""
    const dstNamespace = service?.namespace ?? ""
    this.scope = { direction: OUTBOUND, dstService, dstNamespace, tls: null, clientId: "", route: "" }
    this.connection = {
      direction: OUTBOUND,
      peer: "src",
      targetAddress: formatAddress(address, port),
      tls: "loopback",
      clientId: "",
      serverId: "",
      dstService,
      dstNamespace,
      dst: this.destination.kind === "endpoint" ? this.destination.original.info : null,
    }
  }
}

/** HTTP on a port that has TCPRoutes and no routes of HTTP: all requests of a connection go to the backend drawn for it. */
class TcpRoutedTarget implements HttpTarget {
  private readonly target: DestinationTarget
  private readonly destination: Destination
  private readonly random: number
  private drawnBy: ServiceRoutes | null = null
  private drawn: EndpointSource | null = null

  constructor(target: DestinationTarget, destination: Destination, random: number) {
    this.target = target
    this.destination = destination
    this.random = random
  }

  get source(): EndpointSource {
    const { routes, source } = this.destination
    if (this.drawn === null || routes !== this.drawnBy) {
      this.drawnBy = routes
      this.drawn = routes === null ? source : routes.connection(this.random, "")
    }
    return this.drawn
  }

  get labels(): ScopeLabels {
    return this.target.labels
  }

  get defaultAuthority(): string {
    return this.target.defaultAuthority
  }

  get routes(): ServiceRoutes | null {
    return this.target.routes
  }

  get port(): number {
    return this.target.port
  }
}
