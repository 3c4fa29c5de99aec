// What the runner tells other commands about its pods, and how it judges whether all of them are well.
import type { Cluster } from "./cluster.ts"
import type { ContainerStatus, Pod } from "./pod/pod.ts"

/** One pod, as `conduit dev ps` and its kin see it. */
export interface PodReport {
  readonly namespace: string
  readonly name: string
  /** The workload that it belongs to; null for a bare Pod. */
  readonly workload: { readonly kind: string; readonly name: string } | null
  readonly ip: string
  readonly ips: readonly string[]
  readonly meshed: boolean
  /** Why it has no proxy; null when it has one. */
  readonly skipped: string | null
  readonly ready: boolean
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed"
  readonly terminating: boolean
  /** What keeps it from being ready; "" when nothing does. */
  readonly reason: string
  readonly restarts: number
  readonly createdMs: number
  /** Host process id of the first process in its namespaces. */
  readonly sandboxPid: number
  /** Host process id of the first container's main process; null while it does not run. */
  readonly pid: number | null
  readonly containers: readonly ContainerStatus[]
}

/** Answer to GET /v1/status on the control socket. */
export interface MeshReport {
  readonly name: string
  readonly apiAddr: string
  readonly pods: readonly PodReport[]
  /** Forwards of 127.0.0.1 ports. */
  readonly forwards: readonly { readonly port: number; readonly target: string }[]
}

/** A pod's report. */
export function reportOf(pod: Pod, cluster: Cluster): PodReport {
  const first = pod.containers.find(container => container.kind === "main")
  return {
    namespace: pod.namespace,
    name: pod.name,
    workload: cluster.workloadOf(pod),
    ip: pod.address.v4,
    ips: (pod.object.status as { podIPs: { ip: string }[] }).podIPs.map(({ ip }) => ip),
    meshed: pod.meshed,
    skipped: cluster.skippedReason(pod),
    ready: pod.ready,
    phase: pod.phase,
    terminating: pod.terminating,
    reason: reasonOf(pod),
    restarts: pod.containers.reduce((sum, container) => sum + container.restarts, 0),
    createdMs: pod.createdMs,
    sandboxPid: pod.sandboxPid,
    pid: first === undefined || first.pid === 0 ? null : first.pid,
    containers: pod.containers,
  }
}

/** Whether a pod is as it should be: ready, or done. */
export function isWell(pod: PodReport): boolean {
  return pod.ready || pod.phase === "Succeeded" || pod.terminating
}

/** A container that was restarted this often and ended again, with everything else well, will not change its mind. */
export const HOPELESS_RESTARTS = 2

/** Whether a pod that is not well will not become so by waiting. */
export function isHopeless(pod: PodReport): boolean {
  return (
    pod.phase === "Failed" ||
    pod.containers.some(container => container.state === "waiting" && container.restarts >= HOPELESS_RESTARTS)
  )
}

/** The container that keeps a pod from being ready; the first one that runs into trouble. */
export function culprit(pod: PodReport): ContainerStatus | null {
  const unwell = pod.containers.filter(container => !container.ready)
  return unwell.find(container => container.reason !== "") ?? unwell[0] ?? null
}

function reasonOf(pod: Pod): string {
  if (pod.reason !== "") return pod.reason
  if (pod.ready || pod.phase === "Succeeded") return ""
  for (const container of pod.containers) {
    if (!container.ready && container.reason !== "")
      return `container "${container.name}": ${container.reason}`
  }
  return pod.phase === "Pending" ? "starting" : "not ready yet"
}
