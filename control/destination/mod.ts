// Tells proxies what stands behind an address: conduit.destination.v1. Who explains what they do asks the same functions.
export { servicePortProtocol } from "./protocol_hint.ts"
export { type EndpointInit, identityAt, type Resolution, resolveInbound, resolveOutbound } from "./resolve.ts"
export type { RuleOrigin } from "./routes.ts"
export { type DestinationServer, serveDestination, WATCH_PATH } from "./service.ts"
