// `conduit policy what-if`: which live traffic proposed policies would deny or newly allow.
import { readFileSync } from "node:fs"
import { loadManifests } from "../../deploy/mod.ts"
import { PolicyChange, type PolicyDecision, type Resource, type WhatIfRow } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { windowMsOf } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { Failure, UsageError } from "../failure.ts"
import { GLOBAL_FLAGS, WINDOW_FLAG } from "../flags.ts"
import { type Column, FORMATS, formatOf, rate, renderData, renderTable, say, writeOut } from "../output.ts"
import { resourceText } from "../resource.ts"

interface ResourceLine {
  readonly namespace: string
  readonly kind: string
  readonly name: string
}

interface DecisionLine {
  readonly allowed: boolean
  /** `namespace/name`, several separated by commas; null where no policy decides. */
  readonly policy: string | null
  readonly reason: string
}

/** A row of `conduit policy what-if -o json`. */
export interface WhatIfLine {
  readonly change: "denied" | "allowed" | "unchanged"
  /** Null when nothing of the cluster is known by the caller's identity or address. */
  readonly from: ResourceLine | null
  readonly clientId: string | null
  readonly clientIps: readonly string[]
  readonly to: ResourceLine
  readonly port: number
  readonly protocol: string
  /** Null for connections into which nobody looks. */
  readonly method: string | null
  /** A path, or a template of many. */
  readonly path: string | null
  readonly rps: number
  readonly requests: number
  readonly before: DecisionLine
  readonly after: DecisionLine
  /** The route stands for many paths, one was judged, and rules tell them apart. */
  readonly approximate: boolean
}

const COLUMNS: readonly Column<WhatIfLine>[] = [
  { title: "CHANGE", cell: row => row.change },
  { title: "FROM", cell: row => (row.from === null ? (row.clientIps[0] ?? null) : textOf(row.from)) },
  { title: "TO", cell: row => textOf(row.to) },
  { title: "PORT", cell: row => String(row.port), right: true },
  { title: "ROUTE", cell: routeOf },
  { title: "RPS", cell: row => rate(row.rps), right: true },
  { title: "BY", cell: row => row.after.policy },
  {
    title: "WHY",
    cell: row => `${row.after.reason}${row.approximate ? " (judged by one path of many)" : ""}`,
  },
  { title: "CLIENT_ID", cell: row => row.clientId, wide: true },
  { title: "CLIENT_IPS", cell: row => row.clientIps.join(","), wide: true },
  { title: "NOW", cell: row => row.before.reason, wide: true },
]

const CHANGES: Readonly<Record<PolicyChange, WhatIfLine["change"]>> = {
  [PolicyChange.UNSPECIFIED]: "unchanged",
  [PolicyChange.DENIED]: "denied",
  [PolicyChange.ALLOWED]: "allowed",
  [PolicyChange.UNCHANGED]: "unchanged",
}

/** `conduit policy what-if FILE...`. */
export const whatIf = command({
  meta: {
    name: "what-if",
    description:
      "Which live traffic proposed policies would deny or newly allow; exit code 1 if any is denied",
  },
  args: {
    ...GLOBAL_FLAGS,
    file: {
      type: "positional",
      valueHint: "FILE",
      description: "manifests with the policies: files, folders, - for standard input",
      required: false,
    },
    plugin: {
      type: "string",
      valueHint: "NAME,...",
      description: "plugins in mode Audit that are tried as if they were in force",
    },
    ...WINDOW_FLAG,
  },
  variadic: true,
  offers: { output: FORMATS },
  examples: [
    { line: "conduit policy what-if new.yaml", why: "what the last minute's traffic would meet" },
    { line: "conduit policy what-if policies/ -t 1h -o json", why: "an hour's, for a pipeline" },
    {
      line: "conduit policy learn -n shop | conduit policy what-if -",
      why: "that learnt policies deny nothing seen",
    },
    {
      line: "conduit policy what-if --plugin quiet-hours",
      why: "what a plugin in mode Audit would refuse, before it is enforced",
    },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    const windowMs = windowMsOf(args["time-window"])
    const plugins = (args.plugin ?? "").split(",").filter(Boolean)
    if (args._.length === 0 && plugins.length === 0)
      throw new UsageError("policy what-if needs FILE with policies, or --plugin NAME of one in mode Audit")
    await using mesh = await openApi(args)
    const namespace = mesh.namespace || "default"
    const files = args._.length === 0 ? [] : await filesOf(args._, namespace)
    const answer = await mesh.call(api => api.whatIf({ files, windowMs, namespace, plugins }))
    if (answer.problems.length > 0) {
      throw new Failure(answer.problems.map(({ where, message }) => `${where}: ${message}`).join("\n"))
    }
    const lines = answer.rows.map(whatIfLine)
    const shown = format === "table" ? lines.filter(line => line.change !== "unchanged") : lines
    if (format === "json" || format === "yaml") writeOut(await renderData(lines, format))
    else if (shown.length > 0) writeOut(renderTable(shown, COLUMNS, format))
    for (const note of answer.notes) say(`conduit: ${note}`)
    if (answer.unjudged > 0n) {
      say(`conduit: ${answer.unjudged} requests could not be judged: proxies had no room to tell them apart`)
    }
    say(summaryOf(lines))
    const denied = lines.filter(line => line.change === "denied")
    if (denied.length > 0) {
      throw new Failure(`live traffic would be denied: ${rate(sumOf(denied))} requests a second`)
    }
  },
})

/** Contents of files that hold up to a first look, each under its name. @throws Failure (from ManifestError) */
async function filesOf(
  paths: readonly string[],
  namespace: string,
): Promise<{ name: string; content: string }[]> {
  const stdin = paths.includes("-") ? await Bun.stdin.text() : undefined
  const { files } = loadManifests(paths, { namespace, ...(stdin === undefined ? {} : { stdin }) })
  return files.map(name => ({ name, content: name === "-" ? (stdin ?? "") : readFileSync(name, "utf8") }))
}

function whatIfLine(row: WhatIfRow): WhatIfLine {
  const { clientId, clientIps, port, protocol, method, path, rps, count, approximate } = row
  return {
    change: CHANGES[row.change] ?? "unchanged",
    from: row.from === undefined ? null : resourceLine(row.from),
    clientId: clientId === "" ? null : clientId,
    clientIps,
    to: resourceLine(row.to),
    port,
    protocol,
    method: method === "" ? null : method,
    path: path === "" ? null : path,
    rps,
    requests: Number(count),
    before: decisionLine(row.before),
    after: decisionLine(row.after),
    approximate,
  }
}

function resourceLine(resource: Resource | undefined): ResourceLine {
  const { namespace = "", kind = "", name = "" } = resource ?? {}
  return { namespace, kind, name }
}

function decisionLine(decision: PolicyDecision | undefined): DecisionLine {
  const { allowed = false, policy = "", reason = "" } = decision ?? {}
  return { allowed, policy: policy === "" ? null : policy, reason }
}

function textOf({ namespace, kind, name }: ResourceLine): string {
  return `${namespace}/${resourceText(kind, name)}`
}

function routeOf({ method, path, protocol }: WhatIfLine): string {
  return method === null ? `(${protocol} connections)` : `${method} ${path ?? "(ambiguous paths)"}`
}

function summaryOf(lines: readonly WhatIfLine[]): string {
  if (lines.length === 0) return "No traffic was seen within the window, so nothing could be tried."
  const of = (change: WhatIfLine["change"]): string =>
    `${rate(sumOf(lines.filter(line => line.change === change)))}/s`
  return `Denied ${of("denied")}, newly allowed ${of("allowed")}, unchanged ${of("unchanged")}.`
}

function sumOf(lines: readonly WhatIfLine[]): number {
  return lines.reduce((sum, line) => sum + line.rps, 0)
}
