// The public API of the control plane: conduit.api.v1.
export { CallMetrics } from "./call_metrics.ts"
export { PLUGINS_PATH } from "./plugin_processes.ts"
export { plugins } from "./plugins.ts"
export { serveApi } from "./service.ts"
export type { Relay } from "./tap.ts"
