// When one request, its attempts and its answer must be done. Made for requests that have any such time only: most have none.
import type { TimeoutsConfig } from "../../protos/routes/mod.ts"
import { attemptDeadlineMs, NO_DEADLINE, requestDeadlineMs } from "./deadline.ts"
import { NO_GRPC_TIMEOUT } from "./grpc_timeout.ts"

/** The deadlines of one request, as readings of the clock; NO_DEADLINE for none. */
export class RequestTimes {
  /** Of the whole exchange. */
  readonly requestDueMs: number
  private readonly timeouts: TimeoutsConfig
  /** When the caller gives up by its own word. */
  private readonly callerDueMs: number
  private attemptDueMs = NO_DEADLINE
  private responseDueMs = NO_DEADLINE
  private activeMs: number

  private constructor(timeouts: TimeoutsConfig, grpcTimeoutMs: number, nowMs: number) {
    this.timeouts = timeouts
    this.callerDueMs = grpcTimeoutMs === NO_GRPC_TIMEOUT ? NO_DEADLINE : nowMs + grpcTimeoutMs
    this.requestDueMs = requestDeadlineMs(timeouts, nowMs, grpcTimeoutMs)
    this.activeMs = nowMs
  }

  /**
   * Those of a request whose head came now; null where it may take as long as it likes.
   *
   * @param grpcTimeoutMs  of its grpc-timeout, or NO_GRPC_TIMEOUT
   */
  static of(timeouts: TimeoutsConfig, grpcTimeoutMs: number, nowMs: number): RequestTimes | null {
    const isFree = grpcTimeoutMs === NO_GRPC_TIMEOUT && !hasTimeouts(timeouts)
    return isFree ? null : new RequestTimes(timeouts, grpcTimeoutMs, nowMs)
  }

  /** An attempt begins. */
  attempt(nowMs: number): void {
    this.attemptDueMs = attemptDeadlineMs(this.timeouts, nowMs, NO_DEADLINE)
  }

  /** The request has ended: from here on the response must. */
  requestEnded(nowMs: number): void {
    if (this.timeouts.responseMs > 0 && this.responseDueMs === NO_DEADLINE)
      this.responseDueMs = nowMs + this.timeouts.responseMs
  }

  /** Bytes of the body went either way. */
  active(nowMs: number): void {
    this.activeMs = nowMs
  }

  /** When the exchange or the attempt has taken too long. */
  get dueMs(): number {
    return Math.min(this.exchangeDueMs, this.attemptDueMs)
  }

  /** The whole exchange has taken too long. */
  isOver(nowMs: number): boolean {
    return nowMs >= this.exchangeDueMs
  }

  /** The attempt has taken too long; another one may be made. */
  attemptIsOver(nowMs: number): boolean {
    return nowMs >= this.attemptDueMs
  }

  /**
   * Milliseconds that a gRPC server is to be told it has (`grpc-timeout`); NO_DEADLINE where what the caller said, or
   * nothing, still holds.
   *
   * @param isFirst  whether nothing was sent before
   */
  grpcTimeoutMs(isFirst: boolean, nowMs: number): number {
    const due = Math.min(this.requestDueMs, this.attemptDueMs)
    if (due === NO_DEADLINE || (due === this.callerDueMs && isFirst)) return NO_DEADLINE
    // To the nanosecond: what the subtraction leaves beyond that is noise, and would make one timeout many.
    return Math.max(0, Math.round((due - nowMs) * 1e6) / 1e6)
  }

  private get exchangeDueMs(): number {
    const { idleMs } = this.timeouts
    const idle = idleMs > 0 ? this.activeMs + idleMs : NO_DEADLINE
    return Math.min(this.requestDueMs, this.responseDueMs, idle)
  }
}

/** Whether any timeout is set. */
export function hasTimeouts({ requestMs, backendRequestMs, responseMs, idleMs }: TimeoutsConfig): boolean {
  return requestMs > 0 || backendRequestMs > 0 || responseMs > 0 || idleMs > 0
}
