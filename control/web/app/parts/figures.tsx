// Columns and tiles of golden signals, the same on every page.
import type { ReactNode } from "react"
import type { HttpFigures } from "../../../../protos/mod.ts"
import { duration, percent, rate } from "../mesh/format.ts"
import { levelOf } from "../mesh/trouble.ts"
import type { Column } from "./table.tsx"

/** A share of successes, marked where it is not well. */
export function Success({ http }: { readonly http: HttpFigures | undefined }) {
  return <span className={`share ${levelOf(http)}`}>{percent(http?.success)}</span>
}

/** Columns of HTTP figures. @param of  where a row has them */
export function httpColumns<Row>(of: (row: Row) => HttpFigures | undefined): Column<Row>[] {
  return [
    {
      ...{ id: "success", title: "Success", right: true },
      cell: row => <Success http={of(row)} />,
      by: row => of(row)?.success,
    },
    {
      ...{ id: "rps", title: "Requests", right: true },
      cell: row => rate(of(row)?.rps),
      by: row => of(row)?.rps,
    },
    {
      ...{ id: "p50", title: "p50", right: true, minor: "mid" },
      cell: row => duration(of(row)?.latencyMs?.p50),
      by: row => of(row)?.latencyMs?.p50,
    },
    {
      ...{ id: "p95", title: "p95", right: true, minor: "mid" },
      cell: row => duration(of(row)?.latencyMs?.p95),
      by: row => of(row)?.latencyMs?.p95,
    },
    {
      ...{ id: "p99", title: "p99", right: true },
      cell: row => duration(of(row)?.latencyMs?.p99),
      by: row => of(row)?.latencyMs?.p99,
    },
  ]
}

/** One figure, large. */
export function Tile({
  title,
  figure,
  children,
}: {
  title: string
  figure: ReactNode
  children?: ReactNode
}) {
  return (
    <div className="tile">
      <dt>{title}</dt>
      <dd>
        <strong>{figure}</strong>
        {children !== undefined && <span className="quiet">{children}</span>}
      </dd>
    </div>
  )
}

/** A page's head: what it is, and what one line says of it. */
export function PageHead({
  title,
  children,
  aside,
}: {
  title: ReactNode
  children?: ReactNode
  aside?: ReactNode
}) {
  return (
    <header className="page-head">
      <div>
        <h1>{title}</h1>
        {children !== undefined && <p className="quiet">{children}</p>}
      </div>
      {aside}
    </header>
  )
}
