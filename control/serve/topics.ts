// What many streams watch: topics with their watchers and states. A change of the cluster is resolved and encoded once
// per topic, then written to all who watch it. destination/ and policy/ say what their topics are made of.
import { MultiMap } from "../cluster/mod.ts"

/** Changes of the cluster within this time are taken together: a rollout changes many pods at once. */
export const COALESCE_MS = 5

/** State of one topic as its watchers get it. Immutable. */
export interface TopicState {
  /** Hash of the content. */
  readonly version: string
  /** A message with the whole state. */
  readonly full: Uint8Array
}

/** What topics are made of. */
export interface TopicRules<Target, State extends TopicState> {
  /** Tells targets apart. */
  key(target: Target): string
  /**
   * The state now, and the keys of what it was made from, for `soil`. State null: not known; watchers keep what they
   * have, and get nothing before it is known.
   */
  resolve(target: Target): { readonly state: State | null; readonly dependsOn: readonly string[] }
  /** A message that takes a watcher from one state to another. */
  change(before: State, after: State): Uint8Array
  /** A message to a watcher that holds this state already. */
  unchanged(state: State): Uint8Array
}

/** Gets what concerns one target. */
export interface Watcher {
  /** A message; shared with others, not to be altered. */
  update(body: Uint8Array): void
}

/** What a watcher watches. */
export interface Watched {
  /** Ends a watcher's watch; one that has none here is no error. */
  leave(watcher: Watcher): void
}

class Topic<Target, State extends TopicState> implements Watched {
  readonly set: TopicSet<Target, State>
  readonly target: Target
  readonly watchers = new Set<Watcher>()
  state: State | null = null
  dependsOn: readonly string[] = []

  constructor(set: TopicSet<Target, State>, target: Target) {
    this.set = set
    this.target = target
  }

  leave(watcher: Watcher): void {
    if (this.watchers.delete(watcher) && this.watchers.size === 0) this.set.remove(this.target)
  }
}

/** The targets that are watched now. */
export class TopicSet<Target, State extends TopicState> {
  private readonly rules: TopicRules<Target, State>
  private readonly topics = new Map<string, Topic<Target, State>>()
  private readonly byDependency = new MultiMap<Topic<Target, State>>()
  private readonly dirty = new Set<Topic<Target, State>>()
  private timer: NodeJS.Timeout | null = null

  constructor(rules: TopicRules<Target, State>) {
    this.rules = rules
  }

  /** Number of targets that are watched. */
  get size(): number {
    return this.topics.size
  }

  /** Ends what is planned; for the end of the process. */
  close(): void {
    if (this.timer !== null) clearTimeout(this.timer)
  }

  /**
   * Adds a watcher and gives it its first answer: nothing new if `version` is current, the whole state otherwise.
   *
   * @returns what the watcher is to leave; there are hundreds of thousands of watches, and no closure is kept for each
   */
  watch(target: Target, version: string, watcher: Watcher): Watched {
    const key = this.rules.key(target)
    const topic = this.topics.get(key) ?? this.open(key, target)
    // A change that waits for its turn must not reach a watcher as a delta to a state that it never had.
    if (this.dirty.has(topic)) this.refresh(topic)
    topic.watchers.add(watcher)
    const { state } = topic
    if (state !== null) watcher.update(version === state.version ? this.rules.unchanged(state) : state.full)
    return topic
  }

  /** What was made from any of these keys may be different now; resolved within COALESCE_MS. */
  soil(keys: Iterable<string>): void {
    for (const key of keys) for (const topic of this.byDependency.get(key)) this.dirty.add(topic)
    if (this.dirty.size > 0) this.timer ??= setTimeout(() => this.flush(), COALESCE_MS)
  }

  /** Resolves what changed now, without waiting for COALESCE_MS. */
  flush(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    for (const topic of [...this.dirty]) this.refresh(topic)
  }

  private open(key: string, target: Target): Topic<Target, State> {
    const topic = new Topic<Target, State>(this, target)
    this.topics.set(key, topic)
    topic.state = this.resolve(topic)
    return topic
  }

  /** Forgets a target that nobody watches. */
  remove(target: Target): void {
    const key = this.rules.key(target)
    const topic = this.topics.get(key)
    if (topic === undefined || topic.watchers.size > 0) return
    this.topics.delete(key)
    this.dirty.delete(topic)
    for (const dependency of topic.dependsOn) this.byDependency.delete(dependency, topic)
  }

  private resolve(topic: Topic<Target, State>): State | null {
    const { state, dependsOn } = this.rules.resolve(topic.target)
    for (const dependency of topic.dependsOn) this.byDependency.delete(dependency, topic)
    for (const dependency of dependsOn) this.byDependency.add(dependency, topic)
    topic.dependsOn = dependsOn
    return state
  }

  private refresh(topic: Topic<Target, State>): void {
    this.dirty.delete(topic)
    const before = topic.state
    const after = this.resolve(topic)
    if (after === null || after.version === before?.version) return
    topic.state = after
    const body = before === null ? after.full : this.rules.change(before, after)
    for (const watcher of [...topic.watchers]) watcher.update(body)
  }
}
