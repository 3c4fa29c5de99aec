// The public face of balance/: endpoints, sets of them, and how one is chosen.
export * from "./balancing.ts"
export * from "./circuit_breaker.ts"
export * from "./endpoint.ts"
export * from "./endpoint_group.ts"
export * from "./endpoint_set.ts"
export * from "./endpoint_source.ts"
export * from "./peak_ewma.ts"
