// Sets of characters: what one position of a regular expression takes. UTF-16 code units; the proxy reads paths and
// header values as one character a byte.

/** Highest character. */
export const LAST_CHAR = 0xffff

/** A set as inclusive ranges, ascending and apart from each other: first, last, first, last, ... */
export type CharSet = readonly number[]

/** The set of what two take between them. */
export function union(a: CharSet, b: CharSet): CharSet {
  return normal([...a, ...b])
}

/** The set of all that a set does not take. */
export function negated(set: CharSet): CharSet {
  const rest: number[] = []
  let next = 0
  for (let i = 0; i < set.length; i += 2) {
    const [first = 0, last = 0] = [set[i], set[i + 1]]
    if (first > next) rest.push(next, first - 1)
    next = last + 1
  }
  if (next <= LAST_CHAR) rest.push(next, LAST_CHAR)
  return rest
}

/** The set with the other case of each ASCII letter in it. */
export function withBothCases(set: CharSet): CharSet {
  const more: number[] = [...set]
  for (let i = 0; i < set.length; i += 2) {
    const [first = 0, last = 0] = [set[i], set[i + 1]]
    addShifted(more, first, last, 0x41, 0x5a, 32)
    addShifted(more, first, last, 0x61, 0x7a, -32)
  }
  return normal(more)
}

function addShifted(into: number[], first: number, last: number, low: number, high: number, by: number) {
  const from = Math.max(first, low)
  const to = Math.min(last, high)
  if (from <= to) into.push(from + by, to + by)
}

/** Ranges in any order, as a set. */
export function normal(ranges: readonly number[]): CharSet {
  const pairs: [number, number][] = []
  for (let i = 0; i + 1 < ranges.length; i += 2) pairs.push([ranges[i] ?? 0, ranges[i + 1] ?? 0])
  pairs.sort((a, b) => a[0] - b[0])
  const out: number[] = []
  for (const [first, last] of pairs) {
    const end = out.at(-1)
    if (end !== undefined && first <= end + 1) out[out.length - 1] = Math.max(end, last)
    else out.push(first, last)
  }
  return out
}

/** `\d` */
export const DIGITS: CharSet = [0x30, 0x39]
/** `\w` */
export const WORD: CharSet = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a]
/** `\s`, as RE2 has it: tab, line feed, form feed, carriage return, space. */
export const SPACE: CharSet = [0x09, 0x0a, 0x0c, 0x0d, 0x20, 0x20]
/** `.` without the flag s. */
export const NO_LINE_END: CharSet = negated([0x0a, 0x0a])
/** Everything. */
export const ALL: CharSet = [0, LAST_CHAR]

/** Classes that a bracket expression may name, as in `[[:alpha:]]`. */
export const POSIX_CLASSES: ReadonlyMap<string, CharSet> = new Map([
  ["alnum", [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a]],
  ["alpha", [0x41, 0x5a, 0x61, 0x7a]],
  ["ascii", [0, 0x7f]],
  ["blank", [0x09, 0x09, 0x20, 0x20]],
  ["cntrl", [0, 0x1f, 0x7f, 0x7f]],
  ["digit", DIGITS],
  ["graph", [0x21, 0x7e]],
  ["lower", [0x61, 0x7a]],
  ["print", [0x20, 0x7e]],
  ["punct", [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e]],
  ["space", [0x09, 0x0d, 0x20, 0x20]],
  ["upper", [0x41, 0x5a]],
  ["word", WORD],
  ["xdigit", [0x30, 0x39, 0x41, 0x46, 0x61, 0x66]],
])
