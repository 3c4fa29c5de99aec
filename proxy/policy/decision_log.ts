// The log's share of decisions: full reasons, and a bound, so that a flood of denied requests floods nothing else.
import type { AuditMatch, Verdict } from "../../protos/authorization/mod.ts"
import type { LogFields, Logger } from "../log.ts"
import type { Clock } from "../net/mod.ts"

/** Lines a second about decisions at most, after which they are only counted: a person reads no more. */
export const DECISION_LINES_PER_SECOND_MAX = 20

/** Bounds the lines of one kind. */
export class DecisionLog {
  readonly log: Logger
  private readonly clock: Clock
  private sinceMs = Number.NEGATIVE_INFINITY
  private lines = 0
  private unlogged = 0

  constructor(log: Logger, clock: Clock) {
    this.log = log
    this.clock = clock
  }

  /** Fields for one more line: how many were left out before it; null where the second's share is used up. */
  take(): LogFields | null {
    const now = this.clock.nowMs
    if (now - this.sinceMs >= 1_000) {
      this.sinceMs = now
      this.lines = 0
    }
    if (this.lines >= DECISION_LINES_PER_SECOND_MAX) {
      this.unlogged++
      return null
    }
    this.lines++
    const { unlogged } = this
    this.unlogged = 0
    return unlogged > 0 ? { unlogged } : {}
  }
}

/** What decided, as fields of a log line. */
export function verdictFields({ cause, namespace, name, rule, detail }: Verdict): LogFields {
  return {
    cause,
    ...(namespace !== ""
      ? { policy: `${namespace}/${name}`, rule }
      : name !== ""
        ? { default_policy: name }
        : {}),
    ...(detail === "" ? {} : { why: detail }),
  }
}

/** What an audit matched, as fields of a log line. */
export function auditFields({ namespace, name, rule }: AuditMatch): LogFields {
  return namespace === "" ? { default_policy: name } : { policy: `${namespace}/${name}`, rule }
}
