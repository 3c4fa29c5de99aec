// Watches the control plane for what stands behind addresses, and keeps the last answer of every watch for life:
// the control plane may be gone for good.
import { type EndpointUpdate, Standpoint } from "../balance/mod.ts"
import type { ControlLinkHandler, Link, OpenLink } from "../control_plane/mod.ts"
import type { Logger } from "../log.ts"
import { type Clock, callbackTimer, type Timer, type TimerWheel } from "../net/mod.ts"
import { Destination } from "./destination.ts"
import { InboundPort } from "./inbound_port.ts"
import {
  decodeAnswer,
  encodeHello,
  encodeSubscribe,
  encodeUnsubscribe,
  type ProxyIdentity,
  type WatchAnswer,
  type WatchTarget,
  type WatchUpdate,
} from "./watch_codec.ts"

/**
 * Watches kept at most. A workload calls tens of services; a scanner or crawler meets thousands of outside
 * addresses. At the cap, the outside address unused for longest goes first, services last.
 */
export const MAX_WATCHES = 4096

/** How long a connection waits for the first answer about its address while the control plane is reachable, or was
 * never reached: at the start of a pod both come up together. */
export const LOOKUP_TIMEOUT_MS = 2000

/** The same once the control plane has been lost: it will hardly answer in time. */
export const LOOKUP_TIMEOUT_LOST_MS = 250

/** Path of the method. */
const WATCH_PATH = "/conduit.destination.v1.DestinationService/Watch"

/** Parts and settings of discovery. */
export interface DiscoveryOptions {
  readonly openLink: OpenLink
  /** `host:port` of the destination service. */
  readonly address: string
  readonly clock: Clock
  readonly timers: TimerWheel
  readonly log: Logger
  /** Uniform, 0 to 1. Default: Math.random. */
  readonly random?: () => number
  readonly identity: ProxyIdentity
  /** A port of the pod to ask about at the start, so that the first answer shows that the control plane serves. */
  readonly probePort: number
}

interface Watch {
  readonly id: number
  readonly target: WatchTarget
  readonly subject: Destination | InboundPort
  version: string
}

/** What stands behind addresses. */
export class Discovery implements ControlLinkHandler {
  /** An answer came, now or earlier: the control plane knows its cluster. */
  answered = false
  readonly link: Link
  private readonly identity: ProxyIdentity
  private readonly clock: Clock
  private readonly timers: TimerWheel
  private readonly log: Logger
  private readonly random: () => number
  private readonly standpoint: Standpoint
  private readonly byTarget = new Map<string, Watch>()
  private readonly byId = new Map<number, Watch>()
  private readonly patience: Timer
  private nextId = 1
  private lost = false

  constructor(options: DiscoveryOptions) {
    this.identity = options.identity
    this.clock = options.clock
    this.timers = options.timers
    this.log = options.log
    this.random = options.random ?? Math.random
    this.standpoint = new Standpoint(options.identity.pod, options.identity.node)
    this.patience = callbackTimer(() => this.checkPatience())
    this.link = options.openLink(this, { name: "destination", address: options.address, path: WATCH_PATH })
    this.inboundPort(options.probePort)
  }

  /** Number of watches. */
  get size(): number {
    return this.byTarget.size
  }

  /** Begins to connect. */
  start(): void {
    this.link.start()
  }

  /** Closes the stream; the last answers stay usable. */
  stop(): void {
    this.link.stop()
    this.timers.cancel(this.patience)
  }

  /**
   * What stands behind an address. Known addresses answer at once; for a new one the result is `pending`: use its
   * `whenKnown`, which calls back within `LOOKUP_TIMEOUT_MS` at the latest.
   *
   * @param address  an IP address as text
   */
  lookup(address: string, port: number): Destination {
    const known = this.byTarget.get(keyOf(address, port))
    if (known !== undefined) {
      // Keys of outbound targets hold Destinations.
      const destination = known.subject as Destination
      destination.usedMs = this.clock.nowMs
      return destination
    }
    if (this.byTarget.size >= MAX_WATCHES) this.evict()
    const destination = new Destination(address, port, this.random, this.clock.nowMs, this.standpoint)
    this.link.hurry()
    this.add({ address, port }, destination)
    if (!this.patience.scheduled) this.timers.schedule(this.patience, this.patienceMs)
    return destination
  }

  /** How a port of the pod behaves; updated in place. */
  inboundPort(port: number): InboundPort {
    const known = this.byTarget.get(keyOf("", port))
    // Keys of inbound targets hold InboundPorts.
    if (known !== undefined) return known.subject as InboundPort
    const subject = new InboundPort(port)
    this.add({ address: "", port }, subject)
    return subject
  }

  /** What is known of destinations, JSON: `{connected, destinations: [{address, port, kind, service, ageMs, endpoints}]}`. */
  describe(): string {
    const now = this.clock.nowMs
    const destinations = [...this.destinations()].map(
      ({ address, port, kind, service, answeredMs, endpoints }) => ({
        address,
        port,
        kind,
        service:
          service === null ? null : { namespace: service.namespace, name: service.name, port: service.port },
        ageMs: Number.isNaN(answeredMs) ? null : Math.round(now - answeredMs),
        endpoints: [...(endpoints?.endpoints() ?? [])].map(({ address: ip, port: at, info }) => ({
          address: ip,
          port: at,
          pod: info.pod,
        })),
      }),
    )
    return JSON.stringify({ connected: this.answered && !this.lost, destinations })
  }

  /** All outbound destinations, for diagnostics. */
  *destinations(): Generator<Destination> {
    for (const { subject } of this.byTarget.values()) if (subject instanceof Destination) yield subject
  }

  onOpen(): void {
    this.lost = false
    this.link.send(encodeHello(this.identity))
    for (const watch of this.byId.values()) this.subscribe(watch)
  }

  onDown(_reason: string): void {
    if (this.answered) this.lost = true
  }

  onMessage(message: Uint8Array): void {
    let answer: WatchAnswer
    try {
      answer = decodeAnswer(message)
    } catch (error) {
      this.log.error("an answer of destination could not be read and was ignored", { error: String(error) })
      return
    }
    const watch = this.byId.get(answer.watchId)
    // Of a watch that ended meanwhile.
    if (watch === undefined) return
    this.answered = true
    if (answer.update.kind === "unknown") return
    watch.version = answer.version
    if (watch.subject instanceof Destination) this.applyOutbound(watch.subject, answer.update)
    else if (answer.update.kind === "inbound") {
      watch.subject.protocol = answer.update.protocol
      this.standpoint.zone = answer.update.zone
    }
  }

  private applyOutbound(destination: Destination, update: WatchUpdate): void {
    const now = this.clock.nowMs
    destination.answeredMs = now
    switch (update.kind) {
      case "service":
        destination.setService(
          update.service,
          this.seen(update.endpoints),
          now,
          update.routes,
          update.backends.map(backend => ({ ...backend, endpoints: this.seen(backend.endpoints) })),
        )
        break
      case "endpoint":
        destination.setEndpoint(update.info)
        break
      case "external":
        destination.setExternal()
        break
      case "delta":
        destination.updateEndpoints(update.removed, this.seen(update.added), now)
        for (const { backend, removed, added } of update.backends) {
          destination.routes?.updateBackend(backend, removed, this.seen(added), now)
        }
        break
    }
  }

  /** Endpoints as this pod sees them: of itself it asks no proof, since no proxy stands before loopback. */
  private seen(endpoints: readonly EndpointUpdate[]): readonly EndpointUpdate[] {
    const { namespace, pod } = this.identity
    const own = ({ info }: EndpointUpdate) => info.pod === pod && info.namespace === namespace
    if (!endpoints.some(own)) return endpoints
    return endpoints.map(one =>
      own(one) ? { ...one, info: { ...one.info, identity: "", itself: true } } : one,
    )
  }

  private add(target: WatchTarget, subject: Destination | InboundPort): void {
    const watch: Watch = { id: this.nextId++, target, subject, version: "" }
    this.byTarget.set(keyOf(target.address, target.port), watch)
    this.byId.set(watch.id, watch)
    if (this.link.up) this.subscribe(watch)
  }

  private subscribe(watch: Watch): void {
    this.link.send(encodeSubscribe(watch.id, watch.target, watch.version))
  }

  private get patienceMs(): number {
    return this.lost ? LOOKUP_TIMEOUT_LOST_MS : LOOKUP_TIMEOUT_MS
  }

  /** Gives up on what has been pending for too long; comes back while anything still pends. */
  private checkPatience(): void {
    let next = Number.POSITIVE_INFINITY
    const now = this.clock.nowMs
    for (const { subject } of this.byTarget.values()) {
      if (!(subject instanceof Destination) || subject.known || subject.waived) continue
      const left = subject.createdMs + this.patienceMs - now
      if (left <= 0) {
        this.log.warn("no answer about an address; forwarding as it came", {
          address: subject.address,
          port: subject.port,
        })
        subject.giveUp()
      } else if (left < next) next = left
    }
    if (next !== Number.POSITIVE_INFINITY) this.timers.schedule(this.patience, next)
  }

  /** Makes room: the outside address unused for longest, else the pod's, else the service. Holders keep theirs. */
  private evict(): void {
    let victim: Watch | null = null
    let victimRank = Number.POSITIVE_INFINITY
    for (const watch of this.byTarget.values()) {
      const { subject } = watch
      if (!(subject instanceof Destination) || subject.awaited) continue
      const rank =
        (subject.kind === "service" ? 2e15 : subject.kind === "endpoint" ? 1e15 : 0) + subject.usedMs
      if (rank < victimRank) {
        victim = watch
        victimRank = rank
      }
    }
    if (victim === null) return
    this.byTarget.delete(keyOf(victim.target.address, victim.target.port))
    this.byId.delete(victim.id)
    this.link.send(encodeUnsubscribe(victim.id))
  }
}

function keyOf(address: string, port: number): string {
  return `${address}|${port}`
}
