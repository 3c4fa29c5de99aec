// ProxyMetrics: the raw Prometheus text of proxies, fetched from their admin ports.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ProxyMetricsRequest, ProxyMetricsResponseSchema } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { askProxies, type ProxyOptions } from "./proxies.ts"

/** Largest text that is taken; a proxy's own cap on series keeps it far below. */
export const MAX_METRICS_BYTES = 32 * 1024 * 1024

/**
 * Asks the proxies of a selection; what cannot be asked is told per pod.
 *
 * @throws ConnectError for what cannot be selected, and NotFound when no pod of it carries a proxy
 */
export async function* proxyMetrics(
  store: ClusterStore,
  request: ProxyMetricsRequest,
  signal: AbortSignal,
  options: ProxyOptions = {},
): AsyncGenerator<MessageInitShape<typeof ProxyMetricsResponseSchema>> {
  const question = { path: "/metrics", maxBytes: MAX_METRICS_BYTES }
  for await (const { pod, text, error } of askProxies(store, request.target, question, signal, options)) {
    yield { namespace: pod.namespace, pod: pod.name, text, error }
  }
}
