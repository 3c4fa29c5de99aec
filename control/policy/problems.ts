// What is wrong with policies that are well-formed: they name what is not there, contradict each other, or never match.
// For people, in logs, `conduit policy list`, `conduit check` and the objects' status; nothing here changes a decision.
import {
  type AuthorizationPolicy,
  dottedField,
  EGRESS_KIND,
  type PlacedSource,
  POLICY_KIND,
  type PolicyHead,
  type PolicyKind,
  type PolicyOperation,
  type PolicyRule,
  portComplaints,
  RATE_LIMIT_KIND,
} from "../../deploy/policy/mod.ts"
import { didYouMean } from "../../deploy/suggest/mod.ts"
import { contains, parseNetwork } from "../../protos/authorization/mod.ts"
import { type ClusterStore, hasPort, type PodRecord, WORKLOAD_KINDS } from "../cluster/mod.ts"
import { isTarget, POLICY_DEFAULTS, type PolicyOptions, policiesOf, portNumbers } from "./compile.ts"

/** What kind of problem, as a condition of the object names it. */
export type PolicyProblemReason =
  | "TargetNotFound"
  | "PortNotFound"
  | "ClientNotFound"
  | "Contradicted"
  | "NeverMatches"
  | "HidesRequests"
  | "PluginNotFound"

/** A problem of a policy. */
export interface PolicyProblem {
  readonly kind: PolicyKind
  readonly namespace: string
  readonly name: string
  readonly reason: PolicyProblemReason
  /** Field that it is about, as people write it. */
  readonly field: string
  /** One sentence without the policy's name. */
  readonly message: string
}

/** Everything wrong with the cluster's policies of all kinds. */
export function allPolicyProblems(
  store: ClusterStore,
  options: PolicyOptions = POLICY_DEFAULTS,
): PolicyProblem[] {
  return [
    ...policyProblems(store, options),
    ...trafficProblems(store, RATE_LIMIT_KIND, rateLimitsOf(store)),
    ...trafficProblems(store, EGRESS_KIND, egressOf(store)),
  ]
}

/** Everything wrong with rate limits, or with egress policies. */
export function trafficProblems(
  store: ClusterStore,
  kind: typeof RATE_LIMIT_KIND | typeof EGRESS_KIND,
  policies: Iterable<PolicyHead>,
): PolicyProblem[] {
  return [...policies].flatMap(policy => {
    const problems: PolicyProblem[] = []
    const { namespace, name, target } = policy
    const add: Add = (reason, field, message) => {
      problems.push({ kind, namespace, name, reason, field, message })
    }
    const pods = [...store.pods(namespace)].filter(pod => isTarget(store, policy, pod))
    checkTarget(store, policy, pods, add)
    if (kind === RATE_LIMIT_KIND) {
      const ports = targetPorts(store, policy, pods)
      const opaque = ports.filter(({ hidden }) => hidden)
      if (opaque.length > 0 && opaque.length === ports.length) {
        const list = [...new Set(opaque.map(({ port }) => port))].join(", ")
        const field = target.ports === null ? "spec.target" : "spec.target.ports"
        add(
          "NeverMatches",
          field,
          `port ${list} is opaque, so no request is seen there that could be counted`,
        )
      }
    }
    return problems
  })
}

/** The cluster's RateLimitPolicies. */
function* rateLimitsOf(store: ClusterStore): Generator<PolicyHead> {
  for (const { policy } of store.rateLimitPolicies()) yield policy
}

/** The cluster's EgressPolicies. */
function* egressOf(store: ClusterStore): Generator<PolicyHead> {
  for (const { policy } of store.egressPolicies()) yield policy
}

/**
 * Everything wrong with AuthorizationPolicies.
 *
 * @param policies  those to look at: by default the cluster's
 */
export function policyProblems(
  store: ClusterStore,
  options: PolicyOptions = POLICY_DEFAULTS,
  policies: Iterable<AuthorizationPolicy> = policiesOf(store),
): PolicyProblem[] {
  const all = [...policies]
  return all.flatMap(policy => {
    const problems: PolicyProblem[] = []
    const { namespace, name } = policy
    const add = (reason: PolicyProblemReason, field: string, message: string): void => {
      problems.push({ kind: POLICY_KIND, namespace, name, reason, field, message })
    }
    const pods = [...store.pods(namespace)].filter(pod => isTarget(store, policy, pod))
    checkTarget(store, policy, pods, add)
    checkClients(store, policy, options, add)
    checkHttp(store, policy, pods, add)
    checkDenied(policy, all, pods, add)
    checkPlugin(store, policy, add)
    return problems
  })
}

type Add = (reason: PolicyProblemReason, field: string, message: string) => void

function checkTarget(store: ClusterStore, policy: PolicyHead, pods: readonly PodRecord[], add: Add): void {
  const { namespace, target } = policy
  if (pods.length === 0) {
    if (target.kind === "Namespace") {
      add("TargetNotFound", "spec.target", `namespace "${namespace}" has no pod, so the policy holds nowhere`)
      return
    }
    const kind = target.kind.toLowerCase()
    if (store.workload(kind, namespace, target.name) !== undefined) return
    const known = WORKLOAD_KINDS.find(one => one === kind)
    const names =
      known === undefined
        ? [...store.pods(namespace)].map(pod => pod.name)
        : [...store.workloads(known, namespace)].map(workload => workload.name)
    const meant = didYouMean(target.name, names)
    const where = `there is no ${target.kind} "${target.name}" in namespace "${namespace}"${meant}`
    add("TargetNotFound", "spec.target.name", `${where}, so the policy holds nowhere`)
    return
  }
  const declared = pods.flatMap(pod => pod.ports.filter(port => port.protocol === "TCP"))
  for (const { path, message } of portComplaints(policy, distinctPorts(declared)))
    add("PortNotFound", dottedField(path), message)
}

function distinctPorts<Port extends { readonly name: string; readonly port: number }>(
  ports: readonly Port[],
): Port[] {
  return [...new Map(ports.map(port => [`${port.name} ${port.port}`, port])).values()]
}

function checkClients(
  store: ClusterStore,
  { rules }: AuthorizationPolicy,
  options: PolicyOptions,
  add: Add,
): void {
  const namespaces = new Set(store.namespaces().map(({ name }) => name))
  let matching = 0
  for (const { from } of rules) {
    const missing = from.filter(source => {
      const message = missingClient(store, source, namespaces, options)
      if (message !== "") add("ClientNotFound", source.field, message)
      return message !== ""
    })
    if (from.length === 0 || missing.length < from.length) matching++
  }
  if (matching === 0) add("NeverMatches", "spec.rules", "no rule can match: none of the clients exists")
}

/** Why a client cannot be met; empty if it can. */
function missingClient(
  store: ClusterStore,
  source: PlacedSource,
  namespaces: ReadonlySet<string>,
  { trustDomain }: PolicyOptions,
): string {
  if (source.kind === "network") return ""
  if (source.kind === "identity") {
    if (source.pattern === "*" || source.pattern.startsWith(`spiffe://${trustDomain}/`)) return ""
    return `"${source.pattern}" is no identity of this mesh, whose trust domain is ${trustDomain}`
  }
  const namespace = source.kind === "namespace" ? source.name : source.namespace
  if (!namespaces.has(namespace)) {
    return `there is no namespace "${namespace}"${didYouMean(namespace, [...namespaces])}`
  }
  if (source.kind === "deployment") {
    if (store.workload("deployment", namespace, source.name) !== undefined) return ""
    const names = [...store.workloads("deployment", namespace)].map(({ name }) => name)
    const meant = didYouMean(source.name, names)
    return `there is no Deployment "${source.name}" in namespace "${namespace}"${meant}`
  }
  if (source.kind === "serviceAccount") {
    const accounts = new Set([...store.pods(namespace)].map(pod => pod.serviceAccount))
    if (accounts.has(source.name)) return ""
    const meant = didYouMean(source.name, [...accounts])
    return `no pod of namespace "${namespace}" runs as service account "${source.name}"${meant}`
  }
  return ""
}

/** Rules about requests on ports that nobody looks into. */
function checkHttp(
  store: ClusterStore,
  policy: AuthorizationPolicy,
  pods: readonly PodRecord[],
  add: Add,
): void {
  const { action, rules } = policy
  const ports = targetPorts(store, policy, pods)
  const opaque = ports.filter(port => port.hidden)
  if (opaque.length === 0) return
  const list = [...new Set(opaque.map(({ port }) => port))].join(", ")
  for (const [index, rule] of rules.entries()) {
    if (rule.to.length === 0 && action !== "Ask") continue
    const field = rule.to.length === 0 ? `spec.rules[${index}]` : `spec.rules[${index}].to`
    if (action === "Deny" || action === "Ask") {
      const message = `port ${list} is opaque, so requests are not seen there: every connection of these clients is refused`
      add("HidesRequests", field, message)
    } else if (opaque.length === ports.length) {
      add(
        "NeverMatches",
        field,
        `port ${list} is opaque, so no request is seen there that the rule could match`,
      )
    }
  }
}

/** Ports of pods that a policy targets, and whether nobody looks into what comes there. */
function targetPorts(
  store: ClusterStore,
  { target }: PolicyHead,
  pods: readonly PodRecord[],
): { readonly port: number; readonly hidden: boolean }[] {
  const hidden = (pod: PodRecord, port: number): boolean => {
    const opaque = store.opaquePortsOf(pod)
    return opaque !== null && hasPort(opaque, port)
  }
  return pods.flatMap(pod => {
    const numbers =
      target.ports === null
        ? pod.ports.filter(port => port.protocol === "TCP").map(port => port.port)
        : portNumbers(pod, target.ports)
    return numbers.map(port => ({ port, hidden: hidden(pod, port) }))
  })
}

/** An Allow of which nothing is left, since one Deny refuses all of it. */
function checkDenied(
  policy: AuthorizationPolicy,
  all: readonly AuthorizationPolicy[],
  pods: readonly PodRecord[],
  add: Add,
): void {
  if (policy.action !== "Allow") return
  const deny = all.find(
    other =>
      other.action === "Deny" &&
      other.namespace === policy.namespace &&
      coversTarget(other, policy, pods) &&
      policy.rules.every(rule => other.rules.some(denied => coversRule(denied, rule))),
  )
  if (deny === undefined) return
  add("Contradicted", "spec.rules", `the Deny policy "${deny.name}" refuses everything that this one allows`)
}

/** An Ask that nobody answers: it leaves everything to the other policies. */
function checkPlugin(store: ClusterStore, { ask }: AuthorizationPolicy, add: Add): void {
  if (ask === null) return
  const field = "spec.plugin"
  const found = store.plugin(ask.plugin)
  if (found === undefined) {
    const meant = didYouMean(
      ask.plugin,
      [...store.plugins()].map(({ name }) => name),
    )
    add("PluginNotFound", field, `there is no Plugin "${ask.plugin}"${meant}; nobody is asked`)
  } else if (!found.plugin.hooks.some(({ name }) => name === "Authorize")) {
    add("PluginNotFound", field, `the Plugin "${ask.plugin}" has not the hook Authorize; nobody is asked`)
  }
}

function coversTarget(
  deny: AuthorizationPolicy,
  allow: AuthorizationPolicy,
  pods: readonly PodRecord[],
): boolean {
  const { target } = deny
  const same = target.kind === allow.target.kind && target.name === allow.target.name
  if (!same && target.kind !== "Namespace") return false
  if (target.ports === null) return true
  const { ports } = allow.target
  const denied = target.ports
  if (ports === null) return false
  return (
    ports.every(port => denied.includes(port)) ||
    (pods.length > 0 &&
      pods.every(pod => {
        const numbers = portNumbers(pod, denied)
        return portNumbers(pod, ports).every(port => numbers.includes(port))
      }))
  )
}

function coversRule(deny: PolicyRule, allow: PolicyRule): boolean {
  const from =
    deny.from.length === 0 ||
    (allow.from.length > 0 && allow.from.every(source => deny.from.some(one => coversSource(one, source))))
  const to =
    deny.to.length === 0 ||
    (allow.to.length > 0 && allow.to.every(one => deny.to.some(other => coversOperation(other, one))))
  return from && to
}

function coversSource(deny: PlacedSource, allow: PlacedSource): boolean {
  if (deny.kind === "network") {
    const outer = parseNetwork(deny.network)
    const inner = allow.kind === "network" ? parseNetwork(allow.network) : ""
    if (typeof outer === "string" || typeof inner === "string") return false
    return outer.bits <= inner.bits && contains(outer, inner.address)
  }
  if (allow.kind === "network") return false
  if (deny.kind === "identity") {
    if (deny.pattern === "*") return true
    if (allow.kind !== "identity") return false
    return deny.pattern.endsWith("*")
      ? allow.pattern.startsWith(deny.pattern.slice(0, -1))
      : allow.pattern === deny.pattern
  }
  if (deny.kind === "namespace") {
    return allow.kind === "namespace"
      ? allow.name === deny.name
      : allow.kind !== "identity" && allow.namespace === deny.name
  }
  return deny.kind === allow.kind && allow.name === deny.name && allow.namespace === deny.namespace
}

function coversOperation(deny: PolicyOperation, allow: PolicyOperation): boolean {
  const methods =
    deny.methods.length === 0 ||
    (allow.methods.length > 0 && allow.methods.every(method => deny.methods.includes(method)))
  const paths =
    deny.paths.length === 0 ||
    deny.paths.includes("*") ||
    (allow.paths.length > 0 &&
      allow.paths.every(path =>
        deny.paths.some(one => (one.endsWith("*") ? path.startsWith(one.slice(0, -1)) : path === one)),
      ))
  return methods && paths
}
