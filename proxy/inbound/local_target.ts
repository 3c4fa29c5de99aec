// A port of the proxy's own pod as the target of connections: the application that listens there.
import type { Target } from "../accept/mod.ts"
import { Endpoint, type EndpointSource, SingleEndpoint } from "../balance/mod.ts"
import type { HttpTarget } from "../http/mod.ts"
import { formatAddress, type SocketAddress } from "../net/mod.ts"
import { type ConnectionLabels, INBOUND, type ScopeLabels } from "../telemetry/mod.ts"

/** How discovery says a port behaves; one of the `PROTOCOL_` constants of balance/. */
export interface PortSettings {
  readonly protocol: number
}

/** No identity, so no mutual TLS yet: every connection counts as plain. */
const SCOPE: ScopeLabels = {
  direction: INBOUND,
  dstService: "",
  dstNamespace: "",
  tls: "disabled",
  clientId: "",
  route: "",
}

/** The application behind one address and port of the pod. */
export class LocalTarget implements Target, HttpTarget {
  readonly source: EndpointSource
  readonly labels: ScopeLabels = SCOPE
  readonly defaultAuthority = ""
  readonly connectionLabels: ConnectionLabels
  readonly endpoint: Endpoint
  private readonly settings: PortSettings

  /** @param settings  read at each connection; discovery may change them */
  constructor(destination: SocketAddress, settings: PortSettings) {
    this.settings = settings
    this.endpoint = new Endpoint(destination.address, destination.port)
    this.source = new SingleEndpoint(this.endpoint)
    this.connectionLabels = {
      direction: INBOUND,
      peer: "src",
      targetAddress: formatAddress(destination.address, destination.port),
      tls: "disabled",
      clientId: "",
      dstService: "",
      dstNamespace: "",
      dst: null,
    }
  }

  get protocol(): number {
    return this.settings.protocol
  }

  get http(): HttpTarget {
    return this
  }
}
