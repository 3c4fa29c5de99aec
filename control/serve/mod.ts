// How the control plane's services are served: ports, gRPC streams, keepalive, the admin port.

export { type Metric, prometheusText, serveAdmin } from "./admin.ts"
export {
  GRPC_INVALID_ARGUMENT,
  GRPC_PERMISSION_DENIED,
  GRPC_RESOURCE_EXHAUSTED,
  GRPC_UNAVAILABLE,
  GrpcStream,
  type GrpcStreamHandler,
  MAX_UNREAD_BYTES,
} from "./grpc_stream.ts"
export { type KeepaliveOptions, PING_INTERVAL_MS, PING_TIMEOUT_MS } from "./keepalive.ts"
export { type Listening, listen, type RequestHandler } from "./listener.ts"
export { fromLoopback } from "./loopback.ts"
export { refuseClaim } from "./pod_claim.ts"
export { ProcessMetrics } from "./process_metrics.ts"
export { listenForStreams } from "./stream_port.ts"
export type { ConnectionRefusal, TlsOptions } from "./tls_port.ts"
export {
  COALESCE_MS,
  type TopicRules,
  TopicSet,
  type TopicState,
  type Watched,
  type Watcher,
} from "./topics.ts"
