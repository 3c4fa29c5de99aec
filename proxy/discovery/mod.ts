// The public face of discovery/: what stands behind addresses, and how the proxy's own ports behave.
export { Destination, type DestinationKind, type ServiceInfo } from "./destination.ts"
export { Discovery, type DiscoveryOptions } from "./discovery.ts"
export { InboundPort } from "./inbound_port.ts"
export type { ProxyIdentity } from "./watch_codec.ts"
