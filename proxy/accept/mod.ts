// The public face of accept/: redirected connections, what they speak, and who serves them.
export { ConnectionTracker } from "./connection_tracker.ts"
export { EndpointLabels } from "./endpoint_labels.ts"
export { type HttpEngines, type ServeHttp, Side, type SideOptions } from "./side.ts"
export type { Target } from "./target.ts"
