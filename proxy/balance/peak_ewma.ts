// Expected latency of an endpoint: a moving average that believes bad news at once and good news slowly.
// The measure of Finagle and Linkerd ("peak EWMA").

/** First guess, before anything was measured: cheap enough to be tried, not so cheap that all go there. */
export const FIRST_GUESS_MS = 30

/** Time constant of the decay towards faster samples. */
export const DECAY_MS = 10_000

/** First samples that may lower the estimate but not raise it: they carry the price of a new connection and of cold
 * caches, and one such peak would keep a sound endpoint without work for half a minute. */
export const COLD_SAMPLES = 3

/** A first sample above this is slow by any measure, and is believed. */
export const COLD_SAMPLE_MAX_MS = 250

/** Moving average of latencies that jumps to peaks. */
export class PeakEwma {
  private valueMs: number
  private updatedMs: number
  private coldLeft = COLD_SAMPLES

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
    if (this.coldLeft > 0) {
      this.coldLeft--
      if (sampleMs >= this.valueMs && sampleMs <= COLD_SAMPLE_MAX_MS) return
    }
    if (sampleMs >= this.valueMs) this.valueMs = sampleMs
    else if (elapsed > 0) {
      const keep = Math.exp(-elapsed / DECAY_MS)
      this.valueMs = this.valueMs * keep + sampleMs * (1 - keep)
    }
    if (elapsed > 0) this.updatedMs = nowMs
  }
}
