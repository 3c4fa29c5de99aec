// `conduit plugin list`: the plugins in the order in which they are asked, with what their calls come to.
import type { PluginHookState, PluginState } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { openApi } from "../connect.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { type Column, FORMATS, formatOf, renderData, renderTable, say, writeOut } from "../output.ts"

/** A hook of `conduit plugin list -o json`. Figures are null where no process that calls it could be asked. */
export interface PluginHookLine {
  readonly hook: string
  /** `Enforce` or `Audit`. */
  readonly mode: string
  readonly failurePolicy: string
  readonly callsPerSecond: number | null
  readonly errorsPerSecond: number | null
  readonly calls: number | null
  readonly errors: number | null
  /** Answers by which it refused what it was asked about; in mode Audit not in force. */
  readonly refused: number | null
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  readonly lastError: string | null
  /** RFC 3339. */
  readonly lastErrorTime: string | null
  /** Not called for a while, after failures in a row. */
  readonly open: boolean
}

/** A plugin of `conduit plugin list -o json`. */
export interface PluginLine {
  readonly name: string
  readonly address: string
  readonly state: string
  readonly reason: string | null
  readonly version: string | null
  readonly order: number
  readonly hooks: readonly PluginHookLine[]
}

const PLUGIN_COLUMNS: readonly Column<PluginLine>[] = [
  { title: "NAME", cell: line => line.name },
  { title: "ADDRESS", cell: line => line.address },
  { title: "STATE", cell: line => line.state },
  { title: "VERSION", cell: line => line.version },
  { title: "HOOKS", cell: line => line.hooks.map(({ hook }) => hook).join(",") },
  { title: "CALLS/S", cell: line => fixed(sum(line, "callsPerSecond")), right: true },
  { title: "P99", cell: line => ms(Math.max(0, ...line.hooks.map(({ p99Ms }) => p99Ms ?? 0))), right: true },
  { title: "ERRORS", cell: line => text(sum(line, "errors")), right: true },
  { title: "LAST ERROR", cell: line => line.reason ?? latestError(line) },
]

/** With `-o wide` each hook has a row. */
const HOOK_COLUMNS: readonly Column<{ readonly plugin: PluginLine; readonly hook: PluginHookLine }>[] = [
  { title: "NAME", cell: ({ plugin }) => plugin.name },
  { title: "ORDER", cell: ({ plugin }) => String(plugin.order), right: true },
  { title: "STATE", cell: ({ plugin }) => plugin.state },
  { title: "HOOK", cell: ({ hook }) => hook.hook },
  { title: "MODE", cell: ({ hook }) => hook.mode },
  { title: "FAILURE", cell: ({ hook }) => hook.failurePolicy },
  { title: "CALLS/S", cell: ({ hook }) => fixed(hook.callsPerSecond), right: true },
  { title: "CALLS", cell: ({ hook }) => text(hook.calls), right: true },
  { title: "P50", cell: ({ hook }) => ms(hook.p50Ms), right: true },
  { title: "P99", cell: ({ hook }) => ms(hook.p99Ms), right: true },
  { title: "ERRORS", cell: ({ hook }) => text(hook.errors), right: true },
  { title: "REFUSED", cell: ({ hook }) => text(hook.refused), right: true },
  { title: "OPEN", cell: ({ hook }) => (hook.open ? "yes" : "no") },
  { title: "LAST ERROR", cell: ({ hook }) => hook.lastError },
]

/** `conduit plugin list`. */
export const list = command({
  meta: { name: "list", description: "Plugins with their state, calls and errors" },
  args: { ...GLOBAL_FLAGS },
  offers: { output: FORMATS },
  examples: [
    { line: "conduit plugin list", why: "whether every plugin answers, and how fast" },
    { line: "conduit plugin list -o wide", why: "the same by hook" },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    await using mesh = await openApi(args)
    const { plugins, unknown } = await mesh.call(api => api.plugins({}))
    const lines = plugins.map(pluginLine)
    for (const why of unknown) say(`conduit: figures are missing: ${why}`)
    if (lines.length === 0)
      say("There is no plugin: kubectl apply an object of kind Plugin; PLUGINS.md begins with one.")
    if (format === "json" || format === "yaml") writeOut(await renderData(lines, format))
    else if (lines.length === 0) return
    else if (format === "wide") {
      const rows = lines.flatMap(plugin => plugin.hooks.map(hook => ({ plugin, hook })))
      writeOut(renderTable(rows, HOOK_COLUMNS, format))
    } else writeOut(renderTable(lines, PLUGIN_COLUMNS, format))
  },
})

function pluginLine({ name, address, state, reason, version, order, hooks }: PluginState): PluginLine {
  return {
    ...{ name, address, state, order },
    reason: reason || null,
    version: version || null,
    hooks: hooks.map(hookLine),
  }
}

function hookLine(state: PluginHookState): PluginHookLine {
  const { hook, mode, failurePolicy, open, unknown } = state
  const known = <Figure>(figure: Figure): Figure | null => (unknown ? null : figure)
  return {
    ...{ hook, mode, failurePolicy, open },
    callsPerSecond: known(state.callsPerSecond),
    errorsPerSecond: known(state.errorsPerSecond),
    calls: known(Number(state.calls)),
    errors: known(Number(state.errors)),
    refused: known(Number(state.refused)),
    p50Ms: known(state.p50Ms),
    p99Ms: known(state.p99Ms),
    lastError: state.lastError || null,
    lastErrorTime: state.lastErrorMs === 0n ? null : new Date(Number(state.lastErrorMs)).toISOString(),
  }
}

function latestError({ hooks }: PluginLine): string | null {
  const failed = hooks.filter(({ lastError }) => lastError !== null)
  return (
    failed.sort((a, b) => ((a.lastErrorTime ?? "") < (b.lastErrorTime ?? "") ? 1 : -1))[0]?.lastError ?? null
  )
}

/** Null where it is known of no hook. */
function sum({ hooks }: PluginLine, of: "callsPerSecond" | "errors"): number | null {
  const known = hooks.flatMap(hook => hook[of] ?? [])
  return known.length === 0 ? null : known.reduce((total, one) => total + one, 0)
}

function fixed(value: number | null): string {
  return value === null ? "-" : value.toFixed(1)
}

function text(value: number | null): string {
  return value === null ? "-" : String(value)
}

function ms(value: number | null): string {
  return value === null || value === 0 ? "-" : value < 10 ? `${value.toFixed(1)}ms` : `${Math.round(value)}ms`
}
