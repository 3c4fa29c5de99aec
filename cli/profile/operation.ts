// What a Service can be asked, wherever that was read: operations of HTTP, or methods of gRPC.

/** A request that a Service answers. */
export interface HttpOperation {
  readonly kind: "http"
  /** Upper case; "" is any. */
  readonly method: string
  /** Path with `{name}` for what differs, such as `/users/{id}`. */
  readonly path: string
  /** What it is called where it was read, such as an operationId; "" is none. */
  readonly name: string
}

/** A method of a gRPC service. */
export interface GrpcOperation {
  readonly kind: "grpc"
  /** With its package, such as `emojivoto.v1.VotingService`. */
  readonly service: string
  readonly method: string
}

/** One of both. */
export type Operation = HttpOperation | GrpcOperation

/** Most operations of one profile: what an API of hundreds has, and a person still reads. */
export const MAX_OPERATIONS = 2_000
