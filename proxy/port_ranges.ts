// Port lists as settings carry them: "25,3306,4000-4100".

/** Inclusive range of ports. */
export interface PortRange {
  readonly from: number
  readonly to: number
}

/**
 * Reads a port list; blanks and empty entries are allowed.
 *
 * @throws Error naming the entry that is no port or range
 */
export function parsePortRanges(text: string): PortRange[] {
  const ranges: PortRange[] = []
  for (const raw of text.split(",")) {
    const entry = raw.trim()
    if (entry === "") continue
    const match = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(entry)
    const from = Number(match?.[1])
    const to = match?.[2] === undefined ? from : Number(match[2])
    if (!(from >= 1 && to <= 65535 && from <= to)) {
      throw new Error(`"${entry}" is no port from 1 to 65535 and no range such as 4000-4100`)
    }
    ranges.push({ from, to })
  }
  return ranges
}

/** Whether a port is in any of the ranges. */
export function portIn(ranges: readonly PortRange[], port: number): boolean {
  for (const range of ranges) if (port >= range.from && port <= range.to) return true
  return false
}
