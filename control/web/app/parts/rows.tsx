// Rows of a table. Of a long one each update draws what is on the screen; what is not has its turn a few rows at a time, so
// that no update of hundreds of figures costs a frame.
import { memo, type ReactNode, useCallback, useEffect, useRef, useState } from "react"
import type { Column } from "./table.tsx"

/** Tables of more rows than this are drawn by turns: fewer take less than a frame. */
export const MANY_ROWS = 40
/** Rows off the screen that each update draws, too: a search of the browser finds no figures that are older than a minute. */
export const ROWS_A_TURN = 12
/** So far beyond the screen rows are drawn as if they were on it: they are when they are scrolled to. */
const BEYOND = "400px"

/** The rows. */
export function Rows<Row>({
  columns,
  rows,
  rowKey,
}: {
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  readonly rowKey: (row: Row) => string
}) {
  const many = rows.length > MANY_ROWS
  const { seen, watch } = useSeen(many)
  const turn = useRef({ rows, at: 0 })
  if (turn.current.rows !== rows) turn.current = { rows, at: (turn.current.at + ROWS_A_TURN) % rows.length }
  const { at } = turn.current
  return rows.map((row, index) => {
    const key = rowKey(row)
    const drawn = !many || seen.has(key) || hasTurn(index, at, rows.length)
    return (
      <TableRow key={key} id={key} columns={columns} row={row} drawn={drawn} watch={many ? watch : null} />
    )
  })
}

/** Whether a row is among those whose turn it is. */
export function hasTurn(index: number, at: number, of: number): boolean {
  return (index - at + of) % of < ROWS_A_TURN
}

interface RowProps<Row> {
  readonly id: string
  readonly columns: readonly Column<Row>[]
  readonly row: Row
  /** Else it stays what it was. */
  readonly drawn: boolean
  readonly watch: Watch | null
}

const TableRow = memo(
  function TableRow<Row>({ id, columns, row, watch }: RowProps<Row>) {
    const watched = useCallback((of: HTMLTableRowElement) => watch?.(of, id), [watch, id])
    return (
      <tr ref={watched}>
        {columns.map(({ id: own, cell, right, minor }) => (
          <td key={own} className={classes(right, minor)}>
            {cell(row)}
          </td>
        ))}
      </tr>
    )
  },
  (before, after) =>
    !after.drawn ||
    (before.row === after.row && before.columns === after.columns && before.watch === after.watch),
) as <Row>(props: RowProps<Row>) => ReactNode

/** Watches a row of a key; what it gives ends that. */
type Watch = (of: HTMLTableRowElement, key: string) => () => void

/** Which rows are on the screen. */
function useSeen(many: boolean): { readonly seen: ReadonlySet<string>; readonly watch: Watch } {
  const [seen, setSeen] = useState<ReadonlySet<string>>(new Set())
  const keys = useRef(new Map<Element, string>())
  const visible = useRef(new Set<Element>())
  const observer = useRef<IntersectionObserver | null>(null)
  useEffect(() => {
    if (!many) return
    const own = new IntersectionObserver(
      entries => {
        for (const { target, isIntersecting } of entries) {
          if (isIntersecting && keys.current.has(target)) visible.current.add(target)
          else visible.current.delete(target)
        }
        setSeen(new Set([...visible.current].flatMap(row => keys.current.get(row) ?? [])))
      },
      { rootMargin: `${BEYOND} 0px` },
    )
    observer.current = own
    for (const row of keys.current.keys()) own.observe(row)
    return () => {
      own.disconnect()
      observer.current = null
    }
  }, [many])
  const watch = useCallback<Watch>((of, key) => {
    keys.current.set(of, key)
    observer.current?.observe(of)
    return () => {
      keys.current.delete(of)
      visible.current.delete(of)
      observer.current?.unobserve(of)
    }
  }, [])
  return { seen, watch }
}

/** Classes of the cells of a column. */
export function classes(right = false, minor: boolean | "mid" | "wide" = false): string {
  return `${right ? "right" : ""}${minor === false ? "" : minor === true ? " minor" : ` ${minor}`}`.trim()
}
