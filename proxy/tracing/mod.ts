// The public face of tracing/: the proxy's part in the traces of its application.
export { createTracing, type TracingParts, type WorkingTracing } from "./create_tracing.ts"
