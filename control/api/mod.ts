// The public API of the control plane: conduit.api.v1.
export { serveApi } from "./service.ts"
