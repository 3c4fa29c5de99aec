// Panels of plugins: what their methods answer, cut down to texts and numbers. Nothing of it is markup, and nothing is trusted.
import { type DescField, type Message, type MessageInitShape, ScalarType } from "@bufbuild/protobuf"
import type { Client } from "@connectrpc/connect"
import type { OwnPanel } from "../../deploy/plugin_object/mod.ts"
import {
  type PluginPanelCellSchema,
  PluginPanelKind,
  type PluginPanelSchema,
  type PluginPanelsResponseSchema,
} from "../../protos/mod.ts"
import { type PluginSupervisor, reasonOf } from "../plugins/mod.ts"
import type { PluginServices } from "./plugin_services.ts"

/** Rows of a panel; of more the first are told. */
export const MAX_PANEL_ROWS = 500
/** Longest text of a cell: a page shows a line. */
export const MAX_PANEL_TEXT_CHARS = 200
/** Panels of one answer are as old as this at most: many may look at a dashboard, and a plugin is asked for all of them at once. */
export const PANELS_KEPT_MS = 2_000

const KINDS: Readonly<Record<OwnPanel["kind"], PluginPanelKind>> = {
  table: PluginPanelKind.TABLE,
  numbers: PluginPanelKind.NUMBERS,
  list: PluginPanelKind.LIST,
  series: PluginPanelKind.SERIES,
}

type Panels = MessageInitShape<typeof PluginPanelsResponseSchema>
type Panel = MessageInitShape<typeof PluginPanelSchema>
type Cell = MessageInitShape<typeof PluginPanelCellSchema>

/** The panels of all plugins. */
export class PluginPanels {
  readonly #services: PluginServices
  readonly #supervisor: PluginSupervisor
  readonly #nowMs: () => number
  #kept: { readonly sinceMs: number; readonly panels: Promise<Panels> } | null = null

  /** @param nowMs  monotonic clock, milliseconds */
  constructor(services: PluginServices, supervisor: PluginSupervisor, nowMs: () => number) {
    this.#services = services
    this.#supervisor = supervisor
    this.#nowMs = nowMs
  }

  /** What they show now, or a moment ago. Never rejects: a panel says itself what is wrong with it. */
  panels(): Promise<Panels> {
    const now = this.#nowMs()
    if (this.#kept === null || now - this.#kept.sinceMs >= PANELS_KEPT_MS)
      this.#kept = { sinceMs: now, panels: this.#ask() }
    return this.#kept.panels
  }

  async #ask(): Promise<Panels> {
    const asked = this.#services.panels().map(async ({ plugin, panel }): Promise<Panel> => {
      const head = {
        ...{ plugin, title: text(panel.title), kind: KINDS[panel.kind] },
        columns: panel.columns.map(({ title, unit }) => ({ title: text(title), unit: text(unit) })),
      }
      const { method } = panel
      try {
        const answer = await this.#supervisor.ask(
          plugin,
          "Api",
          method.parent,
          (client, _context, options) => {
            type Unary = (request: object, options: object) => Promise<Message>
            const call = (client as Client<typeof method.parent> as unknown as Record<string, Unary>)[
              method.localName
            ]
            if (call === undefined) throw new Error(`it has no method ${method.name}`)
            return call({}, options)
          },
        )
        return { ...head, ...rowsOf(panel, answer) }
      } catch (error) {
        return { ...head, error: reasonOf(error) }
      }
    })
    return { panels: await Promise.all(asked) }
  }
}

/** Rows of a panel, of all that an answer holds. */
function rowsOf({ rows, columns }: OwnPanel, answer: Message): Pick<Panel, "rows" | "leftOut"> {
  const all = (answer as unknown as Record<string, unknown>)[rows.localName]
  if (!Array.isArray(all)) return { rows: [] }
  return {
    rows: all.slice(0, MAX_PANEL_ROWS).map((row: Record<string, unknown>) => ({
      cells: columns.map(({ field }) => cellOf(field, row[field.localName])),
    })),
    leftOut: Math.max(0, all.length - MAX_PANEL_ROWS),
  }
}

function cellOf(field: DescField, value: unknown): Cell {
  if (field.fieldKind === "enum") {
    const name = field.enum.values.find(({ number }) => number === value)?.name ?? String(value)
    return { value: { case: "text", value: text(name) } }
  }
  if (field.fieldKind === "scalar" && field.scalar === ScalarType.STRING)
    return { value: { case: "text", value: text(String(value ?? "")) } }
  if (typeof value === "boolean") return { value: { case: "text", value: value ? "yes" : "no" } }
  const number = typeof value === "number" || typeof value === "bigint" ? Number(value) : Number.NaN
  return Number.isFinite(number) ? { value: { case: "number", value: number } } : {}
}

/** A text of a plugin, in one line and cut short. */
function text(of: string): string {
  return reasonOf(of).slice(0, MAX_PANEL_TEXT_CHARS)
}
