// A table that is sorted and filtered by its reader; how stands in the URL. Small enough to need no library.
import { type ReactNode, useMemo } from "react"
import { usePlace, useSetPlace } from "../mesh/live.ts"
import { classes, Rows } from "./rows.tsx"
import { Empty } from "./state.tsx"

/** A column. */
export interface Column<Row> {
  /** What the URL calls it. */
  readonly id: string
  readonly title: string
  readonly cell: (row: Row) => ReactNode
  /** What rows are sorted by; undefined comes last. Without it the column does not sort. */
  readonly by?: (row: Row) => number | string | undefined
  /** Numbers stand right. */
  readonly right?: boolean
  /** It is left out on narrow screens, on those of tablets too, or on all but wide ones: the row's own page has it. */
  readonly minor?: boolean | "mid" | "wide"
}

/** What is shown. */
export interface TableProps<Row> {
  /** What the rows are, for those who do not see the page. */
  readonly caption: string
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  readonly rowKey: (row: Row) => string
  /** Column that rows are sorted by where the URL says nothing; absent: as they come. */
  readonly sortedBy?: string
  /** Whether the URL says how rows are sorted: of several tables of a page only one can. */
  readonly sortable?: boolean
  /** What stands there when there is no row. */
  readonly empty?: ReactNode
}

/** A table. */
export function Table<Row>({
  caption,
  columns,
  rows,
  rowKey,
  sortedBy = "",
  sortable = false,
  empty,
}: TableProps<Row>) {
  const { sort: asked } = usePlace()
  const setPlace = useSetPlace()
  const sort = (sortable ? asked : undefined) ?? sortedBy
  const down = sort.startsWith("-")
  const id = down ? sort.slice(1) : sort
  const ordered = useMemo(() => {
    const by = columns.find(column => column.id === id)?.by
    return by === undefined ? rows : [...rows].sort((a, b) => compare(by(a), by(b), down))
  }, [rows, columns, id, down])
  if (rows.length === 0 && empty !== undefined) return <>{empty}</>
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard (WCAG 2.1.1)
    <section className="table" tabIndex={0} aria-label={caption}>
      <table>
        <caption className="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ id: own, title, by, right, minor }) => (
              <th
                key={own}
                scope="col"
                className={classes(right, minor)}
                aria-sort={own === id && by !== undefined ? (down ? "descending" : "ascending") : undefined}
              >
                {by === undefined || !sortable ? (
                  title
                ) : (
                  <button
                    type="button"
                    className="sort"
                    onClick={() => setPlace({ sort: own === id && !down ? `-${own}` : own })}
                  >
                    {title}
                    {own === id && <span aria-hidden="true">{down ? "↓" : "↑"}</span>}
                  </button>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Rows columns={columns} rows={ordered} rowKey={rowKey} />
        </tbody>
      </table>
    </section>
  )
}

/** Orders two values; what is not there comes last, whichever way. */
export function compare(
  a: number | string | undefined,
  b: number | string | undefined,
  down: boolean,
): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b))
  return down ? -order : order
}

/** A field that narrows a table down, and the namespace that is shown; both stand in the URL. */
export function Filters({
  namespaces,
  what,
}: {
  readonly namespaces: readonly string[]
  readonly what: string
}) {
  const { q = "", ns = "" } = usePlace()
  const setPlace = useSetPlace()
  return (
    <search className="filters">
      <label>
        <span className="hidden">Only {what} that bear these letters</span>
        <input
          type="search"
          placeholder={`Filter ${what}  ( / )`}
          value={q}
          onChange={({ target }) => setPlace({ q: target.value })}
        />
      </label>
      <label>
        <span className="hidden">Namespace</span>
        <select value={ns} onChange={({ target }) => setPlace({ ns: target.value })}>
          <option value="">All namespaces</option>
          {[...new Set([...namespaces, ...(ns === "" ? [] : [ns])])].map(one => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
    </search>
  )
}

/** Whether something passes the filters of the URL. */
export function useFilter(): (namespace: string, text: string) => boolean {
  const { q = "", ns = "" } = usePlace()
  const words = q.toLowerCase().split(/\s+/).filter(Boolean)
  return (namespace, text) =>
    (ns === "" || namespace === ns) &&
    words.every(word => `${namespace}/${text}`.toLowerCase().includes(word))
}

/** Nothing passes the filters. */
export function NothingFits() {
  const setPlace = useSetPlace()
  return (
    <Empty title="Nothing passes the filters">
      <button type="button" onClick={() => setPlace({ q: undefined, ns: undefined })}>
        Clear them
      </button>
    </Empty>
  )
}
