// Messages and service of the public API, each file of protos/conduit/api/v1.
export * from "./gen/conduit/api/v1/api_pb.ts"
export * from "./gen/conduit/api/v1/config_pb.ts"
export * from "./gen/conduit/api/v1/error_pb.ts"
export * from "./gen/conduit/api/v1/events_pb.ts"
export * from "./gen/conduit/api/v1/explain_pb.ts"
export * from "./gen/conduit/api/v1/figures_pb.ts"
export * from "./gen/conduit/api/v1/resource_pb.ts"
export * from "./gen/conduit/api/v1/topology_pb.ts"
