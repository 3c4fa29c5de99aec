// Keeps one kind of objects current: a paged list, then watches that resume where the last one ended; a new list only
// when the server no longer knows that place (https://kubernetes.io/docs/reference/using-api/api-concepts/).
import { type KubeApi, KubeError, type WatchEvent } from "../../deploy/kubernetes/mod.ts"
import type { ClusterChange } from "../cluster/mod.ts"
import { ObjectSet, versionOf } from "./object_set.ts"
import type { Resource } from "./resources.ts"

/** Objects per page of a list: 500, as kubectl and client-go ask for. */
export const PAGE_SIZE = 500
/** Most pages of one list: a server that goes on forever is not followed. */
export const MAX_PAGES = 10_000
/** A watch ends after this long at the server, up to twice as long: spread, so that watches do not end together. */
export const WATCH_SECONDS = 300
/** The server sends a bookmark a minute: a connection that is silent for longer than two is dead. */
export const WATCH_SILENCE_MS = 150_000
/** First pause after a failure; doubled by each further one. */
export const FIRST_PAUSE_MS = 500
/** Longest pause after failures. */
export const MAX_PAUSE_MS = 10_000
/** A kind that is not there is asked for again this often. */
export const ABSENT_PAUSE_MS = 10_000
/** A watch that a server ends sooner than this, without an event, counts as failed. */
export const SHORT_WATCH_MS = 1_000
/** A place in the history that was refused this often without saying that it is too old is given up all the same. */
export const MAX_RESUMES = 3

/** What a watch of one kind needs. */
export interface ResourceWatchOptions {
  readonly api: KubeApi
  readonly resource: Resource
  /** Takes changes, in order. */
  readonly apply: (changes: readonly ClusterChange[]) => void
  /** Called after objects were read, whether or not anything of them changed what is kept. */
  readonly onRead: () => void
  /** Called whenever `status` changed. */
  readonly onStatus: () => void
  /** Waits for a turn to list, so that not all kinds list at once; returns what ends the turn. */
  readonly turn: (signal: AbortSignal) => Promise<() => void>
  /** Random number from 0 to 1. */
  readonly random: () => number
  /** Monotonic clock. */
  readonly nowMs: () => number
  /** Resolves after a while, or when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** Silence after which a connection is dead. */
  readonly silenceMs: number
  /** Pause between questions for a kind that is not there. */
  readonly absentPauseMs: number
}

/** How a kind stands: settled kinds are as known as they can be. */
export type Status =
  | { readonly is: "unread" }
  | { readonly is: "current" }
  | { readonly is: "absent" }
  | {
      readonly is: "failing"
      readonly error: unknown
      readonly verb: "list" | "watch"
      readonly times: number
    }

/** How often a kind did what. */
export interface WatchCounts {
  lists: number
  watches: number
  events: number
  failures: number
}

/** Watches one kind until it is stopped. */
export class ResourceWatch {
  readonly resource: Resource
  readonly objects: ObjectSet
  readonly counts: WatchCounts = { lists: 0, watches: 0, events: 0, failures: 0 }
  /** Whether it was read once, or the server said that it cannot be. */
  settled = false
  private readonly options: ResourceWatchOptions
  private current: Status = { is: "unread" }
  private version = ""
  /** Where the last list was found. */
  private base: string
  private failures = 0
  private absences = 0

  constructor(options: ResourceWatchOptions) {
    this.options = options
    this.resource = options.resource
    this.base = options.resource.bases[0]
    this.objects = new ObjectSet(options.resource)
  }

  /** How it stands. */
  get status(): Status {
    return this.current
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const verb = this.version === "" ? "list" : "watch"
      let pauseMs = 0
      try {
        if (verb === "list") await this.list(signal)
        else pauseMs = await this.watch(signal)
        if (pauseMs === 0) this.succeeded()
      } catch (error) {
        if (signal.aborted) return
        pauseMs = this.failed(error, verb)
      }
      if (pauseMs > 0) await this.options.sleep(pauseMs, signal)
    }
  }

  private succeeded(): void {
    this.absences = 0
    this.settled = true
    this.become({ is: "current" })
  }

  /** @returns how long to pause */
  private failed(error: unknown, verb: "list" | "watch"): number {
    if (error instanceof KubeError) {
      if (verb === "watch" && error.expired) {
        this.version = ""
        return this.pauseMs(this.failures++)
      }
      if (error.status === 404 && this.resource.need === "optional") return this.missing()
    }
    this.counts.failures++
    this.failures++
    // A server that answers, and cannot go on from there: a restored etcd, or a place that it does not understand.
    const answered = error instanceof KubeError && error.status !== 0 && error.status !== 401
    if (verb === "watch" && answered && this.failures >= MAX_RESUMES) this.version = ""
    const refused = error instanceof KubeError && error.status === 403
    if (refused && this.resource.need !== "required") this.settled = true
    this.become({ is: "failing", error, verb, times: this.failures })
    const asked = error instanceof KubeError ? error.retryAfterMs : 0
    return Math.max(asked, this.pauseMs(this.failures - 1))
  }

  /** The kind is not there. What was known of it goes only when the server says so twice: it may be starting. */
  private missing(): number {
    this.version = ""
    this.absences++
    if (this.objects.size > 0 && this.absences < 2) return this.pauseMs(1)
    const changes = this.objects.clear()
    if (changes.length > 0) this.options.apply(changes)
    this.settled = true
    this.failures = 0
    this.become({ is: "absent" })
    return this.options.absentPauseMs * (0.75 + 0.5 * this.options.random())
  }

  private pauseMs(doublings: number): number {
    const pause = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(doublings, 16))
    return pause * (0.5 + 0.5 * this.options.random())
  }

  private become(status: Status): void {
    const same = status.is === this.current.is && status.is !== "failing"
    this.current = status
    if (!same) this.options.onStatus()
  }

  private async list(signal: AbortSignal): Promise<void> {
    const endTurn = await this.options.turn(signal)
    try {
      for (const [index, base] of this.resource.bases.entries()) {
        this.base = base
        try {
          return await this.listHere(signal)
        } catch (error) {
          const isLast = index === this.resource.bases.length - 1
          if (isLast || !(error instanceof KubeError && error.status === 404)) throw error
        }
      }
    } finally {
      endTurn()
    }
  }

  private async listHere(signal: AbortSignal): Promise<void> {
    try {
      await this.pages(`limit=${PAGE_SIZE}`, signal)
    } catch (error) {
      // The list grew too old between two pages: once in one piece, as client-go does.
      if (!(error instanceof KubeError && error.expired)) throw error
      await this.pages("", signal)
    }
  }

  private async pages(limit: string, signal: AbortSignal): Promise<void> {
    this.counts.lists++
    const list = this.objects.beginList()
    let next = ""
    for (let page = 0; page < MAX_PAGES; page++) {
      const answer = (await this.options.api.call({
        path: this.path([limit, next === "" ? "" : `continue=${encodeURIComponent(next)}`]),
        accept: this.accept("PartialObjectMetadataList"),
        signal,
      })) as { items?: unknown; metadata?: { continue?: unknown } } | undefined
      // An empty list's items are null.
      const items = answer?.items ?? []
      if (answer?.metadata === undefined || !Array.isArray(items))
        throw new KubeError("its answer is no list", { status: 200 })
      list.add(items)
      next = typeof answer.metadata?.continue === "string" ? answer.metadata.continue : ""
      if (next !== "") continue
      const version = versionOf(answer)
      if (version === "") throw new KubeError("its list has no resourceVersion")
      this.options.apply(list.finish())
      this.version = version
      this.options.onRead()
      return
    }
    throw new KubeError(`its list has more than ${MAX_PAGES} pages`)
  }

  /** @returns how long to pause: more than 0 when the watch ended at once */
  private async watch(signal: AbortSignal): Promise<number> {
    const { api, nowMs, random, silenceMs } = this.options
    this.counts.watches++
    const seconds = Math.round(WATCH_SECONDS * (1 + random()))
    const begunMs = nowMs()
    const before = this.counts.events
    await api.watch({
      path: this.path([
        "watch=true",
        "allowWatchBookmarks=true",
        `timeoutSeconds=${seconds}`,
        `resourceVersion=${encodeURIComponent(this.version)}`,
      ]),
      accept: this.accept("PartialObjectMetadata"),
      signal,
      silenceMs,
      onOpen: () => this.succeeded(),
      onEvents: events => this.take(events),
    })
    if (this.counts.events > before || nowMs() - begunMs >= SHORT_WATCH_MS) {
      this.failures = 0
      return 0
    }
    this.failures++
    return this.pauseMs(this.failures)
  }

  private take(events: readonly WatchEvent[]): void {
    const changes: ClusterChange[] = []
    try {
      for (const { type, object } of events) {
        this.counts.events++
        if (type === "ADDED" || type === "MODIFIED") this.objects.put(object, changes)
        else if (type === "DELETED") this.objects.remove(object, changes)
        else if (type === "ERROR") {
          // Whatever it is, the watch cannot go on from here.
          this.version = ""
          throw statusError(object)
        }
        this.failures = 0
        this.version = versionOf(object) || this.version
      }
    } finally {
      if (changes.length > 0) this.options.apply(changes)
      this.options.onRead()
    }
  }

  private path(query: readonly string[]): string {
    const { plural, labelSelector } = this.resource
    const selector = labelSelector === "" ? "" : `labelSelector=${encodeURIComponent(labelSelector)}`
    return `${this.base}/${plural}?${[...query, selector].filter(part => part !== "").join("&")}`
  }

  private accept(as: string): string {
    return this.resource.metadataOnly ? `application/json;as=${as};g=meta.k8s.io;v=v1` : "application/json"
  }
}

function statusError(object: unknown): KubeError {
  const { code, reason, message } = (object ?? {}) as { code?: unknown; reason?: unknown; message?: unknown }
  return new KubeError(typeof message === "string" ? message : "the watch failed", {
    status: typeof code === "number" ? code : 500,
    reason: typeof reason === "string" ? reason : "",
  })
}
