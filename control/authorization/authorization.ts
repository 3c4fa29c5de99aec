// Authorization: who may call whom as policies have it, decided by the code that proxies decide by, whether anybody calls or not.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { explain, PolicySet, type WorkloadPolicy } from "../../protos/authorization/mod.ts"
import {
  Access,
  type AuthorizationRequest,
  type AuthorizationResponseSchema,
  type AuthorizationRowSchema,
  type ResourceSelector,
} from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { ClientPods, compilePod, judge, type PolicyOptions, spiffeId } from "../policy/mod.ts"
import {
  compareResources,
  type ResourceName,
  resourceKey,
  resourcesOfPod,
  type Selection,
  select,
} from "../resources/mod.ts"
import { invalid } from "../rpc/mod.ts"
import { decisionOf } from "./judge.ts"

/** Pairs of a caller and a called port that are judged for one answer; some 20 µs each. */
export const MAX_AUTHORIZATIONS = 100_000

const ACTIONS = ["", "allowed", "denied", "audited"]

/** A workload by one of its pods, which stands for all. */
interface Party {
  readonly resource: ResourceName
  readonly pod: PodRecord
}

/**
 * Answers an Authorization request.
 *
 * @param controlNamespace  of the control plane, which is no caller unless it is asked for; empty where it is not known
 * @throws ConnectError for what cannot be selected, and for more pairs than MAX_AUTHORIZATIONS
 */
export function authorization(
  store: ClusterStore,
  options: PolicyOptions,
  request: AuthorizationRequest,
  controlNamespace = "",
): MessageInitShape<typeof AuthorizationResponseSchema> {
  const called = partiesOf(store, workloads(store, request.target, "target"))
  const callers =
    request.from === undefined
      ? everybody(store, controlNamespace)
      : partiesOf(store, workloads(store, request.from, "from"))
  const pairs = callers.length * called.reduce((sum, { pod }) => sum + Math.max(1, portsOf(pod).length), 0)
  if (pairs > MAX_AUTHORIZATIONS) {
    const sentence = `target: ${pairs} pairs of a caller and a called port are more than ${MAX_AUTHORIZATIONS}; ask about one workload or namespace`
    throw invalid("TOO_MANY_PAIRS", "target", sentence)
  }
  const clients = new ClientPods(store)
  const rows: MessageInitShape<typeof AuthorizationRowSchema>[] = []
  for (const { resource: to, pod } of called) {
    const policy = compilePod(store, pod, clients, options)
    const set = new PolicySet(policy)
    const ports = portsOf(pod)
    for (const { port, name: portName } of ports.length === 0 ? [{ port: 0, name: "" }] : ports) {
      for (const { resource: from, pod: caller } of callers) {
        rows.push({ to, port, portName, from, ...accessOf(policy, set, caller, port, options) })
      }
    }
  }
  return { rows }
}

function workloads(store: ClusterStore, selector: ResourceSelector | undefined, field: string): Selection {
  const selection = select(store, selector, field)
  if (selection.kind !== "service" && selection.kind !== "namespace") return selection
  const sentence = `${field}: policies hold on workloads and pods, not on a ${selection.kind}`
  throw invalid("KIND_NOT_SUPPORTED", `${field}.kind`, sentence, "ask for a Deployment, such as deploy/web")
}

function partiesOf(store: ClusterStore, selection: Selection): Party[] {
  return collect(store, pod =>
    resourcesOfPod(store, pod, selection.kind).filter(one => selection.resources.has(resourceKey(one))),
  )
}

function everybody(store: ClusterStore, except: string): Party[] {
  return collect(store, pod => {
    if (pod.namespace === except) return []
    const { kind, name } = store.workloadOf(pod)
    return [{ namespace: pod.namespace, kind, name }]
  })
}

/** One pod per resource, one with a proxy rather than one without; ordered. */
function collect(store: ClusterStore, resourcesOf: (pod: PodRecord) => readonly ResourceName[]): Party[] {
  const parties = new Map<string, Party>()
  for (const pod of store.pods()) {
    if (pod.finished) continue
    for (const resource of resourcesOf(pod)) {
      const key = resourceKey(resource)
      const known = parties.get(key)
      if (known === undefined || (!known.pod.meshed && pod.meshed)) parties.set(key, { resource, pod })
    }
  }
  return [...parties.values()].sort((a, b) => compareResources(a.resource, b.resource))
}

/** Ports of a pod that are the application's own. */
function portsOf(pod: PodRecord): { readonly port: number; readonly name: string }[] {
  return pod.ports
    .filter(({ protocol, name }) => protocol === "TCP" && !name.startsWith("conduit-"))
    .sort((a, b) => a.port - b.port)
}

function accessOf(
  policy: WorkloadPolicy,
  set: PolicySet,
  caller: PodRecord,
  port: number,
  options: PolicyOptions,
) {
  const id = caller.meshed ? spiffeId(options.trustDomain, caller.namespace, caller.serviceAccount) : ""
  const client = { address: caller.ips[0] ?? "", spiffeId: id }
  const { always, raw } = set.connection(client, port)
  const requests = always === null ? requestsOf(policy, client, port) : []
  const judged = judge(policy, client, port, null, set)
  const verdict = always ?? judged.verdict
  const { policy: decider, reason } = decisionOf(verdict === judged.verdict ? judged : { ...judged, verdict })
  const access = requests.length > 0 ? Access.SOME : verdict.allowed ? Access.ALLOWED : Access.DENIED
  return { spiffeId: id, access, policy: decider, reason, requests, connectionsPass: raw.allowed }
}

/** What rules about requests say to a client that they mean. */
function requestsOf(
  policy: WorkloadPolicy,
  client: { address: string; spiffeId: string },
  port: number,
): string[] {
  const { policies } = explain(policy, client, port, null)
  return policies.flatMap(({ namespace, name, action, rules }, index) =>
    rules.flatMap(({ rule, failed }) => {
      const operations = policy.policies[index]?.rules[rule]?.to ?? []
      // Of a connection such a rule lacks the request alone, if it means this client; a Deny holds on it even so.
      if ((failed !== "http" && failed !== "") || operations.length === 0) return []
      return operations.map(({ methods, paths }) => {
        const what = `${methods.join(",") || "any method"} ${paths.join(",") || "any path"}`
        return `${what}: ${ACTIONS[action] ?? "nothing"} by ${namespace}/${name} spec.rules[${rule}]`
      })
    }),
  )
}
