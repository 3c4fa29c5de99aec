// What happens to a pod that is about to be made: the same inject as the command line's, where annotations ask for it.
import {
  ALREADY_INJECTED,
  endsByItself,
  INJECT_ANNOTATION,
  type InjectOptions,
  injectPatch,
  jsonPatch,
  NOT_INJECTED_ANNOTATION,
  type PatchOperation,
  type PodTemplate,
  SettingError,
} from "../../deploy/inject/mod.ts"
import { type ClusterLookUp, type PodWorkload, workloadOf } from "./workload.ts"

/** What holds for every pod. */
export type InjectDefaults = Omit<
  InjectOptions,
  "namespace" | "workload" | "namespaceAnnotations" | "byDefault" | "nativeSidecar"
>

/**
 * `untouched`: nobody asked for a proxy, or it is there already. `skipped`: it was asked for and cannot be: the pod is
 * let in and says so in an annotation. `refused`: a setting cannot be used, and a pod without what its author wanted
 * would be worse than none.
 */
export type Outcome = "injected" | "skipped" | "untouched" | "refused"

/** What is done with a pod. */
export interface Admission {
  readonly outcome: Outcome
  /** For pods that asked: whose they are; null for others. */
  readonly workload: PodWorkload | null
  /** Why it was skipped or refused; empty otherwise. */
  readonly reason: string
  readonly patch: readonly PatchOperation[]
  /** What its author may not expect, a sentence each. */
  readonly warnings: readonly string[]
}

/** On what a kubelet shows of its static pods (kubernetes.io: well-known labels and annotations). */
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
const UNTOUCHED: Admission = { outcome: "untouched", workload: null, reason: "", patch: [], warnings: [] }

/**
 * Decides about a pod.
 *
 * @param onFailure told when a pod's owner could not be asked for
 * @throws KubeError when its namespace cannot be asked for: whoever calls must not take that for an answer
 */
export async function admit(
  pod: PodTemplate,
  namespace: string,
  cluster: ClusterLookUp,
  defaults: InjectDefaults,
  onFailure: (error: unknown) => void,
): Promise<Admission> {
  const own = pod.metadata?.annotations?.[INJECT_ANNOTATION]
  // A static pod's image in the API: the kubelet runs what its file says, whatever is put in here.
  if (pod.metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined) return UNTOUCHED
  if (own === "disabled" || namespace === defaults.conduitNamespace) return UNTOUCHED
  const namespaceAnnotations = await cluster.annotationsOf(namespace)
  const choice = own ?? namespaceAnnotations[INJECT_ANNOTATION]
  if (choice === undefined || choice === "disabled") return UNTOUCHED
  const workload = await workloadOf(pod, namespace, cluster, onFailure)
  try {
    const { skipped, patch, warnings } = injectPatch(pod, {
      ...defaults,
      namespace,
      workload,
      namespaceAnnotations,
      byDefault: "disabled",
      nativeSidecar: endsByItself(pod, workload.kind),
    })
    if (skipped === ALREADY_INJECTED) return UNTOUCHED
    if (skipped === null) return { outcome: "injected", workload, reason: "", patch, warnings }
    return {
      outcome: "skipped",
      workload,
      reason: skipped,
      patch: jsonPatch(pod, marked(pod, skipped)),
      warnings: [`it gets no proxy: ${skipped}`],
    }
  } catch (error) {
    if (!(error instanceof SettingError)) throw error
    const isOwn = pod.metadata?.annotations?.[error.annotation] !== undefined
    const where = isOwn ? "its pod template" : `namespace ${namespace}`
    const reason = `${error.message}; correct it on ${where}, or let the pod in without proxy by ${INJECT_ANNOTATION}: disabled`
    return { outcome: "refused", workload, reason, patch: [], warnings: [] }
  }
}

function marked(pod: PodTemplate, reason: string): PodTemplate {
  const annotations = { ...pod.metadata?.annotations, [NOT_INJECTED_ANNOTATION]: reason }
  return { ...pod, metadata: { ...pod.metadata, annotations } }
}
