// Where requests go by the routes of their service, and when they are sent again: decisions on plain data, with clock and
// randomness passed in. Nothing here knows a socket. What routes mean, whoever asks, is told by protos/routes.
export * from "../../protos/routes/mod.ts"
export * from "./attempts.ts"
export * from "./deadline.ts"
export * from "./fault.ts"
export * from "./grpc_timeout.ts"
export * from "./mirror.ts"
export * from "./request_times.ts"
export * from "./retry_budget.ts"
export * from "./route_codec.ts"
export * from "./service_routes.ts"
export * from "./session.ts"
