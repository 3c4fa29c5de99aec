// Tells proxies what stands behind an address: conduit.destination.v1.
export { type DestinationServer, serveDestination, WATCH_PATH } from "./service.ts"
