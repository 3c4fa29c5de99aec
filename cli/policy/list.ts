// `conduit policy list`: what decides who may call each workload, with what each policy decided.
import type { DecisionFigures, Resource, UnusedPolicy, WorkloadPolicies } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { windowMsOf } from "../command_line/duration.ts"
import { openApi } from "../connect.ts"
import { GLOBAL_FLAGS, WINDOW_FLAG } from "../flags.ts"
import { type Column, FORMATS, formatOf, rate, renderData, renderTable, say, writeOut } from "../output.ts"
import {
  KIND_WORDS,
  queryOf,
  RESOURCE_ARGUMENT,
  resourcesOrDeployments,
  resourcesText,
  resourceText,
  SELECTOR_FLAG,
} from "../resource.ts"

/** Requests, and connections that are not HTTP, a second. */
export interface DecidedLine {
  readonly allowedRps: number
  readonly deniedRps: number
  readonly auditedRps: number
}

/** A workload of `conduit policy list -o json`. */
export interface WorkloadLine {
  /** Null for policies that hold on no workload. */
  readonly workload: { readonly namespace: string; readonly kind: string; readonly name: string } | null
  readonly defaultPolicy: string | null
  /** Ports, and whether the default policy or policies decide there. */
  readonly ports: readonly {
    readonly port: number
    readonly name: string | null
    readonly inForce: "default" | "policies"
  }[]
  readonly policies: readonly ({
    readonly kind: string
    readonly namespace: string
    readonly name: string
    readonly action: string
    /** Empty for all. */
    readonly ports: readonly number[]
    readonly problems: readonly string[]
  } & DecidedLine)[]
  readonly byDefault: DecidedLine | null
  /** Refused, since policies with action Allow target the port and none allows it. */
  readonly notAllowed: DecidedLine | null
  /** Decided otherwise: probes, what cannot be told apart, policies that are gone. */
  readonly byOthers: DecidedLine | null
}

/** The kind whose decisions are counted here; figures of the others are in their proxies' metrics. */
const AUTHORIZATION = "AuthorizationPolicy"
const EGRESS = "EgressPolicy"

/** A row of the table. */
interface Row {
  readonly workload: string
  readonly policy: string
  readonly action: string | null
  readonly ports: string | null
  readonly decided: DecidedLine | null
  readonly problems: string
}

const COLUMNS: readonly Column<Row>[] = [
  { title: "WORKLOAD", cell: row => row.workload },
  { title: "POLICY", cell: row => row.policy },
  { title: "ACTION", cell: row => row.action },
  { title: "PORTS", cell: row => row.ports },
  { title: "ALLOWED", cell: row => rate(row.decided?.allowedRps ?? null), right: true },
  { title: "DENIED", cell: row => rate(row.decided?.deniedRps ?? null), right: true },
  { title: "AUDITED", cell: row => rate(row.decided?.auditedRps ?? null), right: true },
  { title: "PROBLEMS", cell: row => row.problems || null, wide: true },
]

/** `conduit policy list [RESOURCE]`. */
export const list = command({
  meta: { name: "list", description: "Policies per workload, with requests a second allowed and denied" },
  args: {
    ...GLOBAL_FLAGS,
    ...RESOURCE_ARGUMENT,
    ...WINDOW_FLAG,
    ...SELECTOR_FLAG,
  },
  variadic: true,
  offers: { resource: KIND_WORDS, output: FORMATS },
  examples: [
    { line: "conduit policy list -A", why: "what decides who may call each Deployment" },
    {
      line: "conduit policy list deploy/voting -n emojivoto -o wide",
      why: "one Deployment's, with problems",
    },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    const targets = resourcesOrDeployments(args._)
    const lines: WorkloadLine[] = []
    const windowMs = windowMsOf(args["time-window"])
    await using mesh = await openApi(args)
    const { namespace } = mesh
    await mesh.call(async api => {
      for (const target of targets) {
        const answer = await api.policies({
          target: queryOf(target, namespace, args.selector),
          windowMs,
        })
        lines.push(...answer.workloads.map(workloadLine))
        const known = new Set(lines.flatMap(line => line.policies.map(nameOf)))
        const unused = answer.unused.filter(policy => !known.has(nameOf(policy)))
        if (unused.length > 0) lines.push(unusedLine(unused))
      }
    })
    if (lines.length === 0) {
      const what = resourcesText(targets)
      say(
        `Nothing to list: no ${what}${namespace === "" ? "" : ` in namespace "${namespace}" (-A takes all)`}.`,
      )
    }
    if (format === "json" || format === "yaml") writeOut(await renderData(lines, format))
    else if (lines.length > 0) writeOut(renderTable(lines.flatMap(rowsOf), COLUMNS, format))
    const problems = lines.flatMap(line =>
      line.policies.flatMap(policy => policy.problems.map(problem => `${nameOf(policy)}: ${problem}`)),
    )
    for (const problem of new Set(problems)) say(`conduit: ${problem}`)
  },
})

function nameOf({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`
}

function decidedLine(figures: DecisionFigures | undefined): DecidedLine {
  const { allowedRps = 0, deniedRps = 0, auditedRps = 0 } = figures ?? {}
  return { allowedRps, deniedRps, auditedRps }
}

function resourceLine(resource: Resource | undefined): WorkloadLine["workload"] {
  return resource === undefined
    ? null
    : { namespace: resource.namespace, kind: resource.kind, name: resource.name }
}

function workloadLine(workload: WorkloadPolicies): WorkloadLine {
  return {
    workload: resourceLine(workload.resource),
    defaultPolicy: workload.defaultPolicy,
    ports: workload.ports.map(({ port, name, defaultInForce }) => ({
      port,
      name: name === "" ? null : name,
      inForce: defaultInForce ? "default" : "policies",
    })),
    policies: workload.policies.map(({ kind, namespace, name, action, ports, decided, problems }) => ({
      kind: kind || AUTHORIZATION,
      namespace,
      name,
      action,
      ports,
      problems,
      ...decidedLine(decided),
    })),
    byDefault: decidedLine(workload.byDefault),
    notAllowed: decidedLine(workload.notAllowed),
    byOthers: decidedLine(workload.byOthers),
  }
}

function unusedLine(unused: readonly UnusedPolicy[]): WorkloadLine {
  const policies = unused.map(({ namespace, name, action, problems }) => ({
    kind: AUTHORIZATION,
    namespace,
    name,
    action,
    ports: [],
    problems,
    ...decidedLine(undefined),
  }))
  const nothing = { byDefault: null, notAllowed: null, byOthers: null }
  return { workload: null, defaultPolicy: null, ports: [], policies, ...nothing }
}

function rowsOf(line: WorkloadLine): Row[] {
  const { workload } = line
  const name = workload === null ? "-" : `${workload.namespace}/${resourceText(workload.kind, workload.name)}`
  const rows = line.policies.map(
    (policy): Row => ({
      workload: name,
      policy: policy.name,
      action: policy.kind === EGRESS ? `${policy.action} (egress)` : policy.action,
      ports:
        policy.kind === EGRESS
          ? null
          : workload === null
            ? null
            : policy.ports.length === 0
              ? "all"
              : policy.ports.join(","),
      decided: workload === null || policy.kind !== AUTHORIZATION ? null : policy,
      problems: policy.problems.join("; "),
    }),
  )
  const row = (policy: string, ports: string | null, decided: DecidedLine | null): void => {
    rows.push({ workload: name, policy, action: null, ports, decided, problems: "" })
  }
  if (line.byDefault !== null) {
    const ports = line.ports.filter(port => port.inForce === "default").map(({ port }) => port)
    row(`default: ${line.defaultPolicy}`, ports.length === 0 ? null : ports.join(","), line.byDefault)
  }
  if (line.notAllowed !== null && line.notAllowed.deniedRps > 0) row("none allows it", null, line.notAllowed)
  if (line.byOthers !== null && line.byOthers.allowedRps + line.byOthers.deniedRps > 0) {
    row("others", null, line.byOthers)
  }
  return rows
}
