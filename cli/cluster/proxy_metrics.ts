// Raw metrics of proxies in a cluster, each asked through the API server at its own admin port: it needs no control
// plane, and works where a NetworkPolicy lets no other pod near.
import { CONTROL_PLANE_LABEL } from "../../deploy/inject/mod.ts"
import { getFromPod } from "../../deploy/kubernetes/mod.ts"
import { UsageError } from "../failure.ts"
import { type Kubernetes, refusal } from "../kubernetes.ts"
import type { ResourceArgument } from "../resource.ts"
import { type Pod, podsOf } from "./pods.ts"

/** Admin port of a proxy (the contract with the outside). */
const PROXY_ADMIN_PORT = 4191
/** A proxy that does not answer within this is reported as such. */
export const PROXY_TIMEOUT_MS = 10_000
/** Largest text that is taken; a proxy's own cap on series keeps it far below. */
export const MAX_METRICS_BYTES = 32 * 1024 * 1024
/** Proxies asked at the same time. */
export const PROXIES_AT_ONCE = 8

/** What one proxy answered. */
export interface ProxyMetrics {
  readonly namespace: string
  readonly pod: string
  /** Prometheus text; empty when `error` is set. */
  readonly text: string
  /** Why the proxy could not be asked; empty on success. */
  readonly error: string
}

/**
 * Asks every meshed pod of a resource, in the order of their names.
 *
 * @param namespace  "" for all
 * @param path  of the admin port. Default: /metrics
 * @throws Failure when the API server refuses the list of pods; UsageError for a label selector on another kind than pods
 */
export async function* proxyMetrics(
  kubernetes: Kubernetes,
  controlNamespace: string,
  { kind, name }: ResourceArgument,
  namespace: string,
  selector: string | undefined,
  path = "/metrics",
): AsyncGenerator<ProxyMetrics> {
  if (selector !== undefined && kind !== "pod")
    throw new UsageError(`-l selects pods here: write conduit metrics pod -l ${selector}`)
  const labels = [`${CONTROL_PLANE_LABEL}=${controlNamespace}`, ...(selector === undefined ? [] : [selector])]
  const scope = kind === "namespace" ? name : namespace
  let pods: Pod[]
  let backs: (pod: Pod) => boolean
  try {
    backs = await membership(kubernetes, { kind, name }, scope)
    pods = await podsOf(kubernetes.api, scope, labels.join(","))
  } catch (error) {
    throw refusal(
      error,
      kubernetes,
      `list the pods of ${scope === "" ? "all namespaces" : `namespace "${scope}"`}`,
    )
  }
  const meant = pods.filter(pod => pod.status?.phase === "Running" && backs(pod))
  for (let begin = 0; begin < meant.length; begin += PROXIES_AT_ONCE)
    yield* await Promise.all(
      meant.slice(begin, begin + PROXIES_AT_ONCE).map(pod => ask(kubernetes, pod, path)),
    )
}

/** Which pods belong to a resource. */
async function membership(
  { api }: Kubernetes,
  { kind, name }: ResourceArgument,
  namespace: string,
): Promise<(pod: Pod) => boolean> {
  if (kind === "namespace") return () => true
  if (kind === "pod") return pod => name === "" || pod.metadata.name === name
  if (kind !== "service") {
    const label = `conduit.io/${kind}`
    return ({ metadata: { labels = {}, ownerReferences = [] } }) =>
      (label in labels && (name === "" || labels[label] === name)) ||
      ownerReferences.some(owner => owner.kind.toLowerCase() === kind && (name === "" || owner.name === name))
  }
  const where = namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`
  const { items } = (await api.call({ path: `/api/v1${where}/services` })) as {
    items?:
      | { metadata: { name: string; namespace: string }; spec?: { selector?: Record<string, string> } }[]
      | null
  }
  const services = (items ?? []).filter(({ metadata }) => name === "" || metadata.name === name)
  return ({ metadata: { namespace: own, labels = {} } }) =>
    services.some(({ metadata, spec }) => {
      const wanted = Object.entries(spec?.selector ?? {})
      return (
        metadata.namespace === own &&
        wanted.length > 0 &&
        wanted.every(([key, value]) => labels[key] === value)
      )
    })
}

async function ask(kubernetes: Kubernetes, { metadata }: Pod, path: string): Promise<ProxyMetrics> {
  const { namespace, name: pod } = metadata
  const limits = { timeoutMs: PROXY_TIMEOUT_MS, maxBytes: MAX_METRICS_BYTES }
  try {
    const target = { namespace, pod, port: PROXY_ADMIN_PORT }
    return { namespace, pod, error: "", text: await getFromPod(kubernetes.api, target, path, limits) }
  } catch (error) {
    return { namespace, pod, text: "", error: error instanceof Error ? error.message : String(error) }
  }
}
