// What each kind of workload wants done about its pods, as pure functions: the controllers of Kubernetes in
// small. They look at the pods there are and say how many to make and which to remove.
import type { WorkloadSpec } from "../objects/kube_object.ts"

/** A pod as a controller sees it. */
export interface PodView {
  readonly name: string
  /** Hash of the template that it was made from. */
  readonly hash: string
  readonly ready: boolean
  readonly terminating: boolean
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed"
  readonly createdMs: number
}

/** What to do now; called again after each change. */
export interface Plan {
  /** Names of pods to make; "" leaves the name to be chosen. */
  readonly create: readonly string[]
  readonly remove: readonly string[]
}

const NOTHING: Plan = { create: [], remove: [] }

/** Deployment, RollingUpdate or Recreate: never fewer ready pods than maxUnavailable allows. */
export function planDeployment(spec: WorkloadSpec, hash: string, pods: readonly PodView[]): Plan {
  const wanted = spec.replicas ?? 1
  const alive = pods.filter(pod => !pod.terminating)
  const fresh = alive.filter(pod => pod.hash === hash)
  const old = alive.filter(pod => pod.hash !== hash)
  if (fresh.length > wanted)
    return { create: [], remove: names(leastUseful(fresh).slice(0, fresh.length - wanted)) }
  if (old.length === 0 && !(spec.strategy?.type === "Recreate" && pods.some(pod => pod.hash !== hash))) {
    return { create: blanks(wanted - fresh.length), remove: [] }
  }
  if (spec.strategy?.type === "Recreate") return { create: [], remove: names(old) }
  const { maxSurge, maxUnavailable } = limits(spec, wanted)
  const room = wanted + maxSurge - alive.length
  const create = blanks(Math.min(room, wanted - fresh.length))
  // Old pods that are not ready serve nobody: they go first and cost no availability.
  const idle = old.filter(pod => !pod.ready)
  const spare = alive.filter(pod => pod.ready).length - (wanted - maxUnavailable)
  const serving = leastUseful(old.filter(pod => pod.ready)).slice(0, Math.max(0, spare))
  return { create, remove: names([...idle, ...serving]) }
}

/** ReplicaSet: as many as wanted, whatever template they were made from. */
export function planReplicaSet(spec: WorkloadSpec, pods: readonly PodView[]): Plan {
  const wanted = spec.replicas ?? 1
  const alive = pods.filter(pod => !pod.terminating)
  return {
    create: blanks(wanted - alive.length),
    remove: names(leastUseful(alive).slice(0, Math.max(0, alive.length - wanted))),
  }
}

/**
 * StatefulSet: name-0 to name-(n-1). Each starts when all before it are ready and the highest ends first, one at a
 * time, unless podManagementPolicy is Parallel; updates go one by one from the highest, each when all others are ready.
 */
export function planStatefulSet(
  name: string,
  spec: WorkloadSpec,
  hash: string,
  pods: readonly PodView[],
): Plan {
  const wanted = Array.from({ length: spec.replicas ?? 1 }, (_, ordinal) => `${name}-${ordinal}`)
  const present = new Map(pods.map(pod => [pod.name, pod]))
  const ending = pods.some(pod => pod.terminating && !wanted.includes(pod.name))
  const surplus = names(pods.filter(pod => !pod.terminating && !wanted.includes(pod.name)).sort(highestFirst))
  const missing = wanted.filter(pod => !present.has(pod))
  const parallel = spec.podManagementPolicy === "Parallel"
  const before = wanted.slice(0, wanted.indexOf(missing[0] ?? ""))
  const mayStart = parallel || before.every(pod => isSettled(present.get(pod)))
  const create = mayStart ? missing.slice(0, parallel ? missing.length : 1) : []
  const remove = parallel ? surplus : ending ? [] : surplus.slice(0, 1)
  if (create.length > 0 || remove.length > 0) return { create, remove }
  // A pod that an edit is to mend is replaced at once: what waits for it would wait for ever.
  const outdated = pods.filter(pod => pod.hash !== hash)
  const broken = outdated.filter(pod => !pod.ready && !pod.terminating)
  if (broken.length > 0) return { create: [], remove: names(broken) }
  if (pods.some(pod => pod.terminating || !pod.ready)) return NOTHING
  const last = [...outdated].sort(highestFirst)[0]
  return last === undefined ? NOTHING : { create: [], remove: [last.name] }
}

/** DaemonSet: one pod, since there is one machine; replaced in place. */
export function planDaemonSet(hash: string, pods: readonly PodView[]): Plan {
  const outdated = pods.filter(pod => pod.hash !== hash && !pod.terminating)
  return { create: blanks(pods.length === 0 ? 1 : 0), remove: names(outdated) }
}

/** How often a Job's pods may fail when the Job does not say (Kubernetes' default). */
export const DEFAULT_BACKOFF_LIMIT = 6

/** Job: runs until enough pods succeeded or too many failed. Finished pods stay, so that their logs can be read. */
export function planJob(spec: WorkloadSpec, hash: string, pods: readonly PodView[]): Plan {
  const outdated = pods.filter(pod => pod.hash !== hash && !pod.terminating)
  if (outdated.length > 0) return { create: [], remove: names(outdated) }
  const mine = pods.filter(pod => !pod.terminating)
  const active = mine.filter(pod => pod.phase === "Pending" || pod.phase === "Running").length
  const succeeded = mine.filter(pod => pod.phase === "Succeeded").length
  const failed = mine.filter(pod => pod.phase === "Failed").length
  if (spec.suspend === true || failed > (spec.backoffLimit ?? DEFAULT_BACKOFF_LIMIT)) return NOTHING
  const left = (spec.completions ?? 1) - succeeded - active
  return { create: blanks(Math.min(left, (spec.parallelism ?? 1) - active)), remove: [] }
}

/** Surge and unavailability in pods: percentages round up and down, as in Kubernetes; both zero would stall. */
export function limits(spec: WorkloadSpec, wanted: number): { maxSurge: number; maxUnavailable: number } {
  const rolling = spec.strategy?.rollingUpdate
  const maxSurge = amount(rolling?.maxSurge ?? "25%", wanted, Math.ceil)
  const maxUnavailable = amount(rolling?.maxUnavailable ?? "25%", wanted, Math.floor)
  return { maxSurge: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxSurge, maxUnavailable }
}

function amount(value: number | string, of: number, round: (value: number) => number): number {
  if (typeof value === "number") return value
  return value.endsWith("%") ? round((Number(value.slice(0, -1)) * of) / 100) : Number(value)
}

function blanks(count: number): string[] {
  return Array.from({ length: Math.max(0, count) }, () => "")
}

function names(pods: readonly PodView[]): string[] {
  return pods.map(pod => pod.name)
}

/** Pods that are not ready first, then the youngest. */
function leastUseful(pods: readonly PodView[]): PodView[] {
  return [...pods].sort((a, b) => Number(a.ready) - Number(b.ready) || b.createdMs - a.createdMs)
}

function isSettled(pod: PodView | undefined): boolean {
  return pod?.ready === true && !pod.terminating
}

function highestFirst(a: PodView, b: PodView): number {
  return ordinalOf(b.name) - ordinalOf(a.name)
}

function ordinalOf(name: string): number {
  return Number(name.slice(name.lastIndexOf("-") + 1))
}
