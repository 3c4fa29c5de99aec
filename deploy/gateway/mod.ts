// The face of deploy/gateway: routes of the Gateway API as people write them, and every way to get one wrong.
export { MAX_DURATION_MS, parseGatewayDuration } from "./duration.ts"
export { isRoute, type ReadRoute, readReferenceGrant, readRoute } from "./read_route.ts"
export * from "./route.ts"
export { NO_TRAFFIC, readServiceTraffic, type ServiceTraffic } from "./service_traffic.ts"
