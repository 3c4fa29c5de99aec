// `conduit routes`: traffic per route of Services, as callers saw it and as it was sent.
import type { RouteRow } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { windowMsOf } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { GLOBAL_FLAGS, WATCH_FLAG, WINDOW_FLAG } from "../flags.ts"
import { type Column, FORMATS, formatOf, millis, percent, rate, render, say } from "../output.ts"
import {
  KIND_WORDS,
  parseResources,
  peerOf,
  queryOf,
  resourcesText,
  resourceText,
  SELECTOR_FLAG,
  selectorOf,
} from "../resource.ts"
import { type HttpLine, httpLine } from "./stat.ts"
import { show } from "../watch.ts"

/** A row of `conduit routes -o json`; null is a figure that no traffic stands behind. */
export interface RouteLine extends HttpLine {
  readonly route: string
  /** `namespace/name`. */
  readonly service: string
  /** Requests as sent to endpoints, those that were sent again included. */
  readonly actual: { readonly success: number | null; readonly rps: number | null }
}

/** A row of the table: what JSON has, and what was sent again. */
interface RouteTableRow extends RouteLine {
  /** A second; null for nothing. */
  readonly retriesRps: number | null
}

/** A row of the API as the contract shows it. */
function routeLine({ route, service, http, actual }: RouteRow): RouteTableRow {
  return {
    route,
    service: `${service?.namespace ?? ""}/${service?.name ?? ""}`,
    ...httpLine(http),
    actual: { success: actual?.success ?? null, rps: actual?.rps ?? null },
    retriesRps: actual?.retriesRps || null,
  }
}

/** Columns of the table; what was sent only where it is asked for or differs. */
function routeColumns(rows: readonly RouteTableRow[], namespaces: boolean): Column<RouteTableRow>[] {
  const differs = ({ success, actual, retriesRps }: RouteTableRow): boolean =>
    (retriesRps ?? 0) >= 0.05 ||
    (success !== null && actual.success !== null && Math.abs(success - actual.success) > 0.0005)
  const wide = !rows.some(differs)
  return [
    { title: "ROUTE", cell: row => (row.route === "default" ? "[DEFAULT]" : row.route) },
    {
      title: "SERVICE",
      cell: row => (namespaces ? row.service : row.service.slice(row.service.indexOf("/") + 1)),
    },
    { title: "SUCCESS", cell: row => percent(row.success), right: true },
    { title: "RPS", cell: row => rate(row.rps), right: true },
    { title: "ACTUAL_SUCCESS", cell: row => percent(row.actual.success), right: true, wide },
    { title: "ACTUAL_RPS", cell: row => rate(row.actual.rps), right: true, wide },
    { title: "RETRIES", cell: row => rate(row.retriesRps), right: true, wide },
    { title: "P50", cell: row => millis(row.latencyMs.p50), right: true },
    { title: "P95", cell: row => millis(row.latencyMs.p95), right: true },
    { title: "P99", cell: row => millis(row.latencyMs.p99), right: true },
  ]
}

/** `conduit routes [RESOURCE]`. */
export const routes = command({
  meta: { name: "routes", description: "Traffic per route of Services, as seen by callers and as sent" },
  args: {
    ...GLOBAL_FLAGS,
    resource: {
      type: "positional",
      valueHint: "RESOURCE",
      description: "svc, svc/web, or deploy/web for the Services in front of it (default: svc)",
      required: false,
    },
    ...WINDOW_FLAG,
    from: { type: "string", valueHint: "RESOURCE", description: "only traffic that this sends" },
    "from-namespace": { type: "string", valueHint: "NAMESPACE", description: "namespace of --from" },
    ...SELECTOR_FLAG,
    ...WATCH_FLAG,
  },
  variadic: true,
  offers: { resource: KIND_WORDS, from: KIND_WORDS, output: FORMATS },
  examples: [
    { line: "conduit routes svc/web -n shop", why: "each rule of web's routes" },
    { line: "conduit routes deploy/web -n shop -o wide", why: "with what was sent, retries included" },
    { line: "conduit routes svc/cart --from deploy/web -n shop", why: "what web asks of cart" },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    const targets = parseResources(args._.length === 0 ? ["svc"] : args._)
    const windowMs = windowMsOf(args["time-window"])
    const sender = peerOf(args.from, "--from")
    await using mesh = await openApi(args)
    const { namespace } = mesh
    const from = selectorOf(sender, args["from-namespace"] ?? namespace)
    await show(args.watch === true, async () => {
      const rows: RouteTableRow[] = []
      await mesh.call(async api => {
        for (const target of targets) {
          const answer = await api.routes({
            target: queryOf(target, namespace, args.selector),
            windowMs,
            ...(from === undefined ? {} : { from }),
          })
          rows.push(...answer.rows.map(routeLine))
        }
      })
      if (rows.length === 0) {
        const what = resourcesText(targets)
        const place = namespace === "" ? "" : ` in namespace "${namespace}" (-A takes all)`
        // Whose calls are meant is easily asked the wrong way round.
        const caller = targets.find(({ kind, name }) => name !== "" && kind !== "service")
        const hint =
          caller === undefined
            ? ""
            : `; conduit routes --from ${resourceText(caller.kind, caller.name)} shows the routes that it calls`
        say(`No Service found for ${what}${place}${hint}.`)
        if (format === "table" || format === "wide") return ""
      }
      return await render(format, rows, routeColumns(rows, namespace === ""), lineOf)
    })
  },
})

function lineOf({ retriesRps: _, ...line }: RouteTableRow): RouteLine {
  return line
}
