// The public face of identity/: who the proxy is, and mutual TLS by it.
export { Identity, type IdentityOptions } from "./identity.ts"
export { identityMetrics } from "./identity_metrics.ts"
export {
  CARRIES_HTTP1,
  CARRIES_HTTP2,
  CARRIES_TCP,
  type Carries,
  MeshTls,
} from "./mesh_tls.ts"
