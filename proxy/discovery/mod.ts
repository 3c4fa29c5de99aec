// The public face of discovery/: what stands behind addresses, and how the proxy's own ports behave.
export { Destination, type DestinationKind, type ServiceInfo } from "./destination.ts"
