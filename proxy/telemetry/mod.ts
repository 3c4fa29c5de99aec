// The public face of telemetry/: what is counted, how it is shown, and how it reaches the control plane.
export type { AuthorityLabel } from "./authority_labels.ts"
export {
  type Direction,
  type HttpScope,
  INBOUND,
  OUTBOUND,
  type RequestSeries,
  type RouteSeries,
  type ScopeLabels,
  type TlsLabel,
} from "./http_series.ts"
export type { ConnectionLabels, ConnectionRecord, PeerLabel } from "./tcp_series.ts"
export { Telemetry } from "./telemetry.ts"
