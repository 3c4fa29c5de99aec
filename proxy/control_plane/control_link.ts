// Keeps one gRPC stream to a service of the control plane open for life: resolves, dials, and comes back after a
// jittered pause whenever it broke. Who owns it is told of every new stream and sends its state again.

import type { Logger } from "../log.ts"
import {
  type Clock,
  type Conn,
  type ConnHandler,
  callbackTimer,
  parseAddress,
  type Timer,
  type TimerWheel,
} from "../net/mod.ts"
import { GrpcStream } from "./grpc_stream.ts"
import type { FieldTable } from "./http2_wire.ts"

/** First pause before another attempt. */
export const RECONNECT_MIN_MS = 100

/** Longest pause: how late a control plane that came back is noticed, at worst. */
export const RECONNECT_MAX_MS = 10_000

/** Pauses vary by this share at random either way: a control plane that restarts is not met by all proxies at once. */
export const RECONNECT_JITTER = 0.5

/** Longest pause while news are missed: endpoints are gone that were there when the stream broke. */
export const RECONNECT_HURRIED_MS = 500

/** A stream that lived this long was a success: the next pause is the shortest again. */
export const STABLE_AFTER_MS = 2000

/** Connect timeout to the control plane. */
const CONNECT_TIMEOUT_MS = 2000

/** Connections and their ends, for metrics. */
export interface LinkCounts {
  /** Attempts begun. */
  attempted: number
  /** Streams opened. */
  opened: number
  /** Attempts and streams that failed. */
  failed: number
  /** Messages received. */
  received: number
  /** Messages sent. */
  sent: number
}

/** What happens on a link. */
export interface ControlLinkHandler {
  /** A new stream is up: nothing said on earlier ones holds. */
  onOpen(): void
  onMessage(message: Uint8Array): void
  /** The stream broke, or an attempt failed; another follows by itself. */
  onDown(reason: string): void
}

/** A stream that comes back, as its owner sees it. */
export interface Link {
  /** Whether a stream is up now. */
  readonly up: boolean
  /** Bytes sent that the peer has not made room for. */
  readonly queuedBytes: number
  readonly counts: Readonly<LinkCounts>
  /** Begins to connect. */
  start(): void
  /** News are missed: an attempt that is waited for comes `RECONNECT_HURRIED_MS` after the last one, if not sooner. */
  hurry(): void
  /** Ends the stream and does not come back. */
  stop(): void
  /** Says that nothing more will be sent, so that the server can end the stream, then does not come back. */
  finish(): void
  /**
   * Sends a message on the stream that is up; without one it is dropped, as `onOpen` will have all said again.
   *
   * @param last  nothing more will be sent on this stream
   */
  send(message: Uint8Array, last?: boolean): void
}

/** The service that a link goes to. */
export interface LinkTarget {
  /** Name of the service, for the log: `destination`. */
  readonly name: string
  /** `host:port`; a name is resolved anew for every attempt. */
  readonly address: string
  /** `/package.Service/Method`. */
  readonly path: string
}

/** Makes links; one for all services of the control plane. */
export type OpenLink = (handler: ControlLinkHandler, target: LinkTarget) => Link

/**
 * Connects to a service of the control plane.
 *
 * @param address  an IP address as text
 * @param serviceAccount  the one that the service runs as, for where it has to prove that
 */
export type ControlDial = (
  address: string,
  port: number,
  handler: ConnHandler,
  connectTimeoutMs: number,
  serviceAccount: string,
) => Conn

/** Host and port of `host:port` or `[ip]:port`. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":")
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(address.slice(colon + 1)) }
}

/**
 * The service account of the control plane's service at an address: services bear its name, so it is the first label of
 * the host; an address tells nothing, and `name` is that of the service.
 */
export function serviceAccountOf(address: string, name: string): string {
  const { host } = splitAddress(address)
  return parseAddress(host) === null ? host.split(".", 1).join() : `conduit-${name}`
}

/** Parts and settings of a link. */
export interface ControlLinkOptions extends LinkTarget {
  readonly userAgent: string
  readonly clock: Clock
  readonly timers: TimerWheel
  readonly fields: FieldTable
  readonly log: Logger
  /** Uniform, 0 to 1. */
  readonly random: () => number
  readonly dial: ControlDial
  /** Addresses of a name, best first; rejects when there are none. */
  readonly resolve: (host: string) => Promise<readonly string[]>
}

/** A stream that comes back. */
export class ControlLink implements Link {
  readonly counts: LinkCounts = { attempted: 0, opened: 0, failed: 0, received: 0, sent: 0 }
  private readonly options: ControlLinkOptions
  private readonly handler: ControlLinkHandler
  private readonly host: string
  private readonly port: number
  private readonly timer: Timer
  private stream: GrpcStream | null = null
  private isUp = false
  private stopped = true
  private attempts = 0
  private openedMs = 0
  /** When the attempt that is waited for comes, if it is hurried. */
  private hurriedAtMs = 0
  private lastReason = ""

  constructor(handler: ControlLinkHandler, options: ControlLinkOptions) {
    this.handler = handler
    this.options = options
    const { host, port } = splitAddress(options.address)
    this.host = host
    this.port = port
    this.timer = callbackTimer(() => void this.attempt())
  }

  get up(): boolean {
    return this.isUp
  }

  get queuedBytes(): number {
    return this.stream?.queuedBytes ?? 0
  }

  start(): void {
    if (!this.stopped) return
    this.stopped = false
    void this.attempt()
  }

  hurry(): void {
    const { clock, timers } = this.options
    if (this.timer.scheduled) timers.schedule(this.timer, this.hurriedAtMs - clock.nowMs)
  }

  stop(): void {
    this.stopped = true
    this.options.timers.cancel(this.timer)
    this.stream?.abort()
  }

  finish(): void {
    this.stopped = true
    this.options.timers.cancel(this.timer)
    this.stream?.finish()
  }

  send(message: Uint8Array, last = false): void {
    if (!this.isUp || this.stream === null) return
    this.counts.sent++
    this.stream.send(message)
    if (last) this.stream.finish()
  }

  private async attempt(): Promise<void> {
    const { clock, timers, fields, dial, random, resolve, path, userAgent } = this.options
    this.counts.attempted++
    let addresses: readonly string[]
    try {
      addresses = await resolve(this.host)
    } catch (error) {
      this.down(
        `${this.host} could not be resolved: ${error instanceof Error ? error.message : String(error)}`,
      )
      return
    }
    if (this.stopped) return
    const address = addresses[Math.floor(random() * addresses.length)]
    if (address === undefined) {
      this.down(`${this.host} has no address`)
      return
    }
    const stream = new GrpcStream(
      {
        onOpen: () => this.opened(),
        onMessage: message => this.message(message),
        onEnd: (_code, reason) => this.ended(stream, reason),
      },
      { authority: this.options.address, path, userAgent, fields, clock, timers },
    )
    this.stream = stream
    const { address: target, name } = this.options
    stream.start(dial(address, this.port, stream, CONNECT_TIMEOUT_MS, serviceAccountOf(target, name)))
  }

  private opened(): void {
    const { name, address, log, clock } = this.options
    this.isUp = true
    this.openedMs = clock.nowMs
    this.counts.opened++
    this.lastReason = ""
    log.info(`connected to ${name}`, { address })
    this.handler.onOpen()
  }

  private message(message: Uint8Array): void {
    this.counts.received++
    this.handler.onMessage(message)
  }

  private ended(stream: GrpcStream, reason: string): void {
    if (this.stream !== stream) return
    this.stream = null
    if (this.isUp && this.options.clock.nowMs - this.openedMs >= STABLE_AFTER_MS) this.attempts = 0
    this.isUp = false
    this.down(reason)
  }

  private down(reason: string): void {
    if (this.stopped) return
    const { name, address, log, random, timers, clock } = this.options
    this.counts.failed++
    const jitter = 1 + RECONNECT_JITTER * (2 * random() - 1)
    const doubledMs = RECONNECT_MIN_MS * 2 ** Math.min(this.attempts, 16)
    const pauseMs = Math.min(RECONNECT_MAX_MS, Math.min(RECONNECT_MAX_MS, doubledMs) * jitter)
    this.attempts++
    // The same trouble again and again is told once.
    if (reason !== this.lastReason) log.warn(`lost ${name}, trying again`, { address, reason })
    else log.debug(`lost ${name}, trying again`, { address, reason })
    this.lastReason = reason
    this.handler.onDown(reason)
    this.hurriedAtMs = clock.nowMs + Math.min(pauseMs, RECONNECT_HURRIED_MS * jitter)
    timers.schedule(this.timer, pauseMs)
  }
}
