// Compiles rate limits and egress policies of a pod: what a proxy compares, with names of ports as numbers.
import { create } from "@bufbuild/protobuf"
import type { EgressPolicy, LimitKey, RateLimitPolicy } from "../../deploy/policy/mod.ts"
import { policyEgressV1, policyRateLimitV1, type policyV1 } from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { isTarget, portNumbers } from "./compile.ts"

const { EgressAction } = policyEgressV1
const { RateLimitKey } = policyRateLimitV1
const ACTIONS = { Allow: EgressAction.ALLOW, Deny: EgressAction.DENY, Audit: EgressAction.AUDIT } as const
const KEYS: Readonly<Record<LimitKey, policyRateLimitV1.RateLimitKey>> = {
  Total: RateLimitKey.TOTAL,
  Identity: RateLimitKey.IDENTITY,
  Header: RateLimitKey.HEADER,
}

/** Rate limits and egress policies of a pod, in the order of their names. */
export function compileTraffic(
  store: ClusterStore,
  pod: PodRecord,
): Pick<policyV1.WorkloadPolicy, "rateLimits" | "egress"> {
  const held = <Held extends RateLimitPolicy | EgressPolicy>(
    records: Iterable<{ readonly policy: Held }>,
  ): Held[] =>
    [...records]
      .map(({ policy }) => policy)
      .filter(policy => isTarget(store, policy, pod))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  const { namespace } = pod
  return {
    rateLimits: held(store.rateLimitPolicies(namespace)).flatMap(({ name, target, limits }) => {
      const ports = target.ports === null ? [] : portNumbers(pod, target.ports)
      if (target.ports !== null && ports.length === 0) return []
      const counted = limits.map(limit => ({ ...limit, by: KEYS[limit.by] }))
      const held = { namespace, name, ports, allPorts: target.ports === null, limits: counted }
      return [create(policyRateLimitV1.RateLimitPolicySchema, held)]
    }),
    egress: held(store.egressPolicies(namespace)).map(({ name, action, rules }) =>
      create(policyEgressV1.EgressPolicySchema, {
        ...{ namespace, name, action: ACTIONS[action] },
        rules: rules.map(({ hosts, networks, ports }) => ({
          ...{ hosts: [...hosts], networks: [...networks], ports: [...ports] },
        })),
      }),
    ),
  }
}
