// Success or failure of an exchange, for metrics. Follows Linkerd: HTTP 5xx, a list of gRPC codes, broken responses.

/** The whole response was passed on. */
export const OUTCOME_COMPLETE = 0
/** The client went away first. Says nothing about the server: what was seen of the response decides. */
export const OUTCOME_CLIENT_GONE = 1
/** The endpoint's side broke: connection lost or stream reset. */
export const OUTCOME_UPSTREAM_GONE = 2
/** A deadline of the proxy passed. */
export const OUTCOME_TIMEOUT = 3
/** The proxy answered by itself. */
export const OUTCOME_REFUSED = 4

/** How an exchange ended. */
export type Outcome = 0 | 1 | 2 | 3 | 4

/** No gRPC status was seen. */
export const NO_GRPC_STATUS = -1

/**
 * gRPC codes that count as failures: UNKNOWN 2, DEADLINE_EXCEEDED 4, PERMISSION_DENIED 7, INTERNAL 13,
 * UNAVAILABLE 14, DATA_LOSS 15. The others blame the caller or are answers.
 */
const GRPC_FAILURES = (1 << 2) | (1 << 4) | (1 << 7) | (1 << 13) | (1 << 14) | (1 << 15)

/** Whether a gRPC status counts as failure; one that does not exist (above 16) does, as UNKNOWN. */
export function isGrpcFailure(grpcStatus: number): boolean {
  return grpcStatus > 16 || (GRPC_FAILURES & (1 << grpcStatus)) !== 0
}

/**
 * Whether an exchange failed.
 *
 * A gRPC response that ended without a status counts as UNKNOWN, unless the client went away before it could come.
 *
 * @param status  of the final response head, 0 when none came
 * @param grpcStatus  `NO_GRPC_STATUS` when none came
 */
export function isFailure(outcome: Outcome, status: number, grpcStatus: number, isGrpc: boolean): boolean {
  if (outcome === OUTCOME_UPSTREAM_GONE || outcome === OUTCOME_TIMEOUT) return true
  if (status >= 500) return true
  if (grpcStatus >= 0) return isGrpcFailure(grpcStatus)
  return isGrpc && outcome === OUTCOME_COMPLETE && status === 200
}
