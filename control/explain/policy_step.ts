// The step `policy`: what the proxies of the endpoints decide about the call, by their own decision code.
import { DEFAULT_POLICY_NAMES, type RequestFacts } from "../../protos/authorization/mod.ts"
import { hasPort, type PodRecord } from "../cluster/mod.ts"
import {
  CLAUSES,
  ClientPods,
  compilePod,
  type Judgement,
  judge,
  spiffeId,
  suppliedBy,
} from "../policy/mod.ts"
import { type Caller, placeOf, textOf, workloadPlace } from "./caller.ts"
import { type Chain, type Place, percent } from "./chain.ts"
import type { World } from "./question.ts"
import { type Met, metText } from "./way.ts"

/** A call that has reached the endpoints. */
export interface AdmittedCall {
  readonly world: World
  readonly caller: Caller
  readonly met: readonly Met[]
  /** Endpoints to which the caller has proven who it is. */
  readonly proven: ReadonlySet<Met>
  /** The request as an endpoint's proxy sees it; null where it looks at bytes only. */
  readonly requestAt: (met: Met) => RequestFacts | null
}

const DEFAULT_ANNOTATION = "config.conduit.io/default-inbound-policy"

/** Decides who lets the call in. */
export function policyStep(chain: Chain, call: AdmittedCall): void {
  const { world, met } = call
  const clients = new ClientPods(world.store)
  const guarded = met.filter(one => one.guarded)
  if (guarded.length === 0) {
    unguarded(chain, call, clients)
    return
  }
  const found = guarded.map(one => ({ one, judgement: judgementOn(call, one, clients) }))
  const denied = found.filter(({ judgement }) => !judgement.verdict.allowed)
  for (const { one, judgement } of denied) {
    const raw = call.requestAt(one) === null
    const by = byWhom(world, judgement)
    const what = raw ? `the connection is closed: denied by ${by}` : `403 denied by ${by}`
    chain.lose({ share: one.share, status: raw ? 0 : 403, error: "denied", step: "policy", what })
  }
  const [shown] = denied.length > 0 ? denied : found
  if (shown === undefined) return
  const { one, judgement } = shown
  const { verdict } = judgement
  const others =
    denied.length > 0 && denied.length < met.length
      ? `${percent(chain.lostAt("policy"))} of the calls are `
      : ""
  const free = met.length - guarded.length
  const outcome = denied.length > 0 ? chain.outcomeOf("policy") : verdict.audit !== null ? "warn" : "ok"
  chain.say("policy", outcome, {
    decision: `${verdict.allowed ? "" : others}${verdict.allowed ? "allowed" : "denied"} by ${byWhom(world, judgement)}`,
    reason: reasonOf(call, one, judgement),
    object: objectOf(world, one.pod, judgement),
    details: [
      `it is known as ${clientText(call, one)}`,
      ...judgement.asks.map(
        ({ question, allowed: { namespace, name } }) =>
          `plugin/${question.plugin} is asked about it by ${policyText(world, namespace, name)}, and may ${verdict.allowed ? "refuse" : "allow"} it`,
      ),
      ...judgement.misses.map(
        miss => `${policyText(world, miss.namespace, miss.name)} ${CLAUSES[miss.failed]}`,
      ),
      ...(free > 0 ? [`${free} of ${met.length} endpoints have no proxy that decides`] : []),
    ],
    change: changeOf(call, one, judgement),
  })
}

/** No proxy stands before any endpoint; policies that target them are not enforced then. */
function unguarded(chain: Chain, { world, met }: AdmittedCall, clients: ClientPods): void {
  const [one] = met
  const pod = one?.pod ?? null
  const idle =
    pod === null || one?.self === true ? [] : compilePod(world.store, pod, clients, world.policy).policies
  const [policy] = idle
  const why =
    one?.self === true
      ? "the call stays on the pod's loopback interface"
      : pod === null
        ? "no proxy stands before the address"
        : hasPort(pod.skipInboundPorts, one?.port ?? 0)
          ? `port ${one?.port} bypasses the proxy of ${metText(one as Met)}`
          : `pod ${pod.namespace}/${pod.name} has no proxy`
  if (policy === undefined) {
    chain.say("policy", "none", { decision: "nobody decides", reason: why })
    return
  }
  chain.say("policy", "warn", {
    decision: "nobody decides, and there are policies",
    reason: `${why}, so that ${policyText(world, policy.namespace, policy.name)} is not enforced`,
    object: policyPlace(world, policy.namespace, policy.name, ""),
    change: pod?.meshed === true ? "the port through its proxy" : "a proxy in its pods",
  })
}

function judgementOn(call: AdmittedCall, one: Met, clients: ClientPods): Judgement {
  const { world, caller } = call
  if (one.pod === null) throw new Error("what is guarded is a pod")
  const compiled = compilePod(world.store, one.pod, clients, world.policy)
  return judge(compiled, { address: caller.ip, spiffeId: clientId(call, one) }, one.port, call.requestAt(one))
}

function clientId({ world, caller, proven }: AdmittedCall, one: Met): string {
  const { pod } = caller
  return pod !== null && proven.has(one)
    ? spiffeId(world.policy.trustDomain, pod.namespace, pod.serviceAccount)
    : ""
}

function clientText(call: AdmittedCall, one: Met): string {
  return clientId(call, one) || `the address ${call.caller.ip}, without identity`
}

function byWhom(world: World, { verdict, misses }: Judgement): string {
  switch (verdict.cause) {
    case "policy":
    case "hidden-requests":
      return policyText(world, verdict.namespace, verdict.name)
    case "default":
      return `the default policy "${verdict.name}"`
    case "probe":
      return "the pod's probes"
    case "not-allowed":
      return misses.length === 1 && misses[0] !== undefined
        ? `${policyText(world, misses[0].namespace, misses[0].name)}, which does not allow it`
        : `${misses.length} AuthorizationPolicies, none of which allows it`
    default:
      return "its path"
  }
}

function reasonOf(call: AdmittedCall, one: Met, { verdict, misses }: Judgement): string {
  const { audit } = verdict
  const audited =
    audit === null
      ? ""
      : `; it is audited by ${audit.namespace === "" ? "the default policy" : policyText(call.world, audit.namespace, audit.name)}`
  switch (verdict.cause) {
    case "policy":
      return `spec.rules[${verdict.rule}] matches it${audited}`
    case "default":
      return `no policy with action Allow targets port ${one.port} of ${metText(one)}${audited}`
    case "not-allowed": {
      const [nearest] = misses
      const sees =
        call.requestAt(one) === null && nearest?.failed === "http"
          ? ", and this is a connection into which nobody looks"
          : ""
      return `policies with action Allow target port ${one.port}, and none of them allows this${nearest === undefined ? "" : `: ${nearest.name} ${CLAUSES[nearest.failed]}`}${sees}`
    }
    case "probe":
      return "the kubelet asks the same"
    default:
      return verdict.detail
  }
}

function objectOf(world: World, pod: PodRecord | null, { verdict, misses }: Judgement): Place | null {
  const { audit } = verdict
  if (verdict.allowed && audit !== null && audit.namespace !== "")
    return policyPlace(world, audit.namespace, audit.name, `spec.rules[${audit.rule}]`)
  switch (verdict.cause) {
    case "policy":
      return policyPlace(world, verdict.namespace, verdict.name, `spec.rules[${verdict.rule}]`)
    case "hidden-requests":
      return verdict.namespace === ""
        ? null
        : policyPlace(world, verdict.namespace, verdict.name, "spec.rules")
    case "not-allowed": {
      const [nearest] = misses
      if (nearest === undefined) return null
      const field = nearest.rule < 0 ? "spec.rules" : `spec.rules[${nearest.rule}]`
      return policyPlace(world, nearest.namespace, nearest.name, field)
    }
    case "default":
      return defaultPlace(world, pod)
    default:
      return pod === null ? null : workloadPlace(world.store, pod)
  }
}

/** Where the default policy of a pod is written: on the pod, on its namespace, or nowhere but in the installation. */
function defaultPlace({ store }: World, pod: PodRecord | null): Place | null {
  if (pod === null) return null
  const field = `metadata.annotations["${DEFAULT_ANNOTATION}"]`
  if (pod.defaultInboundPolicy !== "") return workloadPlace(store, pod, `spec.template.${field}`)
  const own = store.namespace(pod.namespace)
  if (own !== undefined && own.defaultInboundPolicy !== "") return placeOf(own, field)
  return null
}

function changeOf(call: AdmittedCall, one: Met, { verdict, misses }: Judgement): string {
  const { pod } = one
  const workload = pod === null ? "it" : textOf(workloadPlace(call.world.store, pod))
  const { place, pod: client } = call.caller
  const source =
    clientId(call, one) === "" || client === null
      ? `networks: [${call.caller.ip}/${call.caller.ip.includes(":") ? 128 : 32}]`
      : place?.kind === "Deployment"
        ? `deployments: [${place.namespace}/${place.name}]`
        : `serviceAccounts: [${client.namespace}/${client.serviceAccount}]`
  if (verdict.cause === "not-allowed") {
    const [nearest] = misses
    if (nearest === undefined) return ""
    const at = policyText(call.world, nearest.namespace, nearest.name)
    const plugin = suppliedBy(call.world.store, nearest.namespace, nearest.name)
    if (plugin !== null) return `another configuration of Plugin ${plugin.plugin}, which supplies that policy`
    const field = `spec.rules[${Math.max(0, nearest.rule)}]`
    if (nearest.failed === "methods") return `add this method to ${field}.to of ${at}`
    if (nearest.failed === "paths") return `add this path to ${field}.to of ${at}`
    if (nearest.failed === "http") return `add a rule without \`to\` to ${at}, or let the port not be opaque`
    return `add a rule to ${at} with from: ${source}`
  }
  if (verdict.cause === "default") {
    return verdict.allowed
      ? `an AuthorizationPolicy with action Allow that targets ${workload}: then only what it allows passes`
      : `an AuthorizationPolicy with action Allow that targets ${workload}, with from: ${source}; or another ${DEFAULT_ANNOTATION} than ${verdict.name} (${[...new Set(DEFAULT_POLICY_NAMES)].join(", ")})`
  }
  if (verdict.cause === "policy") {
    const plugin = suppliedBy(call.world.store, verdict.namespace, verdict.name)
    if (plugin !== null) return `another configuration of Plugin ${plugin.plugin}, which supplies that policy`
    return verdict.allowed
      ? `without this rule only what others allow would pass`
      : "take this rule out, or narrow it: Deny beats every Allow"
  }
  return ""
}

/** A policy for people: an object, or what a plugin supplies and why. */
function policyText(world: World, namespace: string, name: string): string {
  const plugin = suppliedBy(world.store, namespace, name)
  if (plugin === null) return `AuthorizationPolicy ${namespace}/${name}`
  return `plugin/${plugin.plugin}${plugin.reason === "" ? `, its policy ${namespace}/${name}` : `: ${plugin.reason}`}`
}

function policyPlace(world: World, namespace: string, name: string, field: string): Place {
  const plugin = suppliedBy(world.store, namespace, name)
  if (plugin !== null) return { kind: "Plugin", namespace: "", name: plugin.plugin, field: "" }
  return { kind: "AuthorizationPolicy", namespace, name, field }
}
