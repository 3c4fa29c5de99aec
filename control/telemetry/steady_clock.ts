// The clock of windows: shows the time of day, but never steps, so that no window is lost or counted twice when the
// machine's clock is set.

/** A clock, and how far it is off. */
export interface SteadyClock {
  /** Milliseconds since 1970 as the clock has them. */
  nowMs(): number
  /** How far the machine's clock is ahead of it. */
  aheadMs(): number
}

/**
 * A clock that runs from now on.
 *
 * @param notBeforeMs  what it shows at least: windows up to then are written
 */
export function steadyClock(
  notBeforeMs = 0,
  wallMs: () => number = Date.now,
  monotonicMs: () => number = () => performance.now(),
): SteadyClock {
  const offset = Math.max(wallMs(), notBeforeMs) - monotonicMs()
  const nowMs = (): number => offset + monotonicMs()
  return { nowMs, aheadMs: () => wallMs() - nowMs() }
}
