// `conduit stat`: success rate, requests a second and latencies per resource.
import type { ApiClient, HttpFigures, StatRow } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { windowMsOf } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { Failure, UsageError } from "../failure.ts"
import { GLOBAL_FLAGS, WATCH_FLAG, WINDOW_FLAG } from "../flags.ts"
import { byteRate, type Column, FORMATS, formatOf, millis, percent, rate, render, say } from "../output.ts"
import {
  KIND_WORDS,
  NAME_KINDS,
  parseResources,
  peerOf,
  pluralOf,
  queryOf,
  type ResourceArgument,
  resourceText,
  SELECTOR_FLAG,
  selectorOf,
} from "../resource.ts"
import { show } from "../watch.ts"

/** Figures of HTTP in a row of `-o json`; null is a figure that no traffic stands behind. */
export interface HttpLine {
  /** Share of responses classified success, 0 to 1. */
  readonly success: number | null
  readonly rps: number | null
  readonly latencyMs: {
    readonly p50: number | null
    readonly p95: number | null
    readonly p99: number | null
  }
}

/** Figures of the API as the contract shows them. */
export function httpLine(http: HttpFigures | undefined): HttpLine {
  const { p50, p95, p99 } = http?.latencyMs ?? {}
  return {
    success: http?.success ?? null,
    rps: http?.rps ?? null,
    latencyMs: { p50: p50 ?? null, p95: p95 ?? null, p99: p99 ?? null },
  }
}

/** A row of `conduit stat -o json`; null is a figure that no traffic stands behind. */
export interface StatLine extends HttpLine {
  readonly namespace: string
  readonly kind: string
  readonly name: string
  /** Of a route alone: its Service, `namespace/name`. */
  readonly service?: string
  /** Null for authorities and routes, behind which there are no pods. */
  readonly meshed: { readonly running: number | null; readonly total: number | null }
  readonly tcp: {
    readonly open: number | null
    readonly readBytesPerSec: number | null
    readonly writeBytesPerSec: number | null
  }
}

/** A row of the table: what JSON has, what policies refused, and what callers sent again. */
interface StatTableRow extends StatLine {
  /** A second; null for nothing. */
  readonly refusedRps: number | null
  /** A second; null for nothing. */
  readonly retriesRps: number | null
}

/** A row of the API as the contract shows it. */
function statLine(row: StatRow): StatLine {
  const { http, tcp, service } = row
  const pods = !isName(row.resource?.kind ?? "")
  return {
    namespace: row.resource?.namespace ?? "",
    kind: row.resource?.kind ?? "",
    name: row.resource?.name ?? "",
    ...(service === undefined ? {} : { service: `${service.namespace}/${service.name}` }),
    meshed: { running: pods ? row.meshedPods : null, total: pods ? row.totalPods : null },
    ...httpLine(http),
    tcp: {
      open: tcp === undefined ? null : Number(tcp.open),
      readBytesPerSec: tcp?.readBytesPerSec ?? null,
      writeBytesPerSec: tcp?.writeBytesPerSec ?? null,
    },
  }
}

function isName(kind: string): boolean {
  return kind in NAME_KINDS
}

/** Columns of the table; a namespace only where several are shown, a kind where several are asked for. */
function statColumns(options: {
  readonly namespaces: boolean
  readonly kinds: boolean
  readonly routes: boolean
}): Column<StatTableRow>[] {
  return [
    ...(options.namespaces ? [{ title: "NAMESPACE", cell: (row: StatTableRow) => row.namespace }] : []),
    { title: "NAME", cell: row => (options.kinds ? resourceText(row.kind, row.name) : row.name) },
    ...(options.routes ? [{ title: "SERVICE", cell: serviceName }] : []),
    { title: "MESHED", cell: meshedText, right: true },
    { title: "SUCCESS", cell: row => percent(row.success), right: true },
    { title: "RPS", cell: row => rate(row.rps), right: true },
    { title: "P50", cell: row => millis(row.latencyMs.p50), right: true },
    { title: "P95", cell: row => millis(row.latencyMs.p95), right: true },
    { title: "P99", cell: row => millis(row.latencyMs.p99), right: true },
    { title: "TCP_CONN", cell: row => row.tcp.open?.toString() ?? null, right: true },
    { title: "READ", cell: row => byteRate(row.tcp.readBytesPerSec), right: true, wide: true },
    { title: "WRITE", cell: row => byteRate(row.tcp.writeBytesPerSec), right: true, wide: true },
    { title: "UNAUTHORIZED", cell: row => rate(row.refusedRps), right: true, wide: true },
    { title: "RETRIES", cell: row => rate(row.retriesRps), right: true, wide: true },
  ]
}

function meshedText({ meshed: { running, total } }: StatTableRow): string | null {
  return running === null ? null : `${running}/${total}`
}

function serviceName({ service }: StatTableRow): string | null {
  return service?.slice(service.indexOf("/") + 1) ?? null
}

const args = {
  ...GLOBAL_FLAGS,
  resource: {
    type: "positional",
    valueHint: "RESOURCE",
    description: "deploy, deploy/web, or deploy web; authority and route for names that requests bear",
    required: true,
  },
  ...WINDOW_FLAG,
  from: { type: "string", valueHint: "RESOURCE", description: "only traffic that this sends" },
  "from-namespace": { type: "string", valueHint: "NAMESPACE", description: "namespace of --from" },
  to: { type: "string", valueHint: "RESOURCE", description: "only traffic that goes to this" },
  "to-namespace": { type: "string", valueHint: "NAMESPACE", description: "namespace of --to" },
  ...SELECTOR_FLAG,
  ...WATCH_FLAG,
} as const

/** `conduit stat RESOURCE`. */
export const stat = command({
  meta: { name: "stat", description: "Success rate, requests a second and latencies of resources" },
  args,
  variadic: true,
  offers: {
    resource: [...KIND_WORDS, ...Object.keys(NAME_KINDS)],
    from: KIND_WORDS,
    to: KIND_WORDS,
    output: FORMATS,
  },
  examples: [
    { line: "conduit stat deploy -n shop", why: "every Deployment of a namespace" },
    { line: "conduit stat deploy/web --to deploy/cart -t 30s", why: "what web sends to cart" },
    { line: "conduit stat deploy -A -w", why: "everything, kept up to date" },
    {
      line: "conduit stat deploy -o wide",
      why: "with bytes, what policies refused, and what was sent again",
    },
    { line: "conduit stat authority --from deploy/web", why: "by which names web calls, outside too" },
    { line: "conduit stat route --to svc/cart", why: "each route of a Service" },
    { line: "conduit stat pod -l app=web -o json", why: "for programs" },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    const targets = parseResources(args._, true)
    const names = targets.filter(target => isName(target.kind))
    const windowMs = windowMsOf(args["time-window"])
    const sender = peerOf(args.from, "--from")
    const receiver = peerOf(args.to, "--to")
    if (sender !== undefined && receiver !== undefined && names.length < targets.length) {
      throw new UsageError(
        "--from and --to cannot be used together; stat deploy/a --to deploy/b shows what a sends to b",
      )
    }
    if (args.selector !== undefined && names.length > 0) {
      throw new UsageError(
        `-l chooses by labels, and ${pluralOf(names[0]?.kind ?? "")} have none; --from and --to choose whose traffic is shown`,
      )
    }
    const kinds = new Set(targets.map(target => target.kind)).size > 1
    await using mesh = await openApi(args)
    const { namespace } = mesh
    const from = selectorOf(sender, args["from-namespace"] ?? namespace)
    const to = selectorOf(receiver, args["to-namespace"] ?? namespace)
    const warned = new Set<string>()
    const routes = targets.some(target => target.kind === "route")
    const columns = statColumns({ namespaces: namespace === "", kinds, routes })
    await show(args.watch === true, async () => {
      const rows: StatTableRow[] = []
      await mesh.call(async api => {
        for (const target of targets) {
          rows.push(...(await ask(api, target)))
        }
      })
      if (rows.length === 0) {
        const what = targets.map(target => pluralOf(target.kind)).join(", ")
        // What nothing bears is not there.
        const seen = names.length > 0 ? "seen within the window" : "found"
        say(`No ${what} ${seen} ${place(namespace)}.`)
      }
      if (rows.length === 0 && (format === "table" || format === "wide")) return ""
      return await render(format, rows, columns, lineOf)
    })

    async function ask(api: ApiClient, target: ResourceArgument): Promise<StatTableRow[]> {
      const asked = queryOf(target, namespace, args.selector)
      const answer = await api.stat({
        target: asked,
        windowMs,
        refused: format === "wide",
        retries: format === "wide",
        ...(from === undefined ? {} : { from }),
        ...(to === undefined ? {} : { to }),
      })
      if (answer.rows.length === 0 && target.name !== "") {
        throw new Failure(`${resourceText(target.kind, target.name)} was not found ${place(asked.namespace)}`)
      }
      // Once, however many targets: the same Services are behind all of them.
      for (const warning of answer.warnings.filter(one => !warned.has(one))) {
        warned.add(warning)
        say(`Warning: ${warning}`)
      }
      return answer.rows.map(row => ({
        ...statLine(row),
        refusedRps: row.refusedRps || null,
        retriesRps: row.retriesRps || null,
      }))
    }
  },
})

function lineOf({ refusedRps: _, retriesRps: __, ...line }: StatTableRow): StatLine {
  return line
}

function place(namespace: string): string {
  return namespace === ""
    ? "in any namespace"
    : `in namespace "${namespace}" (-n chooses another, -A takes all)`
}
