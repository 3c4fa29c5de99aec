// What was counted, for longer than memory keeps it: in a file of the telemetry process, or in a Prometheus.
export { EmbeddedHistory } from "./embedded_history.ts"
export { PrometheusHistory } from "./prometheus_history.ts"
