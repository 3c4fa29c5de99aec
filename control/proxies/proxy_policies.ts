// What proxies know of policies, fetched from their admin ports, and what they are to know.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type {
  ProxyPoliciesRequest,
  ProxyPoliciesResponseSchema,
  ServedPoliciesRequest,
  ServedPoliciesResponseSchema,
} from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { ClientPods, type PolicyOptions, servedPolicy } from "../policy/mod.ts"
import { askProxies, type ProxyOptions, proxiesOf } from "./proxies.ts"

/** Largest answer that is taken: names of the policies of one pod. */
export const MAX_POLICY_NAMES_BYTES = 1024 * 1024

/**
 * Asks the proxies of a selection; what cannot be asked is told per pod.
 *
 * @throws ConnectError for what cannot be selected, and NotFound when no pod of it carries a proxy
 */
export async function* proxyPolicies(
  store: ClusterStore,
  request: ProxyPoliciesRequest,
  signal: AbortSignal,
  options: ProxyOptions = {},
): AsyncGenerator<MessageInitShape<typeof ProxyPoliciesResponseSchema>> {
  const question = { path: "/policy", maxBytes: MAX_POLICY_NAMES_BYTES }
  const answers = askProxies(store, request.target, question, signal, options)
  for await (const { pod, text, error, status } of answers) {
    const old = status === 404 ? "its proxy is too old to tell which policies it holds" : error
    yield { namespace: pod.namespace, pod: pod.name, text, error: old }
  }
}

/**
 * Tells what the proxies of a selection are to hold.
 *
 * @throws ConnectError for what cannot be selected, and NotFound when no pod of it carries a proxy
 */
export function servedPolicies(
  store: ClusterStore,
  options: PolicyOptions,
  request: ServedPoliciesRequest,
): MessageInitShape<typeof ServedPoliciesResponseSchema> {
  const clients = new ClientPods(store)
  return {
    pods: proxiesOf(store, request.target).map(pod => {
      const { version, defaultPolicy, policies } = servedPolicy(store, pod, clients, options)
      return { namespace: pod.namespace, pod: pod.name, version, defaultPolicy, policies: [...policies] }
    }),
  }
}
