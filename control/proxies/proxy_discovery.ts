// ProxyDiscovery: what proxies know of destinations, fetched from their admin ports.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ProxyDiscoveryRequest, ProxyDiscoveryResponseSchema } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { askProxies, type ProxyOptions } from "./proxies.ts"

/** Largest answer that is taken: a proxy keeps 4096 destinations at most, most of them with a few endpoints. */
export const MAX_DISCOVERY_BYTES = 16 * 1024 * 1024

/**
 * Asks the proxies of a selection; what cannot be asked is told per pod.
 *
 * @throws ConnectError for what cannot be selected, and NotFound when no pod of it carries a proxy
 */
export async function* proxyDiscovery(
  store: ClusterStore,
  request: ProxyDiscoveryRequest,
  signal: AbortSignal,
  options: ProxyOptions = {},
): AsyncGenerator<MessageInitShape<typeof ProxyDiscoveryResponseSchema>> {
  const question = { path: "/discovery", maxBytes: MAX_DISCOVERY_BYTES }
  for await (const { pod, text, error, status } of askProxies(
    store,
    request.target,
    question,
    signal,
    options,
  )) {
    const old = status === 404 ? "its proxy is too old to tell what it knows of destinations" : error
    yield { namespace: pod.namespace, pod: pod.name, text, error: old }
  }
}
