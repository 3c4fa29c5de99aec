// What a pod's proxy is to hold, by name and version: the same as the policy service sends it.
import { DEFAULT_POLICY_NAMES } from "../../protos/authorization/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import type { ClientPods } from "./client_pods.ts"
import { compilePod, type PolicyOptions } from "./compile.ts"
import { compileTraffic } from "./compile_traffic.ts"
import { policyState } from "./state.ts"

/** Policies of one pod. */
export interface ServedPolicy {
  /** Hash of the content, as proxies are told it. */
  readonly version: string
  /** Default policy by name. */
  readonly defaultPolicy: string
  /** Objects, such as `AuthorizationPolicy shop/clients`. */
  readonly policies: readonly string[]
}

/** What the proxy of a pod is to hold. */
export function servedPolicy(
  store: ClusterStore,
  pod: PodRecord,
  clients: ClientPods,
  options: PolicyOptions,
): ServedPolicy {
  const policy = compilePod(store, pod, clients, options)
  const { rateLimits, egress } = compileTraffic(store, pod)
  const kinds = { AuthorizationPolicy: policy.policies, RateLimitPolicy: rateLimits, EgressPolicy: egress }
  return {
    version: policyState(policy, { rateLimits, egress }).version,
    defaultPolicy: DEFAULT_POLICY_NAMES[policy.defaultPolicy] ?? "",
    policies: Object.entries(kinds).flatMap(([kind, held]) =>
      held.map(({ namespace, name }) => `${kind} ${namespace}/${name}`),
    ),
  }
}
