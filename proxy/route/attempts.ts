// Whether the request of one exchange is sent once more: joins the rule, the method, the budget and the deadline. The
// engines say what happened and whether what was sent of the body is still here; this says how long to wait.

import { PUSHBACK_NEVER, PUSHBACK_NONE, type RetryRule } from "../../protos/routes/mod.ts"
import { hasTimeFor, NO_DEADLINE } from "./deadline.ts"
import type { RetryBudget } from "./retry_budget.ts"

/** Pass on what came: the request is not sent again. */
export const NOT_AGAIN = -1

/** The attempts of one request. */
export class Attempts {
  /** Attempts so far beyond the first. */
  used = 0
  private readonly rule: RetryRule | null
  private readonly budget: RetryBudget
  private readonly idempotent: boolean
  private readonly deadlineMs: number

  /** @param deadlineMs  clock reading by which the request must have been answered, or NO_DEADLINE */
  constructor(
    rule: RetryRule | null,
    budget: RetryBudget,
    idempotent: boolean,
    deadlineMs: number = NO_DEADLINE,
  ) {
    this.rule = rule
    this.budget = budget
    this.idempotent = idempotent
    this.deadlineMs = deadlineMs
  }

  /**
   * A response head with this status came, nothing of it was passed on.
   *
   * @param grpcStatus   of trailers only; 0 or below: none
   * @param pushback     what `pushbackMs` gave
   * @param bodyIsHere   whether what was sent of the body can be sent again
   * @param random       uniform, 0 to 1
   * @returns milliseconds to wait before the next attempt, or NOT_AGAIN
   */
  afterResponse(
    status: number,
    grpcStatus: number,
    pushback: number,
    bodyIsHere: boolean,
    nowMs: number,
    random: number,
  ): number {
    const { rule } = this
    if (rule === null) return NOT_AGAIN
    // Every gRPC request is a POST: who lists a gRPC status means those.
    if (!rule.takesGrpcStatus(grpcStatus)) {
      if (!rule.takesStatus(status) || !rule.takesMethod(this.idempotent)) return NOT_AGAIN
    }
    return this.again(rule, pushback, bodyIsHere, nowMs, random)
  }

  /**
   * An attempt had no answer in time, or its connection broke before any: the server may have seen the request.
   *
   * @returns as `afterResponse`
   */
  afterSilence(bodyIsHere: boolean, nowMs: number, random: number): number {
    const { rule } = this
    if (rule === null || !rule.takesMethod(this.idempotent)) return NOT_AGAIN
    return this.again(rule, PUSHBACK_NONE, bodyIsHere, nowMs, random)
  }

  private again(
    rule: RetryRule,
    pushback: number,
    bodyIsHere: boolean,
    nowMs: number,
    random: number,
  ): number {
    if (!bodyIsHere || this.used >= rule.attempts || pushback === PUSHBACK_NEVER) return NOT_AGAIN
    const pause = pushback === PUSHBACK_NONE ? rule.pauseMs(this.used + 1, random) : pushback
    if (!hasTimeFor(pause, nowMs, this.deadlineMs)) return NOT_AGAIN
    if (!this.budget.withdraw(nowMs)) return NOT_AGAIN
    this.used++
    return pause
  }
}
