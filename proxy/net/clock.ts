// The monotonic clock of the data path: read once per turn, then shared by all that happens in that turn.

/** A monotonic clock reading that somebody else keeps fresh. */
export interface Clock {
  /** Milliseconds, with fractions, since an arbitrary start. */
  nowMs: number
}

/** The process's monotonic clock; reading the hardware costs about 60 ns, so hot code reads `nowMs` instead. */
export class LoopClock implements Clock {
  nowMs: number = performance.now()

  /** Reads the hardware clock. Called at the start of each socket callback, flush and timer tick. */
  refresh(): void {
    this.nowMs = performance.now()
  }
}
