// Compiles the policies of a pod: objects that speak of workloads and names become what a proxy compares, identities,
// addresses and port numbers. A pure function of the cluster, so that proposed policies can be compiled as well.
import { createHash } from "node:crypto"
import type { AskedPlugin, AuthorizationPolicy, PlacedSource, PolicyHead } from "../../deploy/policy/mod.ts"
import {
  ACTION_ALLOW,
  ACTION_ASK,
  ACTION_AUDIT,
  ACTION_DENY,
  DEFAULT_CLUSTER_NETWORKS,
  defaultPolicyNumber,
  type PluginQuestion,
  type Policy,
  type Probe,
  type Source,
  type WorkloadPolicy,
} from "../../protos/authorization/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import type { ClientPods } from "./client_pods.ts"

/** Digits of a question's version: it tells a plugin's settings from those before. */
const QUESTION_VERSION_DIGITS = 8

/** What an installation decides about all policies. */
export interface PolicyOptions {
  /** Trust domain of the mesh's identities. */
  readonly trustDomain: string
  /** Addresses that count as the cluster's own, as CIDR. */
  readonly clusterNetworks: readonly string[]
  /** Default policy of pods whose annotations name none. */
  readonly defaultPolicy: string
}

/** What holds where an installation says nothing. */
export const POLICY_DEFAULTS: PolicyOptions = {
  trustDomain: "cluster.local",
  clusterNetworks: DEFAULT_CLUSTER_NETWORKS,
  defaultPolicy: "all-unauthenticated",
}

const ACTIONS = { Allow: ACTION_ALLOW, Deny: ACTION_DENY, Audit: ACTION_AUDIT, Ask: ACTION_ASK } as const

/**
 * The compiled policies of a pod.
 *
 * @param policies  those to compile: by default the cluster's, or the cluster's with proposed ones among them; only
 *   those that target the pod are taken
 */
export function compilePod(
  store: ClusterStore,
  pod: PodRecord,
  clients: ClientPods,
  options: PolicyOptions = POLICY_DEFAULTS,
  policies: Iterable<AuthorizationPolicy> = policiesOf(store, pod.namespace),
): WorkloadPolicy {
  const compiled: Policy[] = []
  for (const policy of policies) {
    if (!isTarget(store, policy, pod)) continue
    const { namespace, name, action, target, rules } = policy
    const ask = policy.ask === null ? undefined : questionOf(store, policy.ask)
    // A plugin that is not there leaves everything to the other policies, as it did before it came.
    if (ask === null) continue
    const ports = target.ports === null ? [] : portNumbers(pod, target.ports)
    if (target.ports !== null && ports.length === 0) continue
    compiled.push({
      namespace,
      name,
      action: ACTIONS[action],
      ports,
      allPorts: target.ports === null,
      rules: rules.map(rule => ({
        from: rule.from.map(source => compileSource(source, clients, options)),
        to: rule.to,
      })),
      ...(ask === undefined ? {} : { ask }),
    })
  }
  return {
    defaultPolicy: defaultPolicyNumber(store.defaultInboundPolicyOf(pod) || options.defaultPolicy),
    clusterNetworks: options.clusterNetworks,
    policies: compiled.sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name)),
    probes: probesOf(pod),
    trustDomain: options.trustDomain,
  }
}

/** Who is asked; null where there is no such plugin, or none that is asked about requests. */
function questionOf(store: ClusterStore, { plugin: name, headers }: AskedPlugin): PluginQuestion | null {
  const plugin = store.plugin(name)?.plugin
  const hook = plugin?.hooks.find(one => one.name === "Authorize")
  if (plugin === undefined || hook === undefined) return null
  const { address, configuration } = plugin
  const told = JSON.stringify([address, configuration, hook.mode])
  const version = createHash("sha256").update(told).digest("hex").slice(0, QUESTION_VERSION_DIGITS)
  return { plugin: name, headers, deadlineMs: hook.deadlineMs, fail: hook.failurePolicy === "Fail", version }
}

/** All policies of a namespace. */
export function* policiesOf(store: ClusterStore, namespace = ""): Generator<AuthorizationPolicy> {
  for (const record of store.policies(namespace)) yield record.policy
}

/** The plugin that supplies a policy, and why; null for an object of the cluster, and for what is not there. */
export function suppliedBy(
  store: ClusterStore,
  namespace: string,
  name: string,
): NonNullable<AuthorizationPolicy["suppliedBy"]> | null {
  for (const policy of policiesOf(store, namespace))
    if (policy.name === name) return policy.suppliedBy ?? null
  return null
}

/** Whether a policy targets a pod. */
export function isTarget(store: ClusterStore, policy: PolicyHead, pod: PodRecord): boolean {
  const { namespace, target } = policy
  if (namespace !== pod.namespace || pod.finished) return false
  if (target.kind === "Namespace") return true
  if (target.kind === "Pod") return target.name === pod.name
  const kind = target.kind.toLowerCase()
  return store.owners(pod).some(owner => owner.kind === kind && owner.name === target.name)
}

/** Numbers of the ports that a policy names on a pod; names that the pod does not have are left out. */
export function portNumbers(pod: PodRecord, ports: readonly (number | string)[]): number[] {
  const numbers = new Set<number>()
  for (const port of ports) {
    if (typeof port === "number") numbers.add(port)
    else
      for (const declared of pod.ports)
        if (declared.name === port && declared.protocol === "TCP") numbers.add(declared.port)
  }
  return [...numbers].sort((a, b) => a - b)
}

/** SPIFFE id of a service account. */
export function spiffeId(trustDomain: string, namespace: string, account: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`
}

function compileSource(source: PlacedSource, clients: ClientPods, { trustDomain }: PolicyOptions): Source {
  switch (source.kind) {
    case "deployment": {
      const { namespace, name } = source
      const { accounts, addresses, exclusive } = clients.deployment(namespace, name)
      const identities = accounts.map(account => spiffeId(trustDomain, namespace, account))
      const value = { namespace, kind: "deployment", name, identities, addresses, exclusive }
      return { client: { case: "workload", value } }
    }
    case "serviceAccount":
      return {
        client: { case: "identity", value: spiffeId(trustDomain, source.namespace, source.name) },
      }
    case "namespace":
      // The slash keeps `shop` from meaning `shopping`.
      return { client: { case: "identityPrefix", value: `spiffe://${trustDomain}/ns/${source.name}/` } }
    case "network":
      return { client: { case: "network", value: source.network } }
    case "identity":
      return source.pattern.endsWith("*")
        ? { client: { case: "identityPrefix", value: source.pattern.slice(0, -1) } }
        : { client: { case: "identity", value: source.pattern } }
  }
}

/** Those that a proxy can tell from other traffic; to connect is let through before policies are asked. */
function probesOf(pod: PodRecord): Probe[] {
  return pod.probes
    .filter(probe => probe.kind === "http" || probe.kind === "grpc")
    .map(({ port, kind, path }) => ({ port, path, grpc: kind === "grpc" }))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
