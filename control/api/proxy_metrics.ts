// ProxyMetrics: the raw Prometheus text of proxies, fetched from their admin ports.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import type { ProxyMetricsRequest, ProxyMetricsResponseSchema } from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { compareResources, resourceKey, resourcesOfPod, select } from "./resources.ts"

/** Admin port of a proxy (the contract with the outside). */
export const PROXY_ADMIN_PORT = 4191
/** A proxy that does not answer within this is reported as such. */
export const PROXY_TIMEOUT_MS = 3_000
/** Proxies asked at the same time. */
export const PROXIES_AT_ONCE = 8
/** Largest text that is taken; a proxy's own cap on series keeps it far below. */
export const MAX_METRICS_BYTES = 32 * 1024 * 1024

/** How proxies are reached. */
export interface ProxyMetricsOptions {
  /** Admin port of proxies. Default PROXY_ADMIN_PORT. */
  readonly adminPort?: number
  /** Default PROXY_TIMEOUT_MS. */
  readonly timeoutMs?: number
}

/**
 * Asks the proxies of a selection, a few at a time; what cannot be asked is told per pod.
 *
 * @throws ConnectError for what cannot be selected, and NotFound when no pod of it carries a proxy
 */
export async function* proxyMetrics(
  store: ClusterStore,
  request: ProxyMetricsRequest,
  signal: AbortSignal,
  options: ProxyMetricsOptions = {},
): AsyncGenerator<MessageInitShape<typeof ProxyMetricsResponseSchema>> {
  const target = select(store, request.target, "target")
  const pods = [...store.pods()]
    .filter(pod => pod.meshed && !pod.finished)
    .filter(pod =>
      resourcesOfPod(store, pod, target.kind).some(resource => target.resources.has(resourceKey(resource))),
    )
    .sort(compareResources)
  if (pods.length === 0) throw new ConnectError("no pod of the selection carries a proxy", Code.NotFound)
  for (let begin = 0; begin < pods.length && !signal.aborted; begin += PROXIES_AT_ONCE) {
    yield* await Promise.all(pods.slice(begin, begin + PROXIES_AT_ONCE).map(pod => ask(pod, signal, options)))
  }
}

async function ask(
  pod: PodRecord,
  signal: AbortSignal,
  { adminPort = PROXY_ADMIN_PORT, timeoutMs = PROXY_TIMEOUT_MS }: ProxyMetricsOptions,
): Promise<MessageInitShape<typeof ProxyMetricsResponseSchema>> {
  const { namespace, name } = pod
  const [ip] = pod.ips
  if (ip === undefined) return { namespace, pod: name, error: "the pod has no address yet" }
  const authority = `${ip.includes(":") ? `[${ip}]` : ip}:${adminPort}`
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(`http://${authority}/metrics`, {
      signal: AbortSignal.any([signal, timeout]),
    })
    if (!response.ok) return { namespace, pod: name, error: `${authority} answered ${response.status}` }
    const text = await response.text()
    if (text.length > MAX_METRICS_BYTES)
      return { namespace, pod: name, error: `${authority} sent ${text.length} bytes, too many` }
    return { namespace, pod: name, text }
  } catch (error) {
    const reason = timeout.aborted
      ? `no answer within ${timeoutMs} ms`
      : error instanceof Error
        ? error.message
        : String(error)
    return { namespace, pod: name, error: `cannot ask ${authority}: ${reason}` }
  }
}
