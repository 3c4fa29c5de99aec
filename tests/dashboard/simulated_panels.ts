// Panels of plugins in the simulated mesh: one of each kind, one whose plugin does not answer, and texts that mean harm.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type PluginPanelCellSchema, PluginPanelKind, type PluginPanelSchema } from "../../protos/mod.ts"

/** What a plugin that means harm writes: markup, and signs that turn letters around. */
export const HOSTILE = `<img src=x onerror="document.title='owned'"><b>bold</b>\u202egnp.exe`

type Cell = MessageInitShape<typeof PluginPanelCellSchema>

const text = (value: string): Cell => ({ value: { case: "text", value } })
const number = (value: number): Cell => ({ value: { case: "number", value } })
const row = (...cells: Cell[]) => ({ cells })

/** The panels. */
export const PANELS: MessageInitShape<typeof PluginPanelSchema>[] = [
  {
    ...{ plugin: "cost", title: "Cost so far", kind: PluginPanelKind.NUMBERS },
    columns: [
      { title: "All workloads", unit: "EUR" },
      { title: "Requests" },
      { title: "Budget that is used", unit: "%" },
    ],
    rows: [row(number(1234.567), number(8_123_456), number(61.2))],
  },
  {
    ...{ plugin: "cost", title: "Cost of requests", kind: PluginPanelKind.TABLE, leftOut: 17 },
    columns: [{ title: "Workload" }, { title: "Requests" }, { title: "Cost", unit: "EUR" }],
    rows: [
      row(text("team-0/app-0"), number(1_200_000), number(12)),
      row(text("team-1/app-1"), number(0.5), number(0.00321)),
      row(text("team-2/app-2"), {}, number(1e-12)),
    ],
  },
  {
    ...{ plugin: "cost", title: "Cost over time", kind: PluginPanelKind.SERIES },
    columns: [{ title: "Time" }, { title: "Shop", unit: "EUR/h" }, { title: "Search", unit: "EUR/h" }],
    rows: Array.from({ length: 60 }, (_, index) =>
      row(
        number(1_750_000_000_000 + index * 60_000),
        number(4 + Math.sin(index / 5)),
        index % 17 === 3 ? {} : number(1 + index / 40),
      ),
    ),
  },
  {
    ...{ plugin: "hostile", title: HOSTILE, kind: PluginPanelKind.LIST },
    columns: [{ title: "Name" }, { title: HOSTILE, unit: "<u>u</u>" }],
    rows: [row(text(HOSTILE), number(1)), row(text("x".repeat(200)), text("javascript:alert(1)"))],
  },
  {
    ...{
      plugin: "registry",
      title: "Endpoints",
      kind: PluginPanelKind.TABLE,
      columns: [{ title: "Address" }],
    },
    error: "it did not answer within 500 ms",
  },
]
