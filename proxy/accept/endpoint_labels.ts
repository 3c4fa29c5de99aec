// Labels of connections that are dialled: one object per endpoint, so that telemetry finds the series by it.
import type { Endpoint } from "../balance/mod.ts"
import { formatAddress } from "../net/mod.ts"
import { type ConnectionLabels, type Direction, OUTBOUND, type TlsLabel } from "../telemetry/mod.ts"

/** Makes and keeps the labels; they change when discovery tells something else of the endpoint. */
export class EndpointLabels {
  private readonly direction: Direction
  private readonly byEndpoint = new WeakMap<Endpoint, ConnectionLabels>()

  constructor(direction: Direction) {
    this.direction = direction
  }

  /**
   * Labels of a connection to an endpoint.
   *
   * @param tls  how the connection is secured, where it leaves the pod
   */
  of(endpoint: Endpoint, tls: TlsLabel): ConnectionLabels {
    const known = this.byEndpoint.get(endpoint)
    const outbound = this.direction === OUTBOUND
    const label = outbound ? tls : "loopback"
    if (known !== undefined && known.dst === endpoint.info && known.tls === label) return known
    const labels: ConnectionLabels = {
      direction: this.direction,
      peer: "dst",
      targetAddress: formatAddress(endpoint.address, endpoint.port),
      tls: label,
      clientId: "",
      serverId: label === "true" ? endpoint.info.identity : "",
      dstService: "",
      dstNamespace: "",
      dst: endpoint.info,
    }
    this.byEndpoint.set(endpoint, labels)
    return labels
  }
}
