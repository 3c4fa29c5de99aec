// Port lists as people write them in annotations: "25,587,3306,4000-4100".

/** Inclusive range of TCP ports, each 1..65535; a single port has `from === to`. */
export interface PortRange {
  readonly from: number
  readonly to: number
}

/**
 * Reads a port list: ports and inclusive ranges, separated by commas; blanks and empty entries are allowed.
 *
 * @throws Error with one sentence that names the entry which is no port
 *
 * @example parsePortList("25, 4000-4100") // [{from: 25, to: 25}, {from: 4000, to: 4100}]
 */
export function parsePortList(text: string): PortRange[] {
  const ranges: PortRange[] = []
  for (const raw of text.split(",")) {
    const entry = raw.trim()
    if (entry === "") continue
    const match = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(entry)
    if (match === null) throw new Error(`"${entry}" is not a port or a range of ports such as 4000-4100`)
    const from = Number(match[1])
    const to = match[2] === undefined ? from : Number(match[2])
    for (const port of [from, to]) {
      if (port < 1 || port > 65535) throw new Error(`port ${port} is outside 1-65535`)
    }
    if (to < from) throw new Error(`range "${entry}" ends before it begins`)
    ranges.push({ from, to })
  }
  return ranges
}

/** Writes a port list in the form that {@link parsePortList} reads, without blanks. */
export function formatPortList(ranges: readonly PortRange[]): string {
  return ranges
    .map(range => (range.from === range.to ? `${range.from}` : `${range.from}-${range.to}`))
    .join(",")
}
