// Policies: what decides who may call each workload, and what each policy decided within a window.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { EGRESS_KIND, POLICY_KIND, RATE_LIMIT_KIND } from "../../deploy/policy/mod.ts"
import { ACTION_ALLOW, DEFAULT_POLICY_NAMES } from "../../protos/authorization/mod.ts"
import type {
  DecisionFiguresSchema,
  PoliciesRequest,
  PoliciesResponseSchema,
  telemetryQueryV1,
  WorkloadPoliciesSchema,
} from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import {
  allPolicyProblems,
  ClientPods,
  compilePod,
  isTarget,
  type PolicyOptions,
  policiesOf,
  portNumbers,
} from "../policy/mod.ts"
import {
  compareResources,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  resourcesOfPod,
  select,
} from "../resources/mod.ts"
import { invalid } from "../rpc/mod.ts"
import { AccessSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { windowOf } from "../traffic/mod.ts"

/** Decisions of one policy. */
class Decided {
  private readonly allowed = new AccessSum()
  private readonly denied = new AccessSum()
  private readonly audited = new AccessSum()

  add(access: telemetryQueryV1.Access): void {
    if (access.verdict === "deny") this.denied.add(access)
    else this.allowed.add(access)
  }

  audit(access: telemetryQueryV1.Access): void {
    this.audited.add(access)
  }

  figures(): MessageInitShape<typeof DecisionFiguresSchema> {
    return { allowedRps: this.allowed.rps, deniedRps: this.denied.rps, auditedRps: this.audited.rps }
  }
}

/** Decisions on one workload's traffic, by what decided. */
class WorkloadDecisions {
  private readonly byPolicy = new Map<string, Decided>()

  add(access: telemetryQueryV1.Access): void {
    this.of(access.other ? "" : access.policy).add(access)
    if (access.audit !== "") this.of(access.audit).audit(access)
  }

  /** Of all that is not named. */
  others(known: ReadonlySet<string>): MessageInitShape<typeof DecisionFiguresSchema> {
    const sum = { allowedRps: 0, deniedRps: 0, auditedRps: 0 }
    for (const [policy, decided] of this.byPolicy) {
      if (known.has(policy)) continue
      const { allowedRps = 0, deniedRps = 0, auditedRps = 0 } = decided.figures()
      sum.allowedRps += allowedRps
      sum.deniedRps += deniedRps
      sum.auditedRps += auditedRps
    }
    return sum
  }

  /** Of a policy by `namespace/name`, or of what else decided. */
  of(policy: string): Decided {
    const known = this.byPolicy.get(policy) ?? new Decided()
    this.byPolicy.set(policy, known)
    return known
  }
}

/**
 * Answers a Policies request.
 *
 * @throws ConnectError for what cannot be selected, or when telemetry cannot be asked
 */
export async function policies(
  store: ClusterStore,
  queries: TelemetryQueries,
  options: PolicyOptions,
  request: PoliciesRequest,
): Promise<MessageInitShape<typeof PoliciesResponseSchema>> {
  const windowMs = windowOf(request.windowMs)
  const target = select(store, request.target, "target")
  if (target.kind === "service" || target.kind === "namespace") {
    const sentence = `target: policies hold on workloads and pods, not on a ${target.kind}`
    throw invalid("KIND_NOT_SUPPORTED", "target.kind", sentence, "ask for a Deployment, such as deploy/web")
  }
  const { accesses } = await queries.access(windowMs)
  const decisions = new Map<string, WorkloadDecisions>()
  for (const access of accesses) {
    if (access.reporter === undefined) continue
    for (const resource of resourcesOfName(store, access.reporter, target.kind)) {
      const key = resourceKey(resource)
      if (!target.resources.has(key)) continue
      const decided = decisions.get(key) ?? new WorkloadDecisions()
      decisions.set(key, decided)
      decided.add(access)
    }
  }
  const problems = new Map<string, string[]>()
  for (const { kind, namespace, name, field, message } of allPolicyProblems(store, options)) {
    const key = problemKey(kind, namespace, name)
    problems.set(key, [...(problems.get(key) ?? []), `${field}: ${message}`])
  }
  const podsOf = new Map<string, PodRecord[]>()
  for (const pod of store.pods()) {
    if (pod.finished) continue
    for (const resource of resourcesOfPod(store, pod, target.kind)) {
      const key = resourceKey(resource)
      podsOf.set(key, [...(podsOf.get(key) ?? []), pod])
    }
  }
  const clients = new ClientPods(store)
  const workloads = [...target.resources.values()].sort(compareResources).map(resource => {
    const key = resourceKey(resource)
    const known = { pods: podsOf.get(key) ?? [], decided: decisions.get(key) ?? new WorkloadDecisions() }
    return workloadPolicies(store, clients, options, resource, known, problems)
  })
  const asked = request.target?.name === "" ? request.target.namespace : null
  return { workloads, unused: asked === null ? [] : unused(store, asked, problems) }
}

function workloadPolicies(
  store: ClusterStore,
  clients: ClientPods,
  options: PolicyOptions,
  resource: ResourceName,
  { pods, decided }: { readonly pods: readonly PodRecord[]; readonly decided: WorkloadDecisions },
  problems: ReadonlyMap<string, readonly string[]>,
): MessageInitShape<typeof WorkloadPoliciesSchema> {
  const compiled = pods.map(pod => compilePod(store, pod, clients, options))
  const ports = new Map<number, { port: number; name: string; defaultInForce: boolean }>()
  for (const [index, pod] of pods.entries()) {
    for (const { port, name, protocol } of pod.ports) {
      if (protocol !== "TCP") continue
      const targeted = compiled[index]?.policies.some(
        policy => policy.action === ACTION_ALLOW && (policy.allPorts || policy.ports.includes(port)),
      )
      ports.set(port, { port, name, defaultInForce: targeted !== true })
    }
  }
  const targeting = [...policiesOf(store, resource.namespace)]
    .filter(policy => pods.some(pod => isTarget(store, policy, pod)))
    .sort(compareNames)
  const shown = targeting.map(({ namespace, name, action }) => {
    const key = `${namespace}/${name}`
    const numbers = new Set<number>()
    for (const { policies: all } of compiled) {
      const one = all.find(policy => policy.namespace === namespace && policy.name === name)
      for (const port of one?.ports ?? []) numbers.add(port)
    }
    return {
      namespace,
      name,
      action,
      ports: [...numbers].sort((a, b) => a - b),
      kind: POLICY_KIND,
      decided: decided.of(key).figures(),
      problems: [...(problems.get(problemKey(POLICY_KIND, namespace, name)) ?? [])],
    }
  })
  const more = [
    ...[...store.rateLimitPolicies(resource.namespace)].map(({ policy }) => ({
      ...{ policy, kind: RATE_LIMIT_KIND, action: "Limit" },
    })),
    ...[...store.egressPolicies(resource.namespace)].map(({ policy }) => ({
      ...{ policy, kind: EGRESS_KIND, action: policy.action },
    })),
  ].flatMap(({ policy, kind, action }) => {
    const held = pods.filter(pod => isTarget(store, policy, pod))
    if (held.length === 0) return []
    const { namespace, name, target } = policy
    const numbers = new Set(held.flatMap(pod => portNumbers(pod, target.ports ?? [])))
    return [
      {
        ...{ namespace, name, kind, action, ports: [...numbers].sort((a, b) => a - b) },
        problems: [...(problems.get(problemKey(kind, namespace, name)) ?? [])],
      },
    ]
  })
  const known = new Set([
    ...shown.map(policy => `${policy.namespace}/${policy.name}`),
    "default",
    "not-allowed",
  ])
  return {
    resource,
    defaultPolicy: DEFAULT_POLICY_NAMES[compiled[0]?.defaultPolicy ?? 0] ?? options.defaultPolicy,
    ports: [...ports.values()].sort((a, b) => a.port - b.port),
    policies: [...shown, ...more.sort(compareNames)],
    byDefault: decided.of("default").figures(),
    notAllowed: decided.of("not-allowed").figures(),
    byOthers: decided.others(known),
  }
}

/** Policies of a namespace (empty: of all) that hold on no pod. */
function unused(store: ClusterStore, namespace: string, problems: ReadonlyMap<string, readonly string[]>) {
  return [...policiesOf(store, namespace)]
    .filter(policy => ![...store.pods(policy.namespace)].some(pod => isTarget(store, policy, pod)))
    .sort(compareNames)
    .map(({ namespace: ns, name, action }) => ({
      namespace: ns,
      name,
      action,
      problems: [...(problems.get(problemKey(POLICY_KIND, ns, name)) ?? [])],
    }))
}

function problemKey(kind: string, namespace: string, name: string): string {
  return `${kind} ${namespace}/${name}`
}

function compareNames(
  a: { readonly namespace: string; readonly name: string },
  b: { readonly namespace: string; readonly name: string },
): number {
  return compareResources({ ...a, kind: "" }, { ...b, kind: "" })
}
