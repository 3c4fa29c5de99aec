// A port of the proxy's own pod as the target of connections: the application that listens there.
import type { Client, Target } from "../accept/mod.ts"
import { Endpoint, type EndpointSource, SingleEndpoint } from "../balance/mod.ts"
import type { HttpTarget } from "../http/mod.ts"
import { formatAddress, type SocketAddress } from "../net/mod.ts"
import { type ConnectionLabels, INBOUND, type ScopeLabels, type TlsLabel } from "../telemetry/mod.ts"

/** How discovery says a port behaves; one of the `PROTOCOL_` constants of balance/. */
export interface PortSettings {
  readonly protocol: number
}

/** Clients of one port whose labels are kept; what is above costs a few objects a connection. */
export const CLIENTS_PER_PORT_MAX = 256

/** Labels of requests by how the client is secured and who it is. */
function scopeOf(tls: TlsLabel, clientId: string): ScopeLabels {
  return { direction: INBOUND, dstService: "", dstNamespace: "", tls, clientId, route: "" }
}

/** The application behind one address and port of the pod. */
export class LocalTarget implements Target, HttpTarget {
  readonly source: EndpointSource
  readonly labels: ScopeLabels
  readonly defaultAuthority = ""
  readonly routes = null
  readonly port: number
  readonly connectionLabels: ConnectionLabels
  readonly endpoint: Endpoint
  private readonly settings: PortSettings
  private readonly destination: SocketAddress
  private readonly byClient = new Map<string, LocalTarget>()

  /**
   * @param settings  read at each connection; discovery may change them
   * @param tls  of clients that proved nothing, or `true` with the name in `clientId`
   * @param endpoint  the application, where other clients of it are known
   */
  constructor(
    destination: SocketAddress,
    settings: PortSettings,
    tls: TlsLabel = "disabled",
    clientId = "",
    endpoint: Endpoint = new Endpoint(destination.address, destination.port),
  ) {
    this.settings = settings
    this.destination = destination
    this.port = destination.port
    this.endpoint = endpoint
    this.labels = scopeOf(tls, clientId)
    this.source = new SingleEndpoint(this.endpoint)
    this.connectionLabels = {
      direction: INBOUND,
      peer: "src",
      targetAddress: formatAddress(destination.address, destination.port),
      tls,
      clientId,
      serverId: "",
      dstService: "",
      dstNamespace: "",
      dst: null,
    }
  }

  raw(): EndpointSource {
    return this.source
  }

  of({ tls, dnsName }: Client): LocalTarget {
    if (dnsName === "") return this
    let target = this.byClient.get(dnsName)
    if (target === undefined) {
      target = new LocalTarget(this.destination, this.settings, tls, dnsName, this.endpoint)
      if (this.byClient.size < CLIENTS_PER_PORT_MAX) this.byClient.set(dnsName, target)
    }
    return target
  }

  get protocol(): number {
    return this.settings.protocol
  }

  http(): HttpTarget {
    return this
  }
}
