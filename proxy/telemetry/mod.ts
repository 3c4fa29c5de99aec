// The public face of telemetry/: what is counted, how it is shown, and how it reaches the control plane.
export { type AccessClient, type AccessProtocol, AccessRecords } from "./access_records.ts"
export type { AuthorityLabel } from "./authority_labels.ts"
export { controlMetrics } from "./control_metrics.ts"
export {
  compact,
  type Direction,
  type HttpMetrics,
  type HttpScope,
  INBOUND,
  OUTBOUND,
  type RequestSeries,
  type RouteSeries,
  type ScopeLabels,
  type TlsLabel,
} from "./http_series.ts"
export { PROMETHEUS_CONTENT_TYPE } from "./prometheus_text.ts"
export { Registry } from "./registry.ts"
export type { ReporterInfo } from "./report_codec.ts"
export { Reporter, type ReporterOptions } from "./reporter.ts"
export {
  type Labels,
  type Metric,
  type MetricKind,
  Scalar,
  type Series,
  SeriesGroup,
} from "./series.ts"
export type { ConnectionLabels, ConnectionRecord, PeerLabel } from "./tcp_series.ts"
export { type Collect, figure, SWEEP_INTERVAL_MS, Telemetry, type TelemetryOptions } from "./telemetry.ts"
