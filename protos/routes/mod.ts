// The public face of protos/routes: what the routes of a Service mean for one request, said once. The proxy routes by it,
// the control plane explains by it. Plain data in, no socket, no clock, no protobuf runtime.
export * from "./header_modifier.ts"
export * from "./path_modifier.ts"
export * from "./redirect.ts"
export * from "./retry.ts"
export * from "./route_config.ts"
export * from "./route_table.ts"
export * from "./weighted_pick.ts"
