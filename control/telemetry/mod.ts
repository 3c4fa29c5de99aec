// Takes what proxies count, keeps windows of it, and answers what happened within them: conduit.telemetry.v1.
export { AccessSum, FigureSum, type HttpFigures, RouteSum, type TcpFigures } from "./figures.ts"
export { EDGES_MS } from "./histogram_edges.ts"
export { remoteQueries } from "./remote_queries.ts"
export { localQueries, serveTelemetry, type TelemetryQueries } from "./service.ts"
export { TelemetryStore } from "./store.ts"
export { MAX_WINDOW_MS, MIN_WINDOW_MS, slotMsOf } from "./window_ring.ts"
