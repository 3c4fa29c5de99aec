// The workload that a new pod belongs to, from its owner upwards: what it is called in labels, figures and policies.
import type { ObjectMeta, OwnerReference, PodTemplate, WorkloadKind } from "../../deploy/inject/mod.ts"
import { type KubeApi, KubeError } from "../../deploy/kubernetes/mod.ts"

/** Longest wait for the API server while it waits for us, which it does for ten seconds. */
export const LOOK_UP_TIMEOUT_MS = 4_000
/** Labels, annotations and owners are enough; the server leaves out the rest. */
const METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
/** RFC 1123 subdomain: what an object is called. */
const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

/** A workload by its kind and name. */
export interface PodWorkload {
  readonly kind: WorkloadKind
  /** Empty for a pod that the API server will name. */
  readonly name: string
}

/** What is asked of the cluster; tests answer themselves. */
export interface ClusterLookUp {
  /** Annotations of a namespace. @throws KubeError */
  annotationsOf(namespace: string): Promise<Readonly<Record<string, string>>>
  /** Metadata of a ReplicaSet or Job; null when it is not there. @throws KubeError */
  ownerOf(namespace: string, owner: OwnerReference): Promise<ObjectMeta | null>
}

/** Kinds that own pods, by API group, and where those are asked for whose own owner is what people deploy. */
const OWNERS: Readonly<Record<string, { readonly group: string; readonly plural?: string }>> = {
  ReplicaSet: { group: "apps", plural: "replicasets" },
  StatefulSet: { group: "apps" },
  DaemonSet: { group: "apps" },
  Deployment: { group: "apps" },
  Job: { group: "batch", plural: "jobs" },
  CronJob: { group: "batch" },
}

/**
 * Asks the API server each time: a namespace that was annotated a moment ago counts, and nothing is kept in memory.
 */
export function lookUpAt(api: KubeApi): ClusterLookUp {
  const get = async (path: string): Promise<ObjectMeta | null> => {
    try {
      const signal = AbortSignal.timeout(LOOK_UP_TIMEOUT_MS)
      const found = (await api.call({ path, accept: METADATA_ONLY, signal })) as { metadata?: ObjectMeta }
      return found.metadata ?? null
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return null
      throw error
    }
  }
  return {
    annotationsOf: async namespace => (await get(`/api/v1/namespaces/${namespace}`))?.annotations ?? {},
    ownerOf: (namespace, { apiVersion, kind, name }) =>
      get(`/apis/${apiVersion}/namespaces/${namespace}/${OWNERS[kind]?.plural}/${name}`),
  }
}

/**
 * The topmost owner of a known kind; the pod itself where there is none.
 *
 * @param onFailure told when the API server could not be asked, which leaves the nearest owner
 */
export async function workloadOf(
  pod: PodTemplate,
  namespace: string,
  cluster: ClusterLookUp,
  onFailure: (error: unknown) => void,
): Promise<PodWorkload> {
  const nearest = controllerOf(pod.metadata)
  if (nearest === null) return { kind: "Pod", name: pod.metadata?.name ?? "" }
  const own = { kind: nearest.kind as WorkloadKind, name: nearest.name }
  if (OWNERS[nearest.kind]?.plural === undefined) return own
  let found: ObjectMeta | null = null
  try {
    found = await cluster.ownerOf(namespace, nearest)
  } catch (error) {
    onFailure(error)
  }
  if (found === null || found.uid !== nearest.uid) return guessed(own, pod)
  const above = controllerOf(found)
  return above === null ? own : { kind: above.kind as WorkloadKind, name: above.name }
}

/** A Deployment's ReplicaSet bears its name and the pods' `pod-template-hash`. */
function guessed(own: PodWorkload, pod: PodTemplate): PodWorkload {
  const suffix = `-${pod.metadata?.labels?.["pod-template-hash"] ?? ""}`
  if (own.kind !== "ReplicaSet" || suffix === "-" || !own.name.endsWith(suffix)) return own
  return { kind: "Deployment", name: own.name.slice(0, -suffix.length) }
}

/** The controller, when it is of a kind that we know; others' kinds own pods in ways that we do not. */
function controllerOf(metadata: ObjectMeta | undefined): OwnerReference | null {
  const found = (metadata?.ownerReferences ?? []).find(one => one.controller === true)
  if (found === undefined || typeof found.name !== "string" || !NAME.test(found.name)) return null
  const [group, version] = String(found.apiVersion).split("/")
  if (!Object.hasOwn(OWNERS, found.kind) || OWNERS[found.kind]?.group !== group) return null
  return /^v\d+((alpha|beta)\d+)?$/.test(version ?? "") ? found : null
}
