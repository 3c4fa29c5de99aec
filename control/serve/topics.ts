// What many streams watch: topics with their watchers and states. A change of the cluster is resolved and encoded once
// per topic, then written to all who watch it. destination/ and policy/ say what their topics are made of.
import { MultiMap } from "../cluster/mod.ts"

/** Changes of the cluster within this time are taken together: a rollout changes many pods at once. */
export const COALESCE_MS = 5

/** State of one topic as a watcher gets it. Immutable. */
export interface TopicState {
  /** Hash of the content. */
  readonly version: string
  /** A message with the whole state. */
  readonly full: Uint8Array
}

/** Gets what concerns one target. */
export interface Watcher {
  /** A message; shared with others, not to be altered. */
  update(body: Uint8Array): void
}

/** What a watcher watches. */
export interface Watched<Who extends Watcher = Watcher> {
  /** Ends a watcher's watch; one that has none here is no error. */
  leave(watcher: Who): void
}

/** What topics are made of: of each target a `State`, of which each watcher gets a `View`. */
export interface TopicRules<Target, State, View extends TopicState, Who extends Watcher> {
  /** Tells targets apart. */
  key(target: Target): string
  /**
   * The state now, and the keys of what it was made from, for `soil`. State null: not known; watchers keep what they
   * have, and get nothing before it is known.
   */
  resolve(target: Target): { readonly state: State | null; readonly dependsOn: readonly string[] }
  /** What a watcher gets of the state; the same object for all who get the same. */
  view(state: State, watcher: Who): View
  /** A message that takes a watcher from one view to another. */
  change(before: View, after: View): Uint8Array
  /** A message to a watcher that holds this view already. */
  unchanged(view: View): Uint8Array
}

class Topic<Target, State, Who extends Watcher> implements Watched<Who> {
  readonly target: Target
  readonly watchers = new Set<Who>()
  state: State | null = null
  dependsOn: readonly string[] = NOTHING
  private readonly abandoned: (topic: Topic<Target, State, Who>) => void

  constructor(target: Target, abandoned: (topic: Topic<Target, State, Who>) => void) {
    this.target = target
    this.abandoned = abandoned
  }

  leave(watcher: Who): void {
    if (this.watchers.delete(watcher) && this.watchers.size === 0) this.abandoned(this)
  }
}

const NOTHING: readonly string[] = []

/** The targets that are watched now. */
export class TopicSet<Target, State, View extends TopicState, Who extends Watcher = Watcher> {
  private readonly rules: TopicRules<Target, State, View, Who>
  private readonly topics = new Map<string, Topic<Target, State, Who>>()
  private readonly byDependency = new MultiMap<Topic<Target, State, Who>>()
  private readonly dirty = new Set<Topic<Target, State, Who>>()
  private readonly abandoned = (topic: Topic<Target, State, Who>): void => this.remove(topic)
  private timer: NodeJS.Timeout | null = null

  constructor(rules: TopicRules<Target, State, View, Who>) {
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
  watch(target: Target, version: string, watcher: Who): Watched<Who> {
    const key = this.rules.key(target)
    const topic = this.topics.get(key) ?? this.open(key, target)
    // A change that waits for its turn must not reach a watcher as a delta to a state that it never had.
    if (this.dirty.has(topic)) this.refresh(topic)
    topic.watchers.add(watcher)
    if (topic.state !== null) {
      const view = this.rules.view(topic.state, watcher)
      watcher.update(version === view.version ? this.rules.unchanged(view) : view.full)
    }
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

  private open(key: string, target: Target): Topic<Target, State, Who> {
    const topic = new Topic<Target, State, Who>(target, this.abandoned)
    this.topics.set(key, topic)
    topic.state = this.resolve(topic)
    return topic
  }

  private remove(topic: Topic<Target, State, Who>): void {
    this.topics.delete(this.rules.key(topic.target))
    this.dirty.delete(topic)
    for (const dependency of topic.dependsOn) this.byDependency.delete(dependency, topic)
  }

  private resolve(topic: Topic<Target, State, Who>): State | null {
    const { state, dependsOn } = this.rules.resolve(topic.target)
    for (const dependency of topic.dependsOn) this.byDependency.delete(dependency, topic)
    for (const dependency of dependsOn) this.byDependency.add(dependency, topic)
    topic.dependsOn = dependsOn
    return state
  }

  private refresh(topic: Topic<Target, State, Who>): void {
    this.dirty.delete(topic)
    const before = topic.state
    const after = this.resolve(topic)
    if (after === null) return
    topic.state = after
    // Most watchers go from the same view to the same other: that change is made once.
    let from: View | null = null
    let to: View | null = null
    let body: Uint8Array = NO_BODY
    for (const watcher of [...topic.watchers]) {
      const old = before === null ? null : this.rules.view(before, watcher)
      const now = this.rules.view(after, watcher)
      if (old?.version === now.version) continue
      if (from !== old || to !== now) {
        body = old === null ? now.full : this.rules.change(old, now)
        from = old
        to = now
      }
      watcher.update(body)
    }
  }
}

const NO_BODY = new Uint8Array()
