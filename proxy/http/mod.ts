// The public face of http/: one exchange whatever the wire version, and the engines that drive it.
export {
  isFailure,
  isGrpcFailure,
  NO_GRPC_STATUS,
  OUTCOME_CLIENT_GONE,
  OUTCOME_COMPLETE,
  OUTCOME_REFUSED,
  OUTCOME_TIMEOUT,
  OUTCOME_UPSTREAM_GONE,
  type Outcome,
} from "./classify.ts"
export type { Drainable } from "./drainable.ts"
export type { HttpEnv } from "./env.ts"
export { Exchange, MAX_PICKS, PICK_BUDGET_MS } from "./exchange.ts"
export type { AccessLog, ExchangeFacts } from "./exchange_facts.ts"
export {
  Admission,
  createHttpService,
  type HttpService,
  type HttpServiceOptions,
  type HttpTarget,
  MAX_REQUESTS_IN_FLIGHT,
} from "./http_service.ts"
export { serveHttp1 } from "./http1_proxy.ts"
export { serveHttp2 } from "./http2_proxy.ts"
export * from "./refusal.ts"
export type { GuardAnswer, RequestGuard } from "./request_guard.ts"
export type { RequestTrace, Tracer } from "./request_trace.ts"
export type { RequestView } from "./request_view.ts"
