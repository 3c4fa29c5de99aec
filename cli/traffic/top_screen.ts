// What `conduit top` draws, and what its keys do: plain functions of rows, a view and the terminal's size.
import type { TopRow } from "./top_table.ts"

/** One column. */
interface TopColumn {
  readonly title: string
  readonly cell: (row: TopRow) => string
  /** What it is sorted by. */
  readonly key: (row: TopRow) => number | string
  readonly right: boolean
  /** Columns with a higher one go first where there is no room. */
  readonly dispensable: number
}

/** The columns of the table; the list is its documentation. */
export const TOP_COLUMNS: readonly TopColumn[] = [
  { title: "SOURCE", cell: row => row.source, key: row => row.source, right: false, dispensable: 1 },
  {
    title: "DESTINATION",
    cell: row => row.destination,
    key: row => row.destination,
    right: false,
    dispensable: 0,
  },
  { title: "METHOD", cell: row => row.method, key: row => row.method, right: false, dispensable: 2 },
  { title: "PATH", cell: row => row.path, key: row => row.path, right: false, dispensable: 0 },
  { title: "COUNT", cell: row => String(row.count), key: row => row.count, right: true, dispensable: 0 },
  { title: "BEST", cell: row => duration(row.bestMs), key: row => row.bestMs, right: true, dispensable: 5 },
  {
    title: "WORST",
    cell: row => duration(row.worstMs),
    key: row => row.worstMs,
    right: true,
    dispensable: 3,
  },
  { title: "LAST", cell: row => duration(row.lastMs), key: row => row.lastMs, right: true, dispensable: 4 },
  {
    title: "SUCCESS",
    cell: row => `${(row.success * 100).toFixed(2)}%`,
    key: row => row.success,
    right: true,
    dispensable: 1,
  },
]

/** What is looked at. */
export interface TopView {
  /** Index of the column that rows are sorted by. */
  readonly sort: number
  readonly ascending: boolean
  /** Rows above the first one shown. */
  readonly scroll: number
  readonly paused: boolean
}

/** The view at the beginning: most requests first. */
export const FIRST_VIEW: TopView = {
  sort: TOP_COLUMNS.findIndex(({ title }) => title === "COUNT"),
  ascending: false,
  scroll: 0,
  paused: false,
}

/** What a key asks for. */
export type TopAction = { readonly view: TopView } | "quit" | "clear"

/** Lines that are no rows: two above, one below. */
const FRAME_LINES = 3

/** What a key does; null for one that does nothing. @param key  as the terminal sends it */
export function onKey(key: string, view: TopView, rows: number, height: number): TopAction | null {
  const page = Math.max(1, height - FRAME_LINES)
  const sortBy = (sort: number): TopAction => ({
    // Names from A on, figures from the highest on.
    view: { ...view, sort, ascending: TOP_COLUMNS[sort]?.right === false },
  })
  const scrollTo = (scroll: number): TopAction => ({
    view: { ...view, scroll: Math.max(0, Math.min(scroll, rows - page)) },
  })
  const count = TOP_COLUMNS.length
  switch (key) {
    case "q":
    case "Q":
    case "\u0003":
    case "\u001b[21~":
      return "quit"
    case "c":
      return "clear"
    case " ":
    case "Z":
      return { view: { ...view, paused: !view.paused } }
    case "I":
    case "r":
      return { view: { ...view, ascending: !view.ascending } }
    case ">":
    case ".":
    case "\u001b[C":
    case "\u001b[17~":
      return sortBy((view.sort + 1) % count)
    case "<":
    case ",":
    case "\u001b[D":
      return sortBy((view.sort + count - 1) % count)
    case "\u001b[A":
    case "k":
      return scrollTo(view.scroll - 1)
    case "\u001b[B":
    case "j":
      return scrollTo(view.scroll + 1)
    case "\u001b[5~":
      return scrollTo(view.scroll - page)
    case "\u001b[6~":
      return scrollTo(view.scroll + page)
    case "\u001b[H":
    case "g":
      return scrollTo(0)
    case "\u001b[F":
    case "G":
      return scrollTo(rows - page)
    default:
      return /^[1-9]$/.test(key) && Number(key) <= count ? sortBy(Number(key) - 1) : null
  }
}

/** Rows in the order of a view. */
export function sorted(rows: readonly TopRow[], { sort, ascending }: TopView): TopRow[] {
  const column = TOP_COLUMNS[sort]
  if (column === undefined) return [...rows]
  const sign = ascending ? 1 : -1
  return [...rows].sort((a, b) => {
    const [one, other] = [column.key(a), column.key(b)]
    return one < other ? -sign : one > other ? sign : 0
  })
}

/** What a screen shows. */
export interface TopScreen {
  readonly rows: readonly TopRow[]
  readonly view: TopView
  /** What stands in the first line. */
  readonly status: string
  readonly width: number
  readonly height: number
}

/** The lines of a screen: `height` of them, none longer than `width`. */
export function topLines({ rows, view, status, width, height }: TopScreen): string[] {
  const room = Math.max(0, height - FRAME_LINES)
  const scroll = Math.max(0, Math.min(view.scroll, rows.length - room))
  const shown = sorted(rows, view).slice(scroll, scroll + room)
  const table = tableLines(shown, view, width)
  const below = rows.length - scroll - shown.length
  const more = below > 0 || scroll > 0 ? `${scroll + 1}-${scroll + shown.length} of ${rows.length}  ` : ""
  const help = `${more}<> sort  I invert  arrows scroll  space ${view.paused ? "go on" : "pause"}  c clear  q quit`
  const lines = [`${view.paused ? "PAUSED  " : ""}${status}`, ...table]
  while (lines.length < height - 1) lines.push("")
  return [...lines.slice(0, Math.max(0, height - 1)), help]
    .slice(-height)
    .map(line => cut(line, width).trimEnd())
}

/** Heading and rows in a width; a view marks its column. */
export function tableLines(rows: readonly TopRow[], view: TopView | null, width: number): string[] {
  let columns = TOP_COLUMNS.map((column, index) => {
    const mark = view?.sort === index ? (view.ascending ? "^" : "v") : ""
    const title = `${column.title}${mark}`
    return {
      ...column,
      index,
      title,
      width: Math.max(title.length, ...rows.map(row => column.cell(row).length)),
    }
  })
  const total = (): number => columns.reduce((sum, column) => sum + column.width + 2, -2)
  // First texts become shorter, the longest first, then columns go.
  const shorten = (): void => {
    while (total() > width) {
      const longest = columns
        .filter(column => !column.right && column.width > MIN_TEXT)
        .reduce<(typeof columns)[number] | null>(
          (most, one) => (most === null || one.width > most.width ? one : most),
          null,
        )
      if (longest === null) return
      longest.width--
    }
  }
  shorten()
  while (total() > width) {
    const others = columns.filter(({ index }) => index !== view?.sort)
    const dispensable = Math.max(...others.map(column => column.dispensable))
    if (dispensable === 0) break
    columns = columns.filter(({ index, dispensable: own }) => own < dispensable || index === view?.sort)
  }
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        // As many cells as columns.
        const column = columns[index]!
        const text = cut(cell, column.width)
        return column.right ? text.padStart(column.width) : text.padEnd(column.width)
      })
      .join("  ")
  return [
    line(columns.map(({ title }) => title)),
    ...rows.map(row => line(columns.map(({ cell }) => cell(row)))),
  ].map(text => cut(text, width).trimEnd())
}

/** Texts are not made shorter than this while columns can go. */
const MIN_TEXT = 12

/** A text of at most `width` characters; what is longer ends with a mark. */
function cut(text: string, width: number): string {
  if (text.length <= width) return text
  return width < 2 ? text.slice(0, Math.max(0, width)) : `${text.slice(0, width - 1)}…`
}

function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "-"
  if (ms < 1) return `${Math.round(ms * 1000)}µs`
  return ms < 1000 ? `${Number(ms.toFixed(ms < 10 ? 1 : 0))}ms` : `${(ms / 1000).toFixed(2)}s`
}
