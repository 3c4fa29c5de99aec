// How long a request and its attempts may take: the route's timeouts and the caller's own grpc-timeout, the shorter one.

import type { TimeoutsConfig } from "../../protos/routes/mod.ts"
import { NO_GRPC_TIMEOUT } from "./grpc_timeout.ts"

/** No deadline. */
export const NO_DEADLINE = Number.POSITIVE_INFINITY

/**
 * When a request must have been answered: clock reading, or NO_DEADLINE.
 *
 * @param startedMs      clock reading when the request's head came
 * @param grpcTimeoutMs  of its grpc-timeout, or NO_GRPC_TIMEOUT
 */
export function requestDeadlineMs(
  timeouts: TimeoutsConfig,
  startedMs: number,
  grpcTimeoutMs: number,
): number {
  let deadline = timeouts.requestMs > 0 ? startedMs + timeouts.requestMs : NO_DEADLINE
  if (grpcTimeoutMs !== NO_GRPC_TIMEOUT) deadline = Math.min(deadline, startedMs + grpcTimeoutMs)
  return deadline
}

/** When an attempt that begins now must have been answered. */
export function attemptDeadlineMs(timeouts: TimeoutsConfig, nowMs: number, requestDeadline: number): number {
  const own = timeouts.backendRequestMs > 0 ? nowMs + timeouts.backendRequestMs : NO_DEADLINE
  return Math.min(own, requestDeadline)
}

/** Whether there is time for a pause and something after it. */
export function hasTimeFor(pauseMs: number, nowMs: number, requestDeadline: number): boolean {
  return nowMs + pauseMs < requestDeadline
}
