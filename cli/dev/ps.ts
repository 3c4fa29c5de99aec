// `conduit dev ps`: the pods of a local mesh.
import { meshReport, type PodReport } from "../../deploy/mod.ts"
import { command } from "../command_line/command.ts"
import { ago, type Column, FORMATS, formatOf, render, writeOut } from "../output.ts"
import { MESH_FLAGS, NAMESPACE_FLAG, runningMesh } from "./mesh.ts"

/** A row of `conduit dev ps -o json`. */
export interface PodLine {
  readonly namespace: string
  /** Name of the workload; null for a bare Pod. */
  readonly deployment: string | null
  readonly pod: string
  readonly ip: string
  readonly meshed: boolean
  readonly ready: boolean
  /** Main process of the first container, as this machine numbers it; null while it does not run. */
  readonly pid: number | null
}

/** A pod as the contract shows it. */
function podLine(pod: PodReport): PodLine {
  return {
    namespace: pod.namespace,
    deployment: pod.workload?.name ?? null,
    pod: pod.name,
    ip: pod.ip,
    meshed: pod.meshed,
    ready: pod.ready,
    pid: pod.pid,
  }
}

const COLUMNS: readonly Column<PodReport>[] = [
  { title: "NAMESPACE", cell: pod => pod.namespace },
  { title: "POD", cell: pod => pod.name },
  { title: "IP", cell: pod => pod.ip },
  { title: "MESHED", cell: pod => (pod.meshed ? "yes" : "no") },
  { title: "READY", cell: pod => (pod.ready ? "yes" : "no") },
  { title: "STATUS", cell: pod => statusOf(pod) },
  { title: "RESTARTS", cell: pod => String(pod.restarts), right: true },
  { title: "AGE", cell: pod => ago(Date.now() - pod.createdMs), right: true },
  {
    title: "WORKLOAD",
    cell: pod => (pod.workload === null ? null : `${pod.workload.kind}/${pod.workload.name}`),
    wide: true,
  },
  { title: "PID", cell: pod => pod.pid?.toString() ?? null, right: true, wide: true },
  { title: "IPV6", cell: pod => pod.ips[1] ?? null, wide: true },
  { title: "WHY", cell: pod => (pod.reason !== "" ? pod.reason : (pod.skipped ?? null)), wide: true },
]

const LABELS: Column<PodReport> = {
  title: "LABELS",
  cell: ({ labels }) =>
    Object.entries(labels)
      .map(([name, value]) => `${name}=${value}`)
      .join(","),
}

/** `conduit dev ps`. */
export const ps = command({
  meta: { name: "ps", description: "Lists the pods of a local mesh" },
  args: {
    ...MESH_FLAGS,
    ...NAMESPACE_FLAG,
    output: { type: "string", alias: "o", valueHint: "FORMAT", description: "table, wide, json or yaml" },
    "show-labels": { type: "boolean", description: "A column with the labels of each pod" },
  },
  offers: { output: FORMATS },
  examples: [
    { line: "conduit dev ps", why: "every pod, the control plane's too" },
    {
      line: "conduit dev ps -n shop --show-labels",
      why: "what a plugin or a controller has given them, too",
    },
    { line: "conduit dev ps -n shop -o json", why: "one namespace, for programs" },
  ],
  async run({ args }) {
    const format = formatOf(args.output)
    const { pods } = await meshReport(await runningMesh(args))
    const rows = pods
      .filter(pod => args.namespace === undefined || pod.namespace === args.namespace)
      .sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name))
    const columns = args["show-labels"] === true ? [...COLUMNS, LABELS] : COLUMNS
    writeOut(await render(format, rows, columns, podLine))
  },
})

/** One word for what a pod does. */
export function statusOf(pod: PodReport): string {
  if (pod.terminating) return "Terminating"
  if (pod.phase === "Succeeded") return "Completed"
  const looping = pod.containers.some(container => container.state === "waiting" && container.restarts > 0)
  return looping ? "CrashLoopBackOff" : pod.phase
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
