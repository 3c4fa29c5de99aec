// Panels of plugins: what they hand out as data, drawn by the parts of this page. Their texts are as little trusted as any.
import { useQuery } from "@connectrpc/connect-query"
import {
  ApiService,
  type PluginPanel,
  type PluginPanelCell,
  type PluginPanelColumn,
  PluginPanelKind,
} from "../../../../protos/mod.ts"
import { amount, count, NONE, plain } from "../mesh/format.ts"
import { useLive } from "../mesh/live.ts"
import { Chart } from "../charts/chart.tsx"
import { Tile } from "../parts/figures.tsx"
import { Name } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Table } from "../parts/table.tsx"

/** Lines of a series: more cannot be told apart. */
const MAX_LINES = 4

/** All panels; nothing where no plugin has one. */
export function PluginPanels() {
  const { every } = useLive()
  const panels = useQuery(ApiService.method.pluginPanels, {}, { refetchInterval: every })
  return (
    <Shown of={panels} what="panels of plugins">
      {({ panels: all }) => (
        <>
          {placed(all).map(({ item: panel, at }) => (
            <section key={at} className="panel">
              <div className="section-head">
                <h2>
                  <Name>{panel.title}</Name>
                </h2>
                <span className="tag">
                  <Name>{panel.plugin}</Name>
                </span>
              </div>
              <Panel panel={panel} />
              {panel.leftOut > 0 && <p className="quiet">{count(panel.leftOut, "more row")} not shown.</p>}
            </section>
          ))}
        </>
      )}
    </Shown>
  )
}

function Panel({ panel }: { readonly panel: PluginPanel }) {
  const { kind, rows, error, plugin } = panel
  if (error !== "")
    return (
      <Empty title="The plugin does not answer">
        <p>
          <Name>{plugin}</Name>: {plain(error)}
        </p>
      </Empty>
    )
  if (rows.length === 0)
    return (
      <Empty title="Nothing yet">
        <p>
          <Name>{plugin}</Name> has no rows for this panel.
        </p>
      </Empty>
    )
  switch (kind) {
    case PluginPanelKind.NUMBERS:
      return <Numbers panel={panel} />
    case PluginPanelKind.LIST:
      return <List panel={panel} />
    case PluginPanelKind.SERIES:
      return <Series panel={panel} />
    default:
      return <Rows panel={panel} />
  }
}

function shownCell(cell: PluginPanelCell | undefined, { unit }: PluginPanelColumn): string {
  const value = cell?.value
  if (value?.case === "number") return amount(value.value, plain(unit))
  return value?.case === "text" && value.value !== "" ? plain(value.value) : NONE
}

/** The place of a column or a row is all that tells it from another. */
function placed<Item>(items: readonly Item[]): readonly { readonly item: Item; readonly at: number }[] {
  return items.map((item, at) => ({ item, at }))
}

function Numbers({ panel: { columns, rows } }: { readonly panel: PluginPanel }) {
  const [first] = rows
  return (
    <dl className="tiles">
      {placed(columns).map(({ item: column, at }) => (
        <Tile key={at} title={plain(column.title)} figure={shownCell(first?.cells[at], column)} />
      ))}
    </dl>
  )
}

function List({ panel: { columns, rows } }: { readonly panel: PluginPanel }) {
  const [head, ...rest] = placed(columns)
  return (
    <ul className="panel-list">
      {placed(rows).map(({ item: { cells }, at: row }) => (
        <li key={row}>
          {head !== undefined && <strong>{shownCell(cells[head.at], head.item)}</strong>}
          {rest.map(({ item: column, at }) => (
            <span key={at} className="quiet">
              {plain(column.title)} {shownCell(cells[at], column)}
            </span>
          ))}
        </li>
      ))}
    </ul>
  )
}

function Rows({ panel: { title, columns, rows } }: { readonly panel: PluginPanel }) {
  type Row = ReturnType<typeof placed<(typeof rows)[number]>>[number]
  const drawn = placed(columns).map(
    ({ item: column, at }): Column<Row> => ({
      ...{ id: String(at), title: plain(column.title) },
      right: rows.some(({ cells }) => cells[at]?.value.case === "number"),
      cell: ({ item: { cells } }) => shownCell(cells[at], column),
    }),
  )
  return (
    <Table caption={plain(title)} columns={drawn} rows={placed(rows)} rowKey={({ at: row }) => String(row)} />
  )
}

function Series({ panel: { columns, rows } }: { readonly panel: PluginPanel }) {
  const numbers = (at: number): number[] =>
    rows.map(({ cells }) => (cells[at]?.value.case === "number" ? cells[at].value.value : Number.NaN))
  const times = numbers(0)
  const lines = placed(columns).slice(1, 1 + MAX_LINES)
  if (times.some((time, at) => !(time > (times[at - 1] ?? Number.NEGATIVE_INFINITY))))
    return (
      <Empty title="It cannot be drawn">
        <p>The times of its rows do not ascend.</p>
      </Empty>
    )
  return (
    <div className="charts">
      {lines.map(({ item: { title, unit }, at }) => (
        <Chart
          key={at}
          title={plain(title)}
          times={times}
          lines={[{ label: plain(title), values: numbers(at) }]}
          unit={value => amount(value, plain(unit))}
        />
      ))}
      {columns.length - 1 > MAX_LINES && (
        <p className="quiet">{count(columns.length - 1 - MAX_LINES, "more line")} not shown.</p>
      )}
    </div>
  )
}
