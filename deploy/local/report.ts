// What the runner tells other commands about its pods, and how it judges whether all of them are well.
import type { Cluster } from "./cluster.ts"
import type { Pod } from "./pod/pod.ts"
import type { ContainerStatus } from "./pod/pod_status.ts"

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
  readonly labels: Readonly<Record<string, string>>
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
    labels: pod.object.metadata.labels ?? {},
    createdMs: pod.createdMs,
    sandboxPid: pod.sandboxPid,
    pid: first === undefined || first.pid === 0 ? null : first.pid,
    containers: pod.containers,
  }
}

/** A container without a readiness probe must have run this long: one that exits at once was never well. */
export const STEADY_MS = 400

/** Whether a pod is as it should be: ready and not only for a blink, or done. */
export function isWell(pod: PodReport, nowMs: number): boolean {
  if (pod.terminating || pod.phase === "Succeeded") return true
  const blink = (container: ContainerStatus) =>
    container.kind !== "init" && !container.probed && nowMs - container.runningSinceMs < STEADY_MS
  return pod.ready && !pod.containers.some(blink)
}

/** Finds out that waiting longer makes no sense: what is not well fails over and over though all else is well. */
export class Patience {
  #restarts: Map<string, number> | null = null

  /**
   * Looks at the pods that are not well; all others are.
   *
   * @returns true once each of them has failed for good, or has ended again after a restart that came later than
   *   the first look at which only such pods were left: whatever it waited for was there
   */
  isOver(unwell: readonly PodReport[]): boolean {
    if (unwell.length === 0 || !unwell.every(isCrashing)) {
      this.#restarts = null
      return false
    }
    const before = this.#restarts
    this.#restarts ??= new Map(unwell.map(pod => [keyOf(pod), pod.restarts]))
    return unwell.every(pod => {
      if (pod.phase === "Failed") return true
      const waiting = pod.containers.some(
        container => container.state === "waiting" && container.restarts > 0,
      )
      return waiting && before !== null && pod.restarts > (before.get(keyOf(pod)) ?? pod.restarts)
    })
  }
}

function isCrashing(pod: PodReport): boolean {
  return pod.phase === "Failed" || pod.containers.some(container => container.restarts > 0)
}

function keyOf(pod: PodReport): string {
  return `${pod.namespace}/${pod.name}`
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
