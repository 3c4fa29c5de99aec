// gRPC's own services, which servers have beside theirs.
export * as grpcHealthV1 from "../gen/grpc/health/v1/health_pb.ts"
export * as grpcReflectionV1 from "../gen/grpc/reflection/v1/reflection_pb.ts"
export * as grpcReflectionV1alpha from "../gen/grpc/reflection/v1alpha/reflection_pb.ts"
