// Proves workloads by their tokens and signs their keys: conduit.identity.v1.
export { DEFAULT_CLOCK_SKEW_MS, DEFAULT_LIFETIME_MS } from "./authority.ts"
export { kubernetesReviewer } from "./kubernetes_reviewer.ts"
export { type IdentityProcess, type IdentitySettings, startIdentity } from "./process.ts"
export { serveIdentity } from "./service.ts"
export { IDENTITY_AUDIENCE, type TokenReviewer } from "./token_reviewer.ts"
