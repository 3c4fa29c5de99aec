// The public face of identity/: who the proxy is, mutual TLS by it, and who its clients are.
export { asksForMesh, Identify, type IdentifyOwner, type PlainSign } from "./identify.ts"
export { Identity, type IdentityOptions } from "./identity.ts"
export { identityMetrics } from "./identity_metrics.ts"
export {
  CARRIES_HTTP1,
  CARRIES_HTTP2,
  CARRIES_HTTP2_AS_ANY,
  CARRIES_TCP,
  type Carries,
  MeshTls,
} from "./mesh_tls.ts"
