// The public face of admin/: the proxy's admin port.
export { type AdminOptions, serveAdmin } from "./admin.ts"
