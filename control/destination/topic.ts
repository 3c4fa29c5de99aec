// All targets that anyone watches: which watchers, in which state, and what a change of the cluster means to
// them. A change is resolved and encoded once per target, then written to all who watch it.
import { type ClusterDirt, type ClusterStore, MultiMap, objectKey } from "../cluster/mod.ts"
import { OutboundStates } from "./outbound_states.ts"
import { type ResolveOptions, resolveInbound } from "./resolve.ts"
import { inboundState, outboundState, type TargetState, unchangedBody } from "./state.ts"

/** Changes of the cluster within this time are taken together: a rollout changes many pods at once. */
export const COALESCE_MS = 5

/** A target of a watch. */
export type Target =
  /** `namespace` is the client's: its consumer routes count. */
  | { readonly kind: "outbound"; readonly namespace: string; readonly ip: string; readonly port: number }
  | { readonly kind: "inbound"; readonly namespace: string; readonly pod: string; readonly port: number }

/** Gets what concerns one target. */
export interface Watcher {
  /** A WatchResponse without its `watch_id`; shared with others, not to be altered. */
  update(body: Uint8Array): void
}

/** A target with those who watch it. */
class Topic {
  readonly target: Target
  readonly watchers = new Set<Watcher>()
  state: TargetState
  /** Keys in `Topics.byDependency` of what the state was made from. */
  dependsOn: readonly string[] = []

  constructor(target: Target, state: TargetState) {
    this.target = target
    this.state = state
  }
}

/** The targets that are watched now. */
export class Topics {
  private readonly store: ClusterStore
  private readonly states: OutboundStates
  private readonly topics = new Map<string, Topic>()
  /** Topics by what their state was made from: `service/...`, `pod/...`, `ip/...`. */
  private readonly byDependency = new MultiMap<Topic>()
  private readonly dirty = new Set<Topic>()
  private readonly unsubscribe: () => void
  private timer: NodeJS.Timeout | null = null

  constructor(store: ClusterStore, options: ResolveOptions = {}) {
    this.store = store
    this.states = new OutboundStates(store, options)
    this.unsubscribe = store.subscribe(dirt => this.soil(dirt))
  }

  /** Number of targets that are watched. */
  get size(): number {
    return this.topics.size
  }

  /** Forgets all; for the end of the process. */
  close(): void {
    this.unsubscribe()
    if (this.timer !== null) clearTimeout(this.timer)
  }

  /**
   * Adds a watcher and gives it its first answer: nothing new if `version` is current, the whole state otherwise.
   *
   * @returns what ends the watch
   */
  watch(target: Target, version: string, watcher: Watcher): () => void {
    const key = targetKey(target)
    const topic = this.topics.get(key) ?? this.open(key, target)
    // A change that waits for its turn must not reach a watcher as a delta to a state that it never had.
    if (this.dirty.has(topic)) this.refresh(topic)
    topic.watchers.add(watcher)
    watcher.update(version === topic.state.version ? unchangedBody(topic.state) : topic.state.full)
    return () => {
      topic.watchers.delete(watcher)
      if (topic.watchers.size === 0 && this.topics.get(key) === topic) this.remove(key, topic)
    }
  }

  /** Resolves what changed now, without waiting for COALESCE_MS. */
  flush(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    for (const topic of [...this.dirty]) this.refresh(topic)
  }

  private open(key: string, target: Target): Topic {
    const topic = new Topic(target, outboundState({ kind: "external" }))
    this.topics.set(key, topic)
    topic.state = this.resolve(topic)
    return topic
  }

  private remove(key: string, topic: Topic): void {
    this.topics.delete(key)
    this.dirty.delete(topic)
    for (const key of topic.dependsOn) this.byDependency.delete(key, topic)
  }

  private resolve(topic: Topic): TargetState {
    const { state, dependsOn } = this.stateOf(topic.target)
    for (const key of topic.dependsOn) this.byDependency.delete(key, topic)
    for (const key of dependsOn) this.byDependency.add(key, topic)
    topic.dependsOn = dependsOn
    return state
  }

  private stateOf(target: Target): { readonly state: TargetState; readonly dependsOn: readonly string[] } {
    if (target.kind === "outbound") return this.states.resolve(target.ip, target.port, target.namespace)
    const { namespace, pod, port } = target
    return {
      state: inboundState(resolveInbound(this.store, namespace, pod, port)),
      dependsOn: [`pod/${namespace}/${pod}`],
    }
  }

  private refresh(topic: Topic): void {
    this.dirty.delete(topic)
    const before = topic.state
    const after = this.resolve(topic)
    if (after.version === before.version) return
    topic.state = after
    const body = this.states.change(before, after)
    for (const watcher of [...topic.watchers]) watcher.update(body)
  }

  private soil(dirt: ClusterDirt): void {
    this.states.forget()
    for (const key of dirt.services) this.soilTopics(key)
    for (const ip of dirt.ips) this.soilTopics(`ip/${ip}`)
    for (const key of dirt.pods) this.soilTopics(key)
    if (this.dirty.size > 0) this.timer ??= setTimeout(() => this.flush(), COALESCE_MS)
  }

  private soilTopics(dependency: string): void {
    for (const topic of this.byDependency.get(dependency)) this.dirty.add(topic)
  }
}

function targetKey(target: Target): string {
  return target.kind === "outbound"
    ? `outbound ${target.namespace} ${target.ip} ${target.port}`
    : `${objectKey({ kind: "inbound", namespace: target.namespace, name: target.pod })} ${target.port}`
}
