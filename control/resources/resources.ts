// From selectors to resources, and from pods to the resources that they belong to.
import { Code, type ConnectError } from "@connectrpc/connect"
import { didYouMean, nearest } from "../../deploy/suggest/mod.ts"
import type { ResourceSelector, telemetryQueryV1 } from "../../protos/mod.ts"
import { type ClusterStore, type PodRecord, WORKLOAD_KINDS, type WorkloadKind } from "../cluster/mod.ts"
import { apiError, invalid } from "../rpc/mod.ts"
import { type LabelMatcher, parseLabelSelector } from "./label_selector.ts"

/** A resource by name. */
export interface ResourceName {
  /** Empty for a Namespace. */
  readonly namespace: string
  readonly kind: string
  readonly name: string
}

/** A pod as a proxy names it; the cluster may have forgotten it already. */
export interface PodName {
  readonly namespace: string
  /** Empty where only its workload is known. */
  readonly pod: string
  readonly workloadKind: string
  readonly workload: string
}

/** Kinds that can be selected. */
export const RESOURCE_KINDS: readonly string[] = [...WORKLOAD_KINDS, "pod", "service", "namespace"]

/** Key of a resource. */
export function resourceKey({ namespace, kind, name }: ResourceName): string {
  return `${kind}/${namespace}/${name}`
}

/** Orders by namespace, kind, name. */
export function compareResources(a: ResourceName, b: ResourceName): number {
  return compareText(a.namespace, b.namespace) || compareText(a.kind, b.kind) || compareText(a.name, b.name)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Resources of one kind that a selector selects, by key. */
export interface Selection {
  readonly kind: string
  readonly resources: ReadonlyMap<string, ResourceName>
}

/**
 * Finds what a selector selects.
 *
 * @throws ConnectError InvalidArgument for an unknown kind or a bad label selector, NotFound for a name that
 *   does not exist
 */
export function select(
  store: ClusterStore,
  selector: ResourceSelector | undefined,
  field: string,
): Selection {
  const { kind = "", namespace = "", name = "", labelSelector = "" } = selector ?? {}
  if (!RESOURCE_KINDS.includes(kind)) {
    const known = RESOURCE_KINDS.join(", ")
    throw invalid(
      kind === "" ? "KIND_MISSING" : "UNKNOWN_KIND",
      `${field}.kind`,
      `${field}: ${kind === "" ? "a kind is missing" : `unknown kind "${kind}"`}; known kinds: ${known}`,
    )
  }
  let matches: LabelMatcher
  try {
    matches = parseLabelSelector(labelSelector)
  } catch (error) {
    const sentence = `${field}: ${error instanceof Error ? error.message : String(error)}`
    throw invalid("BAD_LABEL_SELECTOR", `${field}.label_selector`, sentence)
  }
  const resources = new Map<string, ResourceName>()
  for (const object of objectsOf(store, kind, kind === "namespace" ? "" : namespace)) {
    if ((name !== "" && object.name !== name) || !matches(object.labels)) continue
    if (kind === "namespace" && namespace !== "" && object.name !== namespace) continue
    const resource = { namespace: object.namespace, kind, name: object.name }
    resources.set(resourceKey(resource), resource)
  }
  if (name !== "" && resources.size === 0) {
    const where = namespace === "" || kind === "namespace" ? "" : ` in namespace "${namespace}"`
    const labels = labelSelector === "" ? "" : ` with labels ${labelSelector}`
    const hint = labels === "" ? hintFor(store, kind, where === "" ? "" : namespace, name) : ""
    throw unknownObject(`${kind} "${name}"${labels} is not known${where}`, `${field}.name`, hint)
  }
  return { kind, resources }
}

/** Nothing of that name is there. @param field  of the request that names it */
export function unknownObject(sentence: string, field: string, hint = ""): ConnectError {
  return apiError(Code.NotFound, sentence, { reason: "NOT_KNOWN", field, hint })
}

/** What was meant by a name that nothing has: the namespace is another, or the name nearly. */
function hintFor(store: ClusterStore, kind: string, namespace: string, name: string): string {
  const unknown = unknownNamespace(store, namespace)
  if (unknown !== "") return unknown
  const all = [...objectsOf(store, kind, "")]
  const elsewhere = [...new Set(all.filter(one => one.name === name).map(one => one.namespace))].sort()
  if (elsewhere.length > 0) return `there is one in namespace ${elsewhere.join(", ")}`
  const here = all.filter(one => namespace === "" || one.namespace === namespace).map(one => one.name)
  const near = nearest(name, [...new Set(here)])
  return near === null ? "" : `did you mean "${near}"?`
}

/** That there is no such namespace, and which one was meant; empty where there is, or none was named. */
export function unknownNamespace(store: ClusterStore, namespace: string): string {
  const known = [...store.namespaces()].map(one => one.name)
  if (namespace === "" || known.length === 0 || known.includes(namespace)) return ""
  // Of manifests, namespaces may be named by what is in them alone.
  if (!store.pods(namespace)[Symbol.iterator]().next().done) return ""
  return `there is no namespace "${namespace}"${didYouMean(namespace, known)}`
}

function objectsOf(
  store: ClusterStore,
  kind: string,
  namespace: string,
): Iterable<{ namespace: string; name: string; labels: ReadonlyMap<string, string> }> {
  if (kind === "pod") return store.pods(namespace)
  if (kind === "service") return store.services(namespace)
  if (kind === "namespace") return store.namespaces()
  return store.workloads(kind as WorkloadKind, namespace)
}

/** Resources of a kind that a pod of the cluster belongs to. */
export function resourcesOfPod(store: ClusterStore, pod: PodRecord, kind: string): ResourceName[] {
  const { namespace } = pod
  if (kind === "pod") return [{ namespace, kind, name: pod.name }]
  if (kind === "namespace") return [{ namespace: "", kind, name: namespace }]
  if (kind === "service") return [...store.servicesOf(pod)].map(({ name }) => ({ namespace, kind, name }))
  const owner = store.owners(pod).find(candidate => candidate.kind === kind)
  return owner === undefined ? [] : [{ namespace, kind, name: owner.name }]
}

/** Resources of a kind that a pod belongs to, or belonged to: one that is gone is known by what its proxy told. */
export function resourcesOfName(store: ClusterStore, ref: PodName, kind: string): ResourceName[] {
  const { namespace } = ref
  const pod = ref.pod === "" ? undefined : store.pod(namespace, ref.pod)
  const known = pod === undefined ? [] : resourcesOfPod(store, pod, kind)
  if (known.length > 0) return known
  if (kind === "namespace") return namespace === "" ? [] : [{ namespace: "", kind, name: namespace }]
  if (kind === "pod") return ref.pod === "" ? [] : [{ namespace, kind, name: ref.pod }]
  if (kind === ref.workloadKind && ref.workload !== "") return [{ namespace, kind, name: ref.workload }]
  return []
}

/** Resources of a kind that an outbound row's traffic went to. */
export function calledBy(store: ClusterStore, row: telemetryQueryV1.Traffic, kind: string): ResourceName[] {
  if (row.dst === undefined) return []
  if (kind !== "service") return resourcesOfName(store, row.dst, kind)
  return row.dstService === "" ? [] : [{ namespace: row.dst.namespace, kind, name: row.dstService }]
}

/** Whether any of some resources is selected. */
export function isSelected(selection: Selection, resources: readonly ResourceName[]): boolean {
  return resources.some(resource => selection.resources.has(resourceKey(resource)))
}
