// Takes what proxies count, keeps windows of it, and answers what happened within them: conduit.telemetry.v1.
export { type AccessKey, countOf } from "./access_ledger.ts"
export {
  type Apart,
  calledPod,
  type FigureHistory,
  type Figures,
  HISTORY_SLOT_MS,
  type HistoryQuestion,
  type HistoryRow,
  HistoryRows,
  matches,
  NO_TRAFFIC,
  type PodFilter,
  type PodName,
} from "./figure_history.ts"
export {
  AccessSum,
  FigureSum,
  type HttpFigures,
  RouteSum,
  retriesOf,
  ShareSum,
  type TcpFigures,
} from "./figures.ts"
export { BUCKETS, EDGES_MS, quantile } from "./histogram_edges.ts"
export { LiveHistory } from "./live_history.ts"
export { localQueries, type SeriesQuestion, type SeriesRow, type TelemetryQueries } from "./queries.ts"
export { remoteQueries } from "./remote_queries.ts"
export type { ReportStream } from "./report_stream.ts"
export { type Journal, type Reporter, type Resumed, seriesHash } from "./reporter.ts"
export { MAX_SERIES_POINTS, serveTelemetry, type TelemetryOptions } from "./service.ts"
export { type SteadyClock, steadyClock } from "./steady_clock.ts"
export { processKey, TelemetryStore } from "./store.ts"
export { podRefOf } from "./traffic_messages.ts"
export type { TrafficKey } from "./traffic_key.ts"
export {
  addSums,
  emptySums,
  isEmpty,
  MAX_LIVE_WINDOW_MS,
  MAX_WINDOW_MS,
  MIN_WINDOW_MS,
  RECORDED_TIER,
  slotMsOf,
  type WindowSums,
} from "./window_ring.ts"
