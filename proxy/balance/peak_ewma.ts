// Expected latency of an endpoint: a moving average that believes bad news at once and good news slowly.
// The measure of Finagle and Linkerd ("peak EWMA").

/** First guess, before anything was measured: cheap enough to be tried, not so cheap that all go there. */
export const FIRST_GUESS_MS = 30

/** Time constant of the decay towards faster samples. */
export const DECAY_MS = 10_000

/** Moving average of latencies that jumps to peaks. */
export class PeakEwma {
  private valueMs: number
  private updatedMs: number

  /** @param nowMs  monotonic clock reading */
  constructor(nowMs: number, firstGuessMs: number = FIRST_GUESS_MS) {
    this.valueMs = firstGuessMs
    this.updatedMs = nowMs
  }

  /** Estimate now: what was measured, decayed by the silence since (an endpoint once slow is tried again). */
  valueAt(nowMs: number): number {
    const elapsed = nowMs - this.updatedMs
    return elapsed > 0 ? this.valueMs * Math.exp(-elapsed / DECAY_MS) : this.valueMs
  }

  /** Takes in one latency, milliseconds. */
  observe(sampleMs: number, nowMs: number): void {
    const elapsed = nowMs - this.updatedMs
    if (sampleMs >= this.valueMs) this.valueMs = sampleMs
    else if (elapsed > 0) {
      const keep = Math.exp(-elapsed / DECAY_MS)
      this.valueMs = this.valueMs * keep + sampleMs * (1 - keep)
    }
    if (elapsed > 0) this.updatedMs = nowMs
  }
}
