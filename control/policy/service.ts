// The policy service on its port: conduit.policy.v1 over gRPC. A pod's policies are compiled when its proxy asks, and
// again when something that they were made from changes.
import { policyV1 } from "../../protos/mod.ts"
import type { ClusterDirt, ClusterStore } from "../cluster/mod.ts"
import {
  type KeepaliveOptions,
  type Listening,
  listenForStreams,
  type TlsOptions,
  TopicSet,
  type TopicState,
} from "../serve/mod.ts"
import { type AskPlugin, AskStream } from "./ask.ts"
import { ClientPods } from "./client_pods.ts"
import { compilePod, POLICY_DEFAULTS, type PolicyOptions, policiesOf } from "./compile.ts"
import { compileTraffic } from "./compile_traffic.ts"
import { policyState, unchangedState } from "./state.ts"
import { type PodName, PolicyWatch, type WatchCounts } from "./watch.ts"

/** Path of the method that tells policies. */
export const WATCH_PATH = `/${policyV1.PolicyService.typeName}/Watch`
/** Path of the method that has plugins asked. */
export const ASK_PATH = `/${policyV1.PolicyService.typeName}/Ask`

/** How the service is served. */
export interface PolicyServiceOptions {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  /** Default: `POLICY_DEFAULTS`. */
  readonly policy?: PolicyOptions
  /** Asks a plugin about a request. Default: nobody answers. */
  readonly ask?: AskPlugin
  /** Intervals of PINGs to proxies. */
  readonly keepalive?: KeepaliveOptions
  /** TLS of the port; where it requires certificates, a proxy must prove the identity of the pod that it names. */
  readonly tls?: TlsOptions
}

/** The service while it runs. */
export interface PolicyServer extends Listening {
  /** Counts over all streams. */
  readonly counts: Readonly<WatchCounts>
  /** Number of pods that are watched. */
  readonly pods: () => number
}

/**
 * Serves the policy API from a store.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export async function servePolicy(store: ClusterStore, options: PolicyServiceOptions): Promise<PolicyServer> {
  const { host, port, keepalive, policy = POLICY_DEFAULTS, tls, ask = nobody } = options
  const clients = new ClientPods(store)
  const topics = podTopics(store, clients, policy)
  const unsubscribe = store.subscribe(dirt => {
    for (const namespace of namespacesOf(dirt)) clients.forget(namespace)
    topics.soil(soiledBy(dirt))
  })
  const counts: WatchCounts = { open: 0, updates: 0, dropped: 0, refused: 0 }
  const listening = await listenForStreams({
    host,
    port,
    tls,
    methods: {
      [WATCH_PATH]: (stream, peer) => new PolicyWatch(stream, { store, topics, counts, peer }),
      [ASK_PATH]: (stream, peer) => new AskStream(stream, { store, ask, peer }),
    },
    ...(keepalive === undefined ? {} : { keepalive }),
  })
  return {
    port: listening.port,
    counts,
    pods: () => topics.size,
    close: () => {
      unsubscribe()
      topics.close()
      listening.close()
    },
  }
}

function nobody(plugin: string): Promise<never> {
  return Promise.reject(new Error(`plugin ${plugin} cannot be asked: no plugins are called here`))
}

function podTopics(
  store: ClusterStore,
  clients: ClientPods,
  options: PolicyOptions,
): TopicSet<PodName, TopicState, TopicState> {
  /** Pods of one workload have one state, and keep one. */
  const states = new Map<string, WeakRef<TopicState>>()
  return new TopicSet<PodName, TopicState, TopicState>({
    key: ({ namespace, pod }) => `${namespace}/${pod}`,
    resolve({ namespace, pod: name }) {
      const dependsOn = [`pod/${namespace}/${name}`, `policies/${namespace}`]
      for (const { ask } of policiesOf(store, namespace))
        if (ask !== null) dependsOn.push(`plugin/${ask.plugin}`)
      const pod = store.pod(namespace, name)
      // Not known yet, or gone already: what its proxy holds goes on to hold.
      if (pod === undefined) return { state: null, dependsOn }
      for (const client of clientNamespaces(store, namespace)) dependsOn.push(`clients/${client}`)
      const state = policyState(compilePod(store, pod, clients, options), compileTraffic(store, pod))
      const known = states.get(state.version)?.deref()
      if (known === undefined) {
        for (const [version, kept] of states) if (kept.deref() === undefined) states.delete(version)
        states.set(state.version, new WeakRef(state))
      }
      return { state: known ?? state, dependsOn }
    },
    view: state => state,
    change: (_before, after) => after.full,
    unchanged: unchangedState,
  })
}

/** Namespaces whose pods the policies of a namespace name as clients. */
function clientNamespaces(store: ClusterStore, namespace: string): Set<string> {
  const namespaces = new Set<string>()
  for (const { rules } of policiesOf(store, namespace)) {
    for (const { from } of rules)
      for (const source of from) if (source.kind === "deployment") namespaces.add(source.namespace)
  }
  return namespaces
}

/** Keys of what is different now, as `resolve` names them. */
function soiledBy(dirt: ClusterDirt): string[] {
  const keys = [...dirt.pods]
  for (const plugin of dirt.plugins) keys.push(`plugin/${plugin}`)
  for (const namespace of dirt.policies) keys.push(`policies/${namespace}`)
  for (const namespace of namespacesOf(dirt)) keys.push(`clients/${namespace}`)
  return keys
}

/** Namespaces in which a pod is different. */
function namespacesOf(dirt: ClusterDirt): Set<string> {
  // Keys are `pod/NAMESPACE/NAME`.
  return new Set([...dirt.pods].map(key => key.split("/")[1] ?? ""))
}
