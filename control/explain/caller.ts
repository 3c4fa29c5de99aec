// The caller: a pod of the workload that is named, or an address outside of the cluster.
import { Code, ConnectError } from "@connectrpc/connect"
import { didYouMean } from "../../deploy/suggest/mod.ts"
import {
  type ClusterStore,
  canonicalIp,
  type PodRecord,
  WORKLOAD_KINDS,
  type WorkloadKind,
} from "../cluster/mod.ts"
import type { Place } from "./chain.ts"
import type { Party } from "./question.ts"

/** Who calls. */
export interface Caller {
  /** Null for an address outside of the cluster. */
  readonly pod: PodRecord | null
  readonly ip: string
  /** Namespace whose names and routes count; `default` for an address. */
  readonly namespace: string
  /** For sentences: `deploy web`, `the address 192.0.2.1`. */
  readonly what: string
  /** The workload; null for an address. */
  readonly place: Place | null
  /** Pods of the workload. */
  readonly pods: readonly PodRecord[]
}

/** Kinds as people write them, by their names in lower case. */
const WRITTEN: Readonly<Record<string, string>> = {
  deployment: "Deployment",
  replicaset: "ReplicaSet",
  statefulset: "StatefulSet",
  daemonset: "DaemonSet",
  job: "Job",
  cronjob: "CronJob",
  pod: "Pod",
  service: "Service",
  namespace: "Namespace",
}

/** A kind as it is written, such as `Deployment`. */
export function writtenKind(kind: string): string {
  return WRITTEN[kind] ?? kind
}

/** Place of an object. */
export function placeOf(
  { kind, namespace, name }: { readonly kind: string; readonly namespace: string; readonly name: string },
  field = "",
): Place {
  return { kind: writtenKind(kind), namespace, name, field }
}

/** Place of the workload of a pod. */
export function workloadPlace(store: ClusterStore, pod: PodRecord, field = ""): Place {
  return placeOf({ ...store.workloadOf(pod), namespace: pod.namespace }, field)
}

/** An object in a sentence: `Service shop/web`. */
export function textOf({ kind, namespace, name }: Place): string {
  return `${kind} ${namespace === "" ? name : `${namespace}/${name}`}`
}

/**
 * Finds the caller.
 *
 * @throws ConnectError NotFound for a workload that is not there, FailedPrecondition for one without pods, InvalidArgument
 *   for what calls nobody
 */
export function callerOf(store: ClusterStore, from: Party): Caller {
  if (from.kind === "") {
    const ip = canonicalIp(from.host)
    if (ip === null) {
      throw new ConnectError(
        `the caller is a workload, such as deploy/web, or an address, and "${from.host}" is neither`,
        Code.InvalidArgument,
      )
    }
    const pod = store.podAt(ip, 0)
    if (pod !== undefined) return callerPod(store, [pod], `the pod ${pod.namespace}/${pod.name}`)
    return {
      pod: null,
      ip,
      namespace: from.namespace || "default",
      what: `the address ${ip}`,
      place: null,
      pods: [],
    }
  }
  const namespace = from.namespace || "default"
  const pods = podsOf(store, from.kind, namespace, from.name)
  return callerPod(store, pods, `${writtenKind(from.kind)} ${namespace}/${from.name}`)
}

/**
 * The pods of a workload.
 *
 * @throws ConnectError as `callerOf`
 */
export function podsOf(store: ClusterStore, kind: string, namespace: string, name: string): PodRecord[] {
  if (kind !== "pod" && !(WORKLOAD_KINDS as readonly string[]).includes(kind)) {
    throw new ConnectError(
      `a ${kind} runs no pods of its own; name a workload, such as deploy/web, or a pod`,
      Code.InvalidArgument,
    )
  }
  const all = [...store.pods(namespace)].filter(pod => !pod.finished)
  const pods = all.filter(pod =>
    kind === "pod"
      ? pod.name === name
      : store.owners(pod).some(one => one.kind === kind && one.name === name),
  )
  if (pods.length > 0) return pods.sort(byFitness)
  const known =
    kind === "pod"
      ? all.map(pod => pod.name)
      : [...store.workloads(kind as WorkloadKind, namespace)].map(one => one.name)
  if (known.includes(name)) {
    throw new ConnectError(
      `${writtenKind(kind)} ${namespace}/${name} has no pods: scale it up, or see why none was made`,
      Code.FailedPrecondition,
    )
  }
  throw new ConnectError(
    `there is no ${kind} "${name}" in namespace "${namespace}"${didYouMean(name, known)}${elsewhere(store, kind, name)}`,
    Code.NotFound,
  )
}

/** Where else something of that name is, the end of a sentence. */
function elsewhere(store: ClusterStore, kind: string, name: string): string {
  const found = kind === "pod" ? [...store.pods()] : [...store.workloads(kind as WorkloadKind)]
  const namespaces = found.filter(one => one.name === name).map(one => one.namespace)
  return namespaces.length === 0 ? "" : `; there is one in namespace ${namespaces.sort().join(", ")}`
}

function callerPod(store: ClusterStore, pods: readonly PodRecord[], what: string): Caller {
  const [pod] = pods
  if (pod === undefined) throw new Error("a caller without pods")
  const ip = pod.ips[0] ?? ""
  return { pod, ip, namespace: pod.namespace, what, place: workloadPlace(store, pod), pods }
}

/** Those that would call first: ready ones, then by name. */
function byFitness(a: PodRecord, b: PodRecord): number {
  const fit = (pod: PodRecord) =>
    Number(pod.ips.length > 0) * 4 + Number(pod.ready) * 2 + Number(!pod.terminating)
  return fit(b) - fit(a) || (a.name < b.name ? -1 : 1)
}
