// Durations as people type them: 30s, 1m30s, 500ms (the notation of Go and of kubectl).
import { UsageError } from "../failure.ts"

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/**
 * Milliseconds of a duration.
 *
 * @param flag the flag it came from, for the error
 * @throws UsageError when it is no duration
 */
export function parseDurationMs(text: string, flag: string): number {
  const whole = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/
  if (!whole.test(text)) {
    throw new UsageError(`${flag} cannot be "${text}"; write a duration such as 30s, 5m or 1h30m`)
  }
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    total += Number(amount) * (UNIT_MS[unit ?? ""] ?? 0)
  }
  return Math.round(total)
}

/** Shortest window that the API takes. */
const MIN_WINDOW_MS = 1000
/** Longest window that the API keeps. */
const MAX_WINDOW_MS = 24 * 3_600_000

/** The window of `-t` in milliseconds, 1 minute unless given. @throws UsageError outside of 1s to 24h */
export function windowMsOf(text: string | undefined): number {
  if (text === undefined) return 60_000
  const ms = parseDurationMs(text, "-t")
  if (ms < MIN_WINDOW_MS || ms > MAX_WINDOW_MS) {
    throw new UsageError(`-t cannot be "${text}"; figures are kept for 1s to 24h`)
  }
  return ms
}
