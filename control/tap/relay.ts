// One tap: watches of the proxies of a selection, which follows the cluster, merged into one bounded stream.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import type {
  ResourceSelector,
  TapEventSchema,
  TapRequest,
  TapResponseSchema,
  tapV1,
} from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { resourceKey, resourcesOfPod, select } from "../resources/mod.ts"
import type { MeshNames } from "../tls/mod.ts"
import { Peers } from "./peers.ts"
import { ProxyWatch } from "./proxy_watch.ts"
import { checkTap, DEFAULT_TAP_RPS, watchRequest } from "./request.ts"

/** Proxies of one tap at most: beyond it a selection is too wide to be read, and each is a connection. */
export const MAX_TAP_PROXIES = 100

/** Events that may wait for the caller; beyond it requests are left out, and counted as dropped. */
export const MAX_WAITING_EVENTS = 20_000

/** Requests whose end is waited for at most; the oldest is forgotten. */
export const MAX_OPEN_REQUESTS = 20_000

/** How often the selection is looked at again, milliseconds. */
export const RESELECT_MS = 1_000

/** Reasons why proxies cannot be heard that are told, of how many there may be. */
export const MAX_TOLD_FAILURES = 10

/** How long the first answers of proxies are waited for, milliseconds, before callers hear who is heard. */
const SETTLE_MS = 2_000

/** Events of one message at most. */
const MAX_EVENTS_PER_MESSAGE = 1_000

type Event = MessageInitShape<typeof TapEventSchema>

/** What a tap works with. */
export interface RelayParts {
  readonly store: ClusterStore
  readonly names?: MeshNames | undefined
  /** Way to a pod's proxy. @throws ConnectError where there is none yet */
  readonly transportTo: (pod: PodRecord) => () => Transport
  /** Monotonic clock, milliseconds. */
  readonly nowMs: () => number
}

/** What became of a tap, for the audit log. */
export interface TapSummary {
  told: number
  limited: number
  dropped: number
  proxies: number
}

/**
 * Tells of requests until the signal, or `max` of them have ended.
 *
 * @throws ConnectError InvalidArgument for a request that cannot be, NotFound for what cannot be selected, FailedPrecondition
 *   where no pod of it carries a proxy
 */
export async function* relay(
  request: TapRequest,
  parts: RelayParts,
  signal: AbortSignal,
  summary: TapSummary,
): AsyncGenerator<MessageInitShape<typeof TapResponseSchema>> {
  checkTap(request)
  const tap = new RelayedTap(request, parts, summary)
  signal.addEventListener("abort", () => tap.stop(), { once: true })
  try {
    tap.reselect()
    if (tap.isEmpty)
      throw new ConnectError(
        tap.unmeshed === 0
          ? "the selection has no pods"
          : `none of the ${tap.unmeshed} pods of the selection carries a proxy: conduit inject adds it`,
        Code.FailedPrecondition,
      )
    yield* tap.messages()
  } finally {
    tap.stop()
  }
}

/** The state of one tap. */
class RelayedTap {
  unmeshed = 0
  private readonly request: TapRequest
  private readonly parts: RelayParts
  private readonly summary: TapSummary
  private readonly peers: Peers
  private readonly sinceMs: number
  private readonly watches = new Map<string, ProxyWatch>()
  /** Counts of watches that are over. */
  private limitedBefore = 0n
  private droppedBefore = 0n
  private leftOut = 0
  private peersKey = ""
  private waiting: Event[] = []
  private stateChanged = false
  private stopped = false
  private wake: () => void = () => {}
  private readonly timer: ReturnType<typeof setInterval>
  /** Requests of which the beginning was told, in its order. */
  private readonly open = new Set<string>()
  private ended = 0
  private secondMs = Number.NEGATIVE_INFINITY
  private thisSecond = 0

  constructor(request: TapRequest, parts: RelayParts, summary: TapSummary) {
    this.request = request
    this.parts = parts
    this.summary = summary
    this.sinceMs = parts.nowMs()
    this.peers = new Peers(parts.store, parts.names, parts.nowMs)
    this.timer = setInterval(() => this.reselectAgain(), RESELECT_MS)
  }

  get isEmpty(): boolean {
    return this.watches.size === 0
  }

  stop(): void {
    this.stopped = true
    clearInterval(this.timer)
    for (const watch of this.watches.values()) watch.stop()
    this.wake()
  }

  /** Watches the proxies that are of the selection now, and no others. */
  reselect(): void {
    const { store, transportTo } = this.parts
    const { target, from, to } = this.request
    const pods = podsOf(store, target, "target").filter(pod => pod.ips.length > 0)
    const meshed = pods.filter(pod => pod.meshed)
    const asked = meshed.slice(0, MAX_TAP_PROXIES)
    const other = from ?? to
    const addresses =
      other === undefined
        ? null
        : podsOf(store, other, from === undefined ? "to" : "from").flatMap(pod => [...pod.ips])
    const match = watchRequest(this.request, addresses)
    const peersKey = addresses?.join(" ") ?? ""
    const unmeshed = pods.length - meshed.length
    const leftOut = meshed.length - asked.length
    if (unmeshed !== this.unmeshed || leftOut !== this.leftOut) this.watchChanged()
    this.unmeshed = unmeshed
    this.leftOut = leftOut
    const wanted = new Set<string>()
    for (const pod of asked) {
      // Another pod of the same name has another address.
      const key = `${pod.namespace}/${pod.name} ${pod.ips[0]}`
      wanted.add(key)
      const watch = this.watches.get(key)
      if (watch === undefined)
        this.watches.set(
          key,
          new ProxyWatch(pod, match, transportTo(pod), {
            heard: (from, message) => this.take(from, message),
            changed: () => this.watchChanged(),
          }),
        )
      else if (peersKey !== this.peersKey) watch.replace(match)
    }
    this.peersKey = peersKey
    for (const [key, watch] of this.watches) {
      if (wanted.has(key)) continue
      watch.stop()
      this.limitedBefore += watch.limited
      this.droppedBefore += watch.dropped
      this.watches.delete(key)
      this.watchChanged()
    }
  }

  /** What was heard, as it is heard; ends after `max` requests. */
  async *messages(): AsyncGenerator<MessageInitShape<typeof TapResponseSchema>> {
    const { max } = this.request
    while (!this.stopped || this.waiting.length > 0) {
      if (this.waiting.length === 0 && !this.stateChanged) {
        await new Promise<void>(resolve => {
          this.wake = resolve
        })
        continue
      }
      const events = this.waiting.splice(0, MAX_EVENTS_PER_MESSAGE)
      this.stateChanged = false
      let until = events.length
      if (max > 0) {
        for (let i = 0; i < events.length; i++) {
          if (isLast(events[i]?.moment?.case) && ++this.ended === max) {
            until = i + 1
            break
          }
        }
      }
      yield { events: events.slice(0, until), state: this.state() }
      if (max > 0 && this.ended >= max) return
    }
  }

  private state(): NonNullable<MessageInitShape<typeof TapResponseSchema>["state"]> {
    const watches = [...this.watches.values()]
    const proxies = watches.filter(watch => watch.listening).length
    const limited = watches.reduce((sum, watch) => sum + watch.limited, this.limitedBefore)
    const dropped = watches.reduce((sum, watch) => sum + watch.dropped, this.droppedBefore)
    const { summary } = this
    summary.limited = Number(limited)
    summary.dropped = Number(dropped)
    summary.proxies = Math.max(summary.proxies, proxies)
    const failures = watches
      .filter(({ failure }) => failure !== "")
      .slice(0, MAX_TOLD_FAILURES)
      .map(({ pod, failure }) => `${pod.namespace}/${pod.name}: ${failure}`)
    return { proxies, unmeshed: this.unmeshed, leftOut: this.leftOut, limited, dropped, failures }
  }

  private reselectAgain(): void {
    try {
      this.reselect()
    } catch (error) {
      // What was selected is gone for now; a rollout may bring it back.
      if (!(error instanceof ConnectError)) throw error
    }
  }

  /** Callers hear of the proxies once all have answered, or after a moment, rather than of one after the other. */
  private watchChanged(): void {
    const isSettled = [...this.watches.values()].every(
      ({ listening, failure }) => listening || failure !== "",
    )
    if (isSettled || this.parts.nowMs() - this.sinceMs > SETTLE_MS) this.change()
  }

  private change(): void {
    this.stateChanged = true
    this.wake()
  }

  private take({ pod }: ProxyWatch, { events }: tapV1.WatchResponse): void {
    for (const { id, moment } of events) {
      const key = `${pod.namespace}/${pod.name}/${id}`
      if (moment.case === "begun" || moment.case === "opened") this.begin(pod, key, moment)
      else if (this.open.has(key)) {
        if (isLast(moment.case)) this.open.delete(key)
        this.waiting.push({ id: key, moment })
      }
    }
    if (events.length > 0) this.change()
    else this.watchChanged()
  }

  private begin(pod: PodRecord, key: string, moment: First): void {
    const now = this.parts.nowMs()
    if (now - this.secondMs >= 1000) {
      this.secondMs = now
      this.thisSecond = 0
    }
    const { maxRps } = this.request
    if (this.thisSecond >= (maxRps === 0 ? DEFAULT_TAP_RPS : maxRps)) {
      this.limitedBefore++
      return
    }
    if (this.waiting.length >= MAX_WAITING_EVENTS) {
      this.droppedBefore++
      return
    }
    this.thisSecond++
    this.summary.told++
    this.open.add(key)
    if (this.open.size > MAX_OPEN_REQUESTS) {
      const [oldest] = this.open
      if (oldest !== undefined) this.open.delete(oldest)
    }
    this.waiting.push({ id: key, moment: this.named(pod, moment) })
  }

  /** The first moment, with what stands behind its addresses. */
  private named(pod: PodRecord, moment: First): NonNullable<Event["moment"]> {
    const { inbound, client, clientId, server, serverId, tls } = moment.value
    const { peers } = this
    const secured = tls === "true"
    const ends = {
      client: inbound ? peers.at(client, clientId) : peers.self(pod, client, secured),
      server: inbound ? peers.self(pod, server, secured) : peers.at(server, serverId),
    }
    if (moment.case === "opened") {
      const { $typeName: _, $unknown: __, clientId: ___, serverId: ____, ...rest } = moment.value
      return { case: "opened", value: { ...rest, ...ends } }
    }
    const { $typeName: _, $unknown: __, clientId: ___, serverId: ____, ...rest } = moment.value
    return { case: "begun", value: { ...rest, ...ends } }
  }
}

/** The first moment of a request, or of a raw connection. */
type First = Extract<tapV1.Event["moment"], { case: "begun" | "opened" }>

/** Whether a request, or a raw connection, is over with this moment. */
function isLast(moment: string | undefined): boolean {
  return moment === "ended" || moment === "closed"
}

function podsOf(store: ClusterStore, selector: ResourceSelector | undefined, field: string): PodRecord[] {
  const selection = select(store, selector, field)
  return [...store.pods()].filter(
    pod =>
      !pod.finished &&
      resourcesOfPod(store, pod, selection.kind).some(resource =>
        selection.resources.has(resourceKey(resource)),
      ),
  )
}
