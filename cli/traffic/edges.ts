// `conduit edges`: who calls whom, and whether the connection is secured.
import type { Edge, Resource } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { windowMsOf } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { GLOBAL_FLAGS, WATCH_FLAG, WINDOW_FLAG } from "../flags.ts"
import { type Column, FORMATS, formatOf, percent, rate, render, say } from "../output.ts"
import {
  KIND_WORDS,
  queryOf,
  RESOURCE_ARGUMENT,
  resourcesOrDeployments,
  resourcesText,
  SELECTOR_FLAG,
} from "../resource.ts"
import { show } from "../watch.ts"

/** One end of an edge. */
export interface EdgeEnd {
  readonly namespace: string
  readonly kind: string
  readonly name: string
}

/** A row of `conduit edges -o json`; null is an identity that was not proved, or a figure with no traffic behind it. */
export interface EdgeLine {
  readonly from: EdgeEnd
  readonly to: EdgeEnd
  readonly clientId: string | null
  readonly serverId: string | null
  readonly secured: boolean
  /** Why not; only where it is not secured. */
  readonly reason?: string
  readonly rps: number | null
  /** Share of responses classified success, 0 to 1. */
  readonly success: number | null
}

/** A row of the API as the contract shows it. */
function edgeLine(edge: Edge): EdgeLine {
  return {
    from: end(edge.from),
    to: end(edge.to),
    clientId: edge.clientId === "" ? null : edge.clientId,
    serverId: edge.serverId === "" ? null : edge.serverId,
    secured: edge.secured,
    ...(edge.secured ? {} : { reason: edge.reason }),
    // Of a caller without a proxy only the called side counts, and it does not tell whose responses failed.
    rps: edge.http?.rps ?? (edge.calledRps > 0 ? edge.calledRps : null),
    success: edge.http?.success ?? null,
  }
}

function end(resource: Resource | undefined): EdgeEnd {
  return { namespace: resource?.namespace ?? "", kind: resource?.kind ?? "", name: resource?.name ?? "" }
}

/** Columns of the table. */
const EDGE_COLUMNS: readonly Column<EdgeLine>[] = [
  { title: "FROM", cell: row => row.from.name },
  { title: "FROM_NS", cell: row => row.from.namespace || null },
  { title: "TO", cell: row => row.to.name },
  { title: "TO_NS", cell: row => row.to.namespace || null },
  { title: "SECURED", cell: row => (row.secured ? "yes" : "no") },
  { title: "SUCCESS", cell: row => percent(row.success), right: true },
  { title: "RPS", cell: row => rate(row.rps), right: true },
  { title: "REASON", cell: row => row.reason ?? null },
  { title: "CLIENT_ID", cell: row => row.clientId, wide: true },
  { title: "SERVER_ID", cell: row => row.serverId, wide: true },
]

/** `conduit edges [RESOURCE]`. */
export const edges = command({
  meta: { name: "edges", description: "Who calls whom, whether it is secured, and why not" },
  args: {
    ...GLOBAL_FLAGS,
    ...RESOURCE_ARGUMENT,
    ...WINDOW_FLAG,
    ...SELECTOR_FLAG,
    ...WATCH_FLAG,
  },
  variadic: true,
  offers: { resource: KIND_WORDS, output: FORMATS },
  examples: [
    { line: "conduit edges deploy -A", why: "every call in the mesh" },
    {
      line: "conduit edges deploy/web -n shop -o wide",
      why: "who calls web, whom web calls, with identities",
    },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    const targets = resourcesOrDeployments(args._)
    const windowMs = windowMsOf(args["time-window"])
    await using mesh = await openApi(args)
    const { namespace } = mesh
    await show(args.watch === true, async () => {
      const rows: EdgeLine[] = []
      await mesh.call(async api => {
        for (const target of targets) {
          const answer = await api.edges({
            target: queryOf(target, namespace, args.selector),
            windowMs,
          })
          rows.push(...answer.edges.map(edgeLine))
        }
      })
      if (rows.length === 0) {
        const what = resourcesText(targets)
        say(
          `No traffic seen at ${what}${namespace === "" ? "" : ` in namespace "${namespace}" (-A takes all)`}.`,
        )
        if (format === "table" || format === "wide") return ""
      }
      return await render(format, rows, EDGE_COLUMNS, row => row)
    })
  },
})
