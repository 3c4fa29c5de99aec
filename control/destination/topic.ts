// All targets that anyone watches: which watchers, in which state, and what a change of the cluster means to
// them. A change is resolved and encoded once per target, then written to all who watch it.
import { type ClusterDirt, type ClusterStore, MultiMap, objectKey } from "../cluster/mod.ts"
import { type ResolveOptions, resolveInbound, resolveOutbound } from "./resolve.ts"
import { changeBody, inboundState, outboundState, type TargetState, unchangedBody } from "./state.ts"

/** Changes of the cluster within this time are taken together: a rollout changes many pods at once. */
export const COALESCE_MS = 5

/** A target of a watch. */
export type Target =
  | { readonly kind: "outbound"; readonly ip: string; readonly port: number }
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
  /** Key in `Topics.byDependency` of the Service that the state was made from, empty for none. */
  service = ""

  constructor(target: Target, state: TargetState) {
    this.target = target
    this.state = state
  }
}

/** The targets that are watched now. */
export class Topics {
  private readonly store: ClusterStore
  private readonly options: ResolveOptions
  private readonly topics = new Map<string, Topic>()
  /** Topics by what their state was made from: `service/...`, `pod/...`, `ip/...`. */
  private readonly byDependency = new MultiMap<Topic>()
  private readonly dirty = new Set<Topic>()
  private readonly unsubscribe: () => void
  private timer: NodeJS.Timeout | null = null

  constructor(store: ClusterStore, options: ResolveOptions = {}) {
    this.store = store
    this.options = options
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
    const depends = target.kind === "outbound" ? `ip/${target.ip}` : `pod/${target.namespace}/${target.pod}`
    this.byDependency.add(depends, topic)
    topic.state = this.resolve(topic)
    return topic
  }

  private remove(key: string, topic: Topic): void {
    this.topics.delete(key)
    this.dirty.delete(topic)
    const { target } = topic
    this.byDependency.delete(
      target.kind === "outbound" ? `ip/${target.ip}` : `pod/${target.namespace}/${target.pod}`,
      topic,
    )
    if (topic.service !== "") this.byDependency.delete(topic.service, topic)
  }

  private resolve(topic: Topic): TargetState {
    const { target } = topic
    if (target.kind === "inbound") {
      return inboundState(resolveInbound(this.store, target.namespace, target.pod, target.port))
    }
    const resolution = resolveOutbound(this.store, target.ip, target.port, this.options)
    const service = resolution.kind === "service" ? resolution.dependsOn : ""
    if (service !== topic.service) {
      if (topic.service !== "") this.byDependency.delete(topic.service, topic)
      if (service !== "") this.byDependency.add(service, topic)
      topic.service = service
    }
    return outboundState(resolution)
  }

  private refresh(topic: Topic): void {
    this.dirty.delete(topic)
    const before = topic.state
    const after = this.resolve(topic)
    if (after.version === before.version) return
    topic.state = after
    const body = changeBody(before, after)
    for (const watcher of [...topic.watchers]) watcher.update(body)
  }

  private soil(dirt: ClusterDirt): void {
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
    ? `outbound ${target.ip} ${target.port}`
    : `${objectKey({ kind: "inbound", namespace: target.namespace, name: target.pod })} ${target.port}`
}
