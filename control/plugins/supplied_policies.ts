// The Policy hook: AuthorizationPolicies that plugins supply. They are read as those of the cluster are, and stand beside
// them in the model of the cluster, so that they are compiled, explained and judged alike, and are gone with their plugin.
import { create, type JsonObject } from "@bufbuild/protobuf"
import { isDnsLabel, MAX_SUPPLIED_POLICIES, type PluginHookSettings } from "../../deploy/plugin_object/mod.ts"
import {
  dottedField,
  POLICY_API_VERSION,
  POLICY_KIND,
  readAuthorizationPolicy,
} from "../../deploy/policy/mod.ts"
import { pluginPolicyV1 } from "../../protos/mod.ts"
import type { ClusterChange, ClusterStore, PolicyRecord } from "../cluster/mod.ts"
import { objectKey } from "../cluster/mod.ts"

/** Name of the policy that stands in for those of a plugin that has never answered. */
const UNANSWERED = "unanswered"

/**
 * Reads what a plugin supplies; names of its policies are `PLUGIN:NAME`.
 *
 * @throws Error with a sentence when any of it is not as it should be: what was supplied before goes on to hold
 */
export function readSupply(plugin: string, answer: pluginPolicyV1.SupplyResponse): PolicyRecord[] {
  const { policies } = answer
  if (policies.length > MAX_SUPPLIED_POLICIES)
    throw new Error(`it supplies ${policies.length} policies, more than ${MAX_SUPPLIED_POLICIES}`)
  const records = new Map<string, PolicyRecord>()
  for (const [index, { namespace, name, spec, reason }] of policies.entries()) {
    const which = `policies[${index}]`
    if (!isDnsLabel(name)) throw new Error(`${which}.name ${JSON.stringify(name)} is no DNS label`)
    if (!isDnsLabel(namespace))
      throw new Error(`${which}.namespace ${JSON.stringify(namespace)} is no namespace`)
    const raw = {
      ...{ apiVersion: POLICY_API_VERSION, kind: POLICY_KIND },
      metadata: { namespace, name },
      spec: spec ?? {},
    }
    const { policy, complaints } = readAuthorizationPolicy(raw)
    const [first] = complaints
    if (first !== undefined)
      throw new Error(`${which} (${namespace}/${name}): ${dottedField(first.path)} ${first.message}`)
    if (policy === null) continue
    const full = `${plugin}:${name}`
    const record: PolicyRecord = {
      ...{ kind: "authorizationpolicy", namespace, name: full },
      policy: { ...policy, name: full, suppliedBy: { plugin, reason } },
    }
    if (records.has(objectKey(record))) throw new Error(`${which} (${namespace}/${name}) is there twice`)
    records.set(objectKey(record), record)
  }
  return [...records.values()]
}

/** What holds of a Policy hook with failurePolicy Fail as long as it has never answered: its namespaces take nothing. */
export function unansweredPolicies(plugin: string, { namespaces }: PluginHookSettings): PolicyRecord[] {
  const reason = "it has not answered yet, and its failurePolicy is Fail"
  return namespaces.map(namespace => {
    const name = `${plugin}:${UNANSWERED}`
    const target = { kind: "Namespace" as const, name: namespace, ports: null }
    const rules = [{ from: [], to: [] }]
    const policy = { ...{ namespace, name, target, rules }, action: "Deny" as const, ask: null }
    return {
      kind: "authorizationpolicy",
      ...{ namespace, name },
      policy: { ...policy, suppliedBy: { plugin, reason } },
    }
  })
}

/** A workload as the plugin is told of it. */
export type ToldWorkload = {
  readonly namespace: string
  readonly kind: string
  readonly name: string
  readonly labels: Record<string, string>
  readonly serviceAccounts: string[]
  readonly pods: number
}

/** All workloads that have a pod. */
export function* toldWorkloads(store: ClusterStore): Generator<readonly [string, ToldWorkload]> {
  const found = new Map<string, ToldWorkload & { serviceAccounts: string[]; pods: number }>()
  for (const pod of store.pods()) {
    if (pod.finished) continue
    const { kind, name } = store.workloadOf(pod)
    const key = `${pod.namespace}/${kind}/${name}`
    let workload = found.get(key)
    if (workload === undefined) {
      const labels = Object.fromEntries([...pod.labels].sort(([a], [b]) => (a < b ? -1 : 1)))
      workload = { namespace: pod.namespace, kind, name, labels, serviceAccounts: [], pods: 0 }
      found.set(key, workload)
    }
    workload.pods++
    if (!workload.serviceAccounts.includes(pod.serviceAccount))
      workload.serviceAccounts.push(pod.serviceAccount)
  }
  for (const workload of found.values()) workload.serviceAccounts.sort()
  yield* found
}

/** A message about workloads. */
export function supplyRequest(
  {
    changed,
    removed,
  }: { readonly changed: readonly ToldWorkload[]; readonly removed: readonly ToldWorkload[] },
  complete: boolean,
): pluginPolicyV1.SupplyRequest {
  return create(pluginPolicyV1.SupplyRequestSchema, {
    changed: [...changed],
    removed: removed.map(({ namespace, kind, name }) => ({ namespace, kind, name })),
    complete,
  })
}

/** What makes one set of records follow another in the model. */
export function replaceRecords<Kept extends { kind: string; namespace: string; name: string }>(
  before: readonly Kept[],
  after: readonly (Kept & Extract<ClusterChange, { put: unknown }>["put"])[],
): ClusterChange[] {
  const keys = new Set(after.map(objectKey))
  const gone = before.map(objectKey).filter(key => !keys.has(key))
  return [...gone.map(remove => ({ remove })), ...after.map(put => ({ put }))]
}

/** A `google.protobuf.Struct` from a configuration that was read from YAML or JSON. */
export function structOf(configuration: Readonly<Record<string, unknown>>): JsonObject {
  return JSON.parse(JSON.stringify(configuration)) as JsonObject
}
