// Fills the cluster store from the Kubernetes API: a watch per kind. While the API server is away the last state
// stays in force, and says so.
import { type KubeApi, KubeError } from "../../deploy/kubernetes/mod.ts"
import { type ClusterSource, ClusterStore, type Problem } from "../cluster/mod.ts"
import { ABSENT_PAUSE_MS, ResourceWatch, WATCH_SILENCE_MS, type WatchCounts } from "./resource_watch.ts"
import { RESOURCES, type Resource } from "./resources.ts"

/** Kinds that are listed at the same time: after a restart of the API server all want to. */
export const MAX_LISTS = 2
/** Failures in a row before an unreachable server is reported: one closed connection is nothing. */
export const REPORTED_FAILURES = 2

/** How a Kubernetes source behaves. */
export interface KubernetesOptions {
  /** Called when a problem appears that was not there before. Default: nothing. */
  readonly onProblem?: (problem: Problem) => void
  /** Called when all problems are gone. Default: nothing. */
  readonly onResolved?: () => void
  /** Kinds that are watched. Default: all of RESOURCES. */
  readonly resources?: readonly Resource[]
  /** Called after objects of a kind were read, those that cannot be understood too. Default: nothing. */
  readonly onRead?: (resource: Resource) => void
  /** Random number from 0 to 1. Default: Math.random. */
  readonly random?: () => number
  /** Monotonic clock. Default: performance.now. */
  readonly nowMs?: () => number
  /** Resolves after a while, or at once when the signal aborts. Default: a timer. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  /** Silence after which a watch's connection is dead. Default: WATCH_SILENCE_MS. */
  readonly silenceMs?: number
  /** Pause between questions for a kind that is not there. Default: ABSENT_PAUSE_MS. */
  readonly absentPauseMs?: number
}

/** A Kubernetes cluster as a source of cluster state. */
export class KubernetesSource implements ClusterSource {
  readonly store = new ClusterStore()
  private readonly api: KubeApi
  private readonly options: KubernetesOptions
  private readonly ending = new AbortController()
  private readonly watches: readonly ResourceWatch[]
  private readonly waiting: (() => void)[] = []
  private lists = 0
  private reported = new Set<string>()

  constructor(api: KubeApi, options: KubernetesOptions = {}) {
    this.api = api
    this.options = options
    const {
      random = Math.random,
      nowMs = () => performance.now(),
      sleep = timer,
      silenceMs = WATCH_SILENCE_MS,
      absentPauseMs = ABSENT_PAUSE_MS,
    } = options
    this.watches = (options.resources ?? RESOURCES).map(
      resource =>
        new ResourceWatch({
          api,
          resource,
          apply: changes => this.store.apply(changes),
          onRead: () => this.read(resource),
          onStatus: () => this.review(),
          turn: signal => this.turn(signal),
          random,
          nowMs,
          sleep,
          silenceMs,
          absentPauseMs,
        }),
    )
  }

  start(): void {
    // run() ends only when told to: whatever goes wrong is its status.
    for (const watch of this.watches) void watch.run(this.ending.signal)
  }

  stop(): void {
    this.ending.abort()
    for (const wake of this.waiting.splice(0)) wake()
  }

  problems(): readonly Problem[] {
    const found = new Map<string, Problem>()
    for (const watch of this.watches) {
      for (const problem of [...this.problemsOf(watch), ...watch.objects.problems()])
        found.set(textOf(problem), problem)
    }
    return [...found.values()]
  }

  /** How often each kind was listed and watched, by its name in paths. */
  counts(): ReadonlyMap<string, Readonly<WatchCounts>> {
    return new Map(this.watches.map(({ resource, counts }) => [resource.plural, counts]))
  }

  /** Kinds that are not read yet, or cannot be, by their names in paths. */
  notCurrent(): string[] {
    return this.watches.filter(({ status }) => status.is !== "current").map(({ resource }) => resource.plural)
  }

  private read(resource: Resource): void {
    const complains = this.watches.some(({ objects }) => !objects.problems()[Symbol.iterator]().next().done)
    if (complains || this.reported.size > 0) this.review()
    this.options.onRead?.(resource)
  }

  private review(): void {
    if (this.watches.every(({ settled }) => settled)) this.store.markSynced()
    const now = this.problems()
    const texts = new Set(now.map(textOf))
    const before = this.reported
    this.reported = texts
    for (const problem of now) if (!before.has(textOf(problem))) this.options.onProblem?.(problem)
    if (before.size > 0 && now.length === 0) this.options.onResolved?.()
  }

  private problemsOf({ status, resource }: ResourceWatch): Problem[] {
    if (status.is !== "failing") return []
    const { error, verb, times } = status
    const where = `the Kubernetes API at ${this.api.server}`
    const reason = error instanceof Error ? error.message : String(error)
    const answer = error instanceof KubeError ? error.status : 0
    if (answer === 403) return [{ where, message: refusedText(resource, verb, reason) }]
    if (answer === 401) {
      const message = `does not accept our credentials (${reason}); the last state stays in force`
      return [{ where, message }]
    }
    if (times < REPORTED_FAILURES) return []
    if (answer === 0)
      return [{ where, message: `cannot be reached (${reason}); the last state stays in force` }]
    if (answer === 404) {
      const message = `serves no ${resource.apiVersion} ${resource.plural}; without them ${resource.without}`
      return [{ where, message }]
    }
    const message = `cannot ${verb} ${nameOf(resource)} (${answer}: ${reason}); their last state stays in force`
    return [{ where, message }]
  }

  /** At most MAX_LISTS lists at a time. */
  private async turn(signal: AbortSignal): Promise<() => void> {
    while (this.lists >= MAX_LISTS && !signal.aborted) {
      await new Promise<void>(resolve => this.waiting.push(resolve))
    }
    signal.throwIfAborted()
    this.lists++
    return () => {
      this.lists--
      this.waiting.shift()?.()
    }
  }
}

function refusedText(resource: Resource, verb: string, reason: string): string {
  return (
    `does not let us ${verb} ${nameOf(resource)} (${reason}); without it ${resource.without}; ` +
    `grant get, list and watch on it to the service account, as the ClusterRole of conduit install does`
  )
}

function nameOf({ apiVersion, plural }: Resource): string {
  const [group, version] = apiVersion.split("/")
  return version === undefined ? plural : `${plural}.${group}`
}

function textOf({ where, message }: Problem): string {
  return `${where}: ${message}`
}

function timer(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve()
    const end = (): void => {
      clearTimeout(waiting)
      signal.removeEventListener("abort", end)
      resolve()
    }
    const waiting = setTimeout(end, ms)
    signal.addEventListener("abort", end)
  })
}
