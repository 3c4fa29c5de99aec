// Pauses between restarts of a container that keeps ending, as the kubelet's but for people who watch.

/** First pause. */
export const FIRST_BACK_OFF_MS = 1_000
/** Longest pause. */
export const LAST_BACK_OFF_MS = 60_000
/** A run of this length clears the history. */
export const HEALTHY_RUN_MS = 60_000

/** Doubles from {@link FIRST_BACK_OFF_MS} to {@link LAST_BACK_OFF_MS}. */
export class BackOff {
  /** The pause that {@link BackOff.take} will give. */
  nextMs: number = FIRST_BACK_OFF_MS

  /** The pause before the next start. */
  take(): number {
    const pause = this.nextMs
    this.nextMs = Math.min(pause * 2, LAST_BACK_OFF_MS)
    return pause
  }

  /** Notes how long the last run held. */
  ranFor(ms: number): void {
    if (ms >= HEALTHY_RUN_MS) this.nextMs = FIRST_BACK_OFF_MS
  }
}
