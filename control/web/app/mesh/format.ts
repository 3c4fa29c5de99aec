// Figures as people read them. A figure with no traffic behind it is a dash, never a nought.

/** What stands where there is no figure. */
export const NONE = "–"

/** A share of 0 to 1: `99.95 %`; 100 % only where nothing failed. */
export function percent(share: number | undefined): string {
  if (share === undefined) return NONE
  if (share === 1) return "100 %"
  // Rounded down: 99.996 % is not all. What is missing in 0.19999999999999996 is arithmetic's.
  return `${(Math.floor(share * 10_000 + 1e-6) / 100).toFixed(2)} %`
}

/** A rate a second: `0.5/s`, `1.2k/s`. */
export function rate(perSecond: number | undefined): string {
  return perSecond === undefined ? NONE : `${short(perSecond)}/s`
}

/** A duration: `0.4 ms`, `12 ms`, `1.2 s`. */
export function duration(ms: number | undefined): string {
  if (ms === undefined) return NONE
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`
}

/** Bytes a second: `12 kB/s`. */
export function byteRate(perSecond: number | undefined): string {
  if (perSecond === undefined) return NONE
  const units = ["B", "kB", "MB", "GB"]
  let value = perSecond
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}/s`
}

/** A number in few figures: `0.25`, `12.3`, `1.2k`. */
export function short(value: number): string {
  if (value === 0) return "0"
  if (value < 1) return value < 0.01 ? "<0.01" : value.toFixed(2)
  if (value < 100) return value.toFixed(1)
  if (value < 1000) return String(Math.round(value))
  return value < 1_000_000 ? `${(value / 1000).toFixed(1)}k` : `${(value / 1_000_000).toFixed(1)}M`
}

/** A number of another's making, with its unit where it has one: `1,234.5 EUR`, `0.0012`. */
export function amount(value: number | undefined, unit = ""): string {
  if (value === undefined || !Number.isFinite(value)) return NONE
  const size = Math.abs(value)
  const digits: Intl.NumberFormatOptions =
    size >= 1e15 || (size > 0 && size < 1e-6)
      ? { notation: "scientific", maximumFractionDigits: 2 }
      : size >= 1
        ? { maximumFractionDigits: 2 }
        : { maximumSignificantDigits: 3 }
  return `${value.toLocaleString("en", digits)}${unit === "" ? "" : ` ${unit}`}`
}

/** How long, in the two largest units that say something: `3 d 4 h`, `12 min`, `8 s`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 90) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 90) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${minutes % 60} min`
  const days = Math.floor(hours / 24)
  return days < 60
    ? `${days} d ${hours % 24} h`
    : days < 730
      ? `${days} d`
      : `${Math.floor(days / 365)} years`
}

/** A moment, in the person's own time zone. */
export function moment(ms: number): string {
  return new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })
}

/** How many of what: `1 pod`, `3 pods`. */
export function count(number: number, one: string, several = `${one}s`): string {
  return `${number} ${number === 1 ? one : several}`
}

/** A name's end that is shown whatever room there is, and the rest: pods of a Deployment differ there, and methods of a service. */
export function headAndTail(name: string): readonly [string, string] {
  const method = /[^./]+\/[^/]+$/.exec(name)?.[0] ?? ""
  const length = method === "" || method.length > LONGEST_TAIL ? USUAL_TAIL : method.length
  return [name.slice(0, -length), name.slice(-length)]
}

/** Signs of the end of a name, and of a service's method with its service. */
const [USUAL_TAIL, LONGEST_TAIL] = [10, 24]

/** Longest name that is shown whole: a name of the cluster has 253 characters at most, others may be anything. */
export const SHOWN_NAME_LENGTH = 260

/**
 * Text from the cluster as it can be shown: what would turn the order of letters around, or is no letter at all, is named
 * instead, and what is longer than any name is cut.
 */
export function plain(text: string): string {
  const whole = text.length > SHOWN_NAME_LENGTH ? `${text.slice(0, SHOWN_NAME_LENGTH)}…` : text
  return whole.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, sign => {
    const code = sign.codePointAt(0) ?? 0
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`
  })
}
