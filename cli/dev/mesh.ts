// What the `dev` commands share: which mesh is meant, which pod, and how to say that there is none.
import {
  findLocalMesh,
  type LocalMesh,
  meshReport,
  nameComplaint,
  type PodReport,
  runningMeshes,
} from "../../deploy/mod.ts"
import { nearest } from "../../deploy/suggest/mod.ts"
import { Failure, UsageError } from "../failure.ts"
import { parseResources } from "../resource.ts"

/** Flags that choose a mesh. */
export const MESH_FLAGS = {
  name: {
    type: "string",
    valueHint: "NAME",
    description: "which local mesh (CONDUIT_DEV_NAME; default: dev)",
  },
} as const

/** Flag that chooses a namespace; without it every namespace is looked in. */
export const NAMESPACE_FLAG = {
  namespace: {
    type: "string",
    alias: "n",
    valueHint: "NAMESPACE",
    description: "namespace to look in (default: all)",
  },
} as const

/** What chooses a mesh: `--name`, or the `--mesh` that every command has. */
export interface MeshArgs {
  readonly name?: string | undefined
  readonly mesh?: unknown
}

/** The name given, or the default. @throws UsageError when it cannot be one */
export function meshName(args: MeshArgs): string {
  const name =
    args.name || (typeof args.mesh === "string" && args.mesh) || process.env.CONDUIT_DEV_NAME || "dev"
  const complaint = nameComplaint(name)
  if (complaint !== null) throw new UsageError(complaint)
  return name
}

/** The running mesh that is meant. @throws Failure when it does not run */
export async function runningMesh(args: MeshArgs): Promise<LocalMesh> {
  const name = meshName(args)
  const mesh = findLocalMesh(name)
  if (mesh !== null) return mesh
  const others = (await runningMeshes()).map(other => other.name)
  const begin = `conduit dev up -f FILE${name === "dev" ? "" : ` --name ${name}`} starts one`
  const choose = others.length === 0 ? "" : `, and --name chooses one that runs: ${others.join(", ")}`
  throw new Failure(`no local mesh "${name}" runs on this machine; ${begin}${choose}`)
}

/** Lower-case kinds of workload that a pod may be named by. */
const WORKLOADS: Readonly<Record<string, string>> = {
  deployment: "Deployment",
  statefulset: "StatefulSet",
  daemonset: "DaemonSet",
  replicaset: "ReplicaSet",
  job: "Job",
}

/**
 * The pod that a word means: its name, `pod/NAME`, or a workload such as `deploy/web` (its first ready pod).
 *
 * @throws Failure when there is none (with the nearest names) or the name is in several namespaces
 */
export async function findPod(
  mesh: LocalMesh,
  word: string,
  namespace: string | undefined,
): Promise<PodReport> {
  const { pods } = await meshReport(mesh)
  const here = pods.filter(pod => namespace === undefined || pod.namespace === namespace)
  const where = namespace === undefined ? "" : ` in namespace "${namespace}"`
  const resource = word.includes("/") ? parseResources([word])[0] : undefined
  const kind = resource === undefined ? undefined : WORKLOADS[resource.kind.toLowerCase()]
  const name = resource?.name ?? word
  const found = here.filter(pod =>
    kind === undefined ? pod.name === name : pod.workload?.kind === kind && pod.workload.name === name,
  )
  const alive = found.filter(pod => !pod.terminating)
  const best = alive.find(pod => pod.ready) ?? alive[0] ?? found[0]
  if (best === undefined)
    throw new Failure(`no pod "${word}"${where} in the local mesh "${mesh.name}"${near(word, here)}`)
  const namespaces = [...new Set(found.map(pod => pod.namespace))]
  if (namespaces.length > 1) {
    throw new Failure(`"${word}" is in several namespaces (${namespaces.join(", ")}): choose one with -n`)
  }
  return best
}

/** The container meant: the one named, or the pod's first. @throws Failure when the pod has none of that name */
export function containerOf(pod: PodReport, wanted: string | undefined): string {
  const names = pod.containers.map(container => container.name)
  if (wanted === undefined) {
    return pod.containers.find(container => container.kind === "main")?.name ?? names[0] ?? ""
  }
  if (names.includes(wanted)) return wanted
  throw new Failure(`pod "${pod.name}" has no container "${wanted}"; it has ${names.join(", ")}`)
}

function near(word: string, pods: readonly PodReport[]): string {
  if (pods.length === 0) return "; it has no pods there"
  const name = word.slice(word.indexOf("/") + 1)
  const names = [...new Set(pods.map(pod => pod.name))]
  const starting = names.filter(candidate => candidate.startsWith(name) || candidate.includes(name))
  const guess = nearest(name, names)
  const likely = starting.length > 0 ? starting : guess === null ? [] : [guess]
  if (likely.length > 0) return `; did you mean ${likely.slice(0, 3).join(", ")}?`
  return "; conduit dev ps lists its pods"
}
