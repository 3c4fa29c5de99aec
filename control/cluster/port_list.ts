// Lists of ports as annotations write them: `25,587,4000-4100`.
import type { PortRange } from "./model.ts"

/**
 * Reads a port list.
 *
 * @throws RangeError with a sentence that names the piece that is no port or range
 */
export function parsePortList(text: string): PortRange[] {
  const ranges: PortRange[] = []
  for (const piece of text.split(",")) {
    const trimmed = piece.trim()
    if (trimmed === "") continue
    const match = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(trimmed)
    const first = Number(match?.[1] ?? 0)
    const last = Number(match?.[2] ?? first)
    if (match === null || first < 1 || last > 65535 || last < first) {
      throw new RangeError(`"${trimmed}" is no port (1 to 65535) and no range of ports such as 4000-4100`)
    }
    ranges.push({ first, last })
  }
  return ranges
}

/** Whether a list has the port; a list that is null has none. */
export function hasPort(ranges: readonly PortRange[] | null, port: number): boolean {
  return ranges?.some(range => port >= range.first && port <= range.last) ?? false
}
