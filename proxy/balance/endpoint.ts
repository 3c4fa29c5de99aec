// One address that serves, with the load that this proxy sees on it. Lives as long as discovery names it, whatever
// else about it changes, so that load, pools and metrics are never forgotten by an update.
import type { CircuitBreaker } from "./circuit_breaker.ts"
import { FIRST_GUESS_MS, PeakEwma } from "./peak_ewma.ts"
import { hashOf } from "./rendezvous.ts"

/** First pause of an endpoint that could not be connected to. */
export const CONNECT_BACKOFF_MIN_MS = 100

/** Longest pause of an endpoint that could not be connected to: how late a revived one is noticed, at worst. */
export const CONNECT_BACKOFF_MAX_MS = 10_000

/** Share by which a pause is lengthened at random, so that proxies do not come back in step. */
export const CONNECT_BACKOFF_JITTER = 0.5

/** To be detected. One of how bytes on an endpoint's port are understood: numbers of `conduit.destination.v1.Protocol`. */
export const PROTOCOL_DETECT = 0
/** HTTP/1.x. */
export const PROTOCOL_HTTP1 = 1
/** HTTP/2 without TLS. */
export const PROTOCOL_HTTP2 = 2
/** Bytes, not looked at. */
export const PROTOCOL_TCP = 3
/** The application's own TLS, not looked into. */
export const PROTOCOL_TLS = 4

/** What the control plane knows about the pod behind an address. Empty strings where nothing is known. */
export interface EndpointInfo {
  /** Share of traffic relative to others of the set; 0 drains. */
  readonly weight: number
  /** Zone of the node. */
  readonly zone: string
  /** Zones whose proxies it comes first for where zones matter; empty: `zone`. */
  readonly forZones: readonly string[]
  /** Nodes whose proxies it comes first for, before any zone; empty: none. */
  readonly forNodes: readonly string[]
  /** Name that the pod's proxy proves in mutual TLS. */
  readonly identity: string
  /** One of the `PROTOCOL_` constants. */
  readonly protocol: number
  readonly namespace: string
  readonly pod: string
  /** `deployment`, `statefulset`, ... */
  readonly workloadKind: string
  readonly workload: string
  /** Whether the pod carries a proxy. */
  readonly meshed: boolean
  readonly serviceAccount: string
  /** Whether it is the proxy's own pod: what goes there never leaves the pod, and passes no proxy on its way in. */
  readonly itself: boolean
}

/** No hint. */
export const NO_HINTS: readonly string[] = []

/** Of an address that the control plane told nothing about. */
export const UNKNOWN_ENDPOINT: EndpointInfo = {
  weight: 1,
  zone: "",
  forZones: NO_HINTS,
  forNodes: NO_HINTS,
  identity: "",
  protocol: PROTOCOL_DETECT,
  namespace: "",
  pod: "",
  workloadKind: "",
  workload: "",
  meshed: false,
  serviceAccount: "",
  itself: false,
}

/** One address that serves. */
export class Endpoint {
  /** Text form, as `dial` takes it. */
  readonly address: string
  readonly port: number
  /** Replaced by updates. */
  info: EndpointInfo
  /** Requests or connections in flight. */
  pending = 0
  /** It is known to be no part of the cluster. */
  outside = false
  /** No longer named by discovery: work that runs goes on, nothing new is sent. */
  removed = false
  /** Leaves it out after failures; null where nothing asks for that. */
  breaker: CircuitBreaker | null = null
  /** Connection pool of the HTTP/1 engine, which narrows it. */
  http1: unknown = null
  /** Connections of the HTTP/2 engine, which narrows it. */
  http2: unknown = null
  /** Metric series of this endpoint; belongs to telemetry. */
  series: unknown = null
  /** Called once when discovery drops the endpoint; engines close idle connections. */
  readonly onRemoved: (() => void)[] = []
  /** Latency to the response head, seen by this proxy. */
  readonly latency: PeakEwma
  /** Reading of the clock when it joined others; long ago for those that were there from the begin. */
  joinedMs = Number.NEGATIVE_INFINITY
  /** Of address, port and pod: the same in every proxy. */
  readonly hash: number
  /** Another one, for 64 bits in all. */
  readonly secondHash: number
  /** Connects that failed since the last one that worked. */
  connectFailures = 0
  /** Not picked before this reading of the clock, unless all others are aside too. */
  asideUntilMs = Number.NEGATIVE_INFINITY

  /** @param nowMs  monotonic clock reading */
  constructor(
    address: string,
    port: number,
    info: EndpointInfo = UNKNOWN_ENDPOINT,
    nowMs = 0,
    firstGuessMs: number = FIRST_GUESS_MS,
  ) {
    this.address = address
    this.port = port
    this.info = info
    this.latency = new PeakEwma(nowMs, firstGuessMs)
    const name = `${address}|${port}|${info.namespace}/${info.pod}`
    this.hash = hashOf(name)
    this.secondHash = hashOf(`${name}|`)
  }

  /** Cost of one more request: expected latency times those in flight with it, milliseconds. */
  cost(nowMs: number): number {
    return this.latency.valueAt(nowMs) * (this.pending + 1)
  }

  /**
   * A connect failed: the endpoint steps aside for a pause that doubles each time.
   *
   * @param random  0 to 1
   */
  connectFailed(nowMs: number, random: number): void {
    const doubled = CONNECT_BACKOFF_MIN_MS * 2 ** Math.min(this.connectFailures, 20)
    const pause = Math.min(CONNECT_BACKOFF_MAX_MS, doubled) * (1 + CONNECT_BACKOFF_JITTER * random)
    this.connectFailures++
    this.asideUntilMs = nowMs + Math.min(CONNECT_BACKOFF_MAX_MS, pause)
  }

  /** It answered: back to where it was before any connect failed. */
  connected(): void {
    this.connectFailures = 0
    this.asideUntilMs = Number.NEGATIVE_INFINITY
  }

  /** Discovery dropped the address. Callbacks run once. */
  remove(): void {
    if (this.removed) return
    this.removed = true
    this.breaker?.retire()
    this.breaker = null
    for (const callback of this.onRemoved) callback()
    this.onRemoved.length = 0
  }
}
