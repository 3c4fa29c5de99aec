// Faults that a Service asks for (`fault.conduit.io/*`): which requests are delayed, and which are answered with a status
// instead of being sent on.
import type { FaultConfig } from "../../protos/routes/mod.ts"

/** What a request meets. */
export interface DrawnFault {
  /** Milliseconds to wait before anything else is done; 0 for none. */
  readonly delayMs: number
  /** HTTP status to answer then; 0 for none. */
  readonly status: number
}

/** Draws what one request meets. @param random  uniform, 0 to 1 */
export function drawFault(fault: FaultConfig, random: () => number): DrawnFault {
  return {
    delayMs: random() * 100 < fault.delayPercent ? fault.delayMs : 0,
    status: random() * 100 < fault.abortPercent ? fault.abortStatus : 0,
  }
}
