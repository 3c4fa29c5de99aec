// Durations of the Gateway API (GEP-2257): a subset of Go's, from 0 to 99999h59m59s999ms.

const DURATION = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/
const PART = /([0-9]{1,5})(h|ms|m|s)/g
const MS_PER_UNIT: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 }

/** Longest duration that is kept: a day. A timeout above it is as good as none, and timers are 32 bits wide. */
export const MAX_DURATION_MS = 86_400_000

/** Milliseconds of a duration such as `1h30m`, `500ms`; longer ones count as MAX_DURATION_MS. Null when it is none. */
export function parseGatewayDuration(text: string): number | null {
  if (!DURATION.test(text)) return null
  let sum = 0
  for (const [, digits, unit] of text.matchAll(PART)) sum += Number(digits) * (MS_PER_UNIT[unit ?? ""] ?? 0)
  return Math.min(sum, MAX_DURATION_MS)
}
