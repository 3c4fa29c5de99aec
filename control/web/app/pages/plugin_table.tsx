// Plugins of the control plane, a row for each hook: whether it answers, how often it is asked, and what went wrong last.
import { duration, plain, rate, span } from "../mesh/format.ts"
import type { Level } from "../mesh/trouble.ts"
import { LevelMark } from "../parts/level.tsx"
import { Name } from "../parts/name.tsx"
import { Empty } from "../parts/state.tsx"
import { type Column, Table } from "../parts/table.tsx"

/** A hook of a plugin, as the API has it. */
export interface PluginHook {
  readonly hook: string
  readonly failurePolicy: string
  readonly callsPerSecond: number
  readonly errorsPerSecond: number
  readonly p99Ms: number
  readonly lastError: string
  /** Milliseconds since 1970; 0 for none. */
  readonly lastErrorMs: bigint
  /** It is not called for a while. */
  readonly open: boolean
  /** `Enforce` or `Audit`. */
  readonly mode: string
  /** Answers by which it refused what it was asked about. */
  readonly refused: bigint
  /** Nobody who calls it could be asked for figures. */
  readonly unknown: boolean
}

/** A plugin, as the API has it. */
export interface Plugin {
  readonly name: string
  readonly address: string
  readonly state: string
  readonly reason: string
  readonly version: string
  readonly hooks: readonly PluginHook[]
}

type Row = {
  readonly plugin: Plugin
  readonly hook: PluginHook | undefined
  /** The plugin's first, which says why it is not well. */
  readonly first: boolean
}

function levelOf({ plugin: { state }, hook }: Row): Level {
  if (state === "Unreachable" || state === "Invalid" || hook?.open === true) return "failing"
  return state === "Degraded" || (hook?.errorsPerSecond ?? 0) > 0 ? "degraded" : "well"
}

/** A hook whose figures say something. */
function known(hook: PluginHook | undefined): PluginHook | undefined {
  return hook?.unknown === true ? undefined : hook
}

const COLUMNS: readonly Column<Row>[] = [
  {
    ...{ id: "plugin", title: "Plugin" },
    cell: ({ plugin: { name, version, address, reason }, first }) => (
      <>
        <strong>
          <Name>{name}</Name>
        </strong>{" "}
        <span className="quiet">
          <Name>{version}</Name> at <Name>{address}</Name>
        </span>
        {first && reason !== "" && <span className="problem">{plain(reason)}</span>}
      </>
    ),
  },
  {
    ...{ id: "state", title: "State" },
    cell: row => (
      <>
        <LevelMark level={levelOf(row)} word={false} />{" "}
        {row.hook?.open ? "not called" : plain(row.plugin.state)}
      </>
    ),
  },
  {
    ...{ id: "hook", title: "Hook" },
    cell: ({ hook }) =>
      hook === undefined ? (
        "–"
      ) : (
        <>
          {plain(hook.hook)}{" "}
          {hook.mode === "Audit" && (
            <span className="tag">audit{hook.refused > 0n ? `: ${hook.refused} refused` : ""}</span>
          )}
          {hook.failurePolicy === "Fail" && <span className="tag">closes what it does not answer</span>}
        </>
      ),
  },
  { ...{ id: "calls", title: "Calls", right: true }, cell: ({ hook }) => rate(known(hook)?.callsPerSecond) },
  {
    ...{ id: "errors", title: "Errors", right: true },
    cell: ({ hook }) => rate(known(hook)?.errorsPerSecond),
  },
  {
    ...{ id: "p99", title: "p99", right: true, minor: true },
    cell: ({ hook }) => duration((hook?.callsPerSecond ?? 0) > 0 ? hook?.p99Ms : undefined),
  },
  {
    ...{ id: "last", title: "Last error", minor: "mid" },
    cell: ({ hook }) =>
      hook === undefined || hook.lastError === ""
        ? "–"
        : `${plain(hook.lastError)}, ${span(Date.now() - Number(hook.lastErrorMs))} ago`,
  },
]

/** The table. */
export function PluginTable({ plugins }: { readonly plugins: readonly Plugin[] }) {
  const rows = plugins.flatMap(plugin =>
    (plugin.hooks.length === 0 ? [undefined] : plugin.hooks).map(
      (hook, index): Row => ({ plugin, hook, first: index === 0 }),
    ),
  )
  return (
    <Table
      caption="Plugins"
      columns={COLUMNS}
      rows={rows}
      rowKey={({ plugin, hook }) => `${plugin.name} ${hook?.hook}`}
      empty={
        <Empty title="No plugin is installed">
          <p>conduit plugin new makes one, and a Plugin object tells the control plane where it is.</p>
        </Empty>
      }
    />
  )
}
