// A connection to a server, shared by streams of many clients. Watched by PING while streams are open, closed when
// idle for long, left at once when the server says GOAWAY.

import { REFUSAL_UPSTREAM_MALFORMED } from "../http/mod.ts"
import { CARRIES_HTTP2 } from "../identity/mod.ts"
import { type Conn, type ConnHandler, Timer } from "../net/mod.ts"
import {
  errorName,
  type HeaderField,
  NO_ERROR,
  Session,
  type SessionEvents,
  type Stream,
} from "../wire/mod.ts"
import type { Http2Pool } from "./pool.ts"
import type { UpstreamStream } from "./upstream_stream.ts"

/** Silence from the server, with streams open, after which it is asked whether it is there (as Linkerd). */
export const KEEPALIVE_PING_MS = 10_000

/** How long the answer to that PING may take before the connection is given up (as Linkerd). */
export const KEEPALIVE_TIMEOUT_MS = 3_000

/** Connections without streams are kept this long: below the idle limits of common servers and load balancers. */
export const UPSTREAM_IDLE_MS = 60_000

/** Streams that wait for a connection that is being made; more open another one. */
export const MAX_WAITING_FOR_OPEN = 100

const PING_PAYLOAD = new Uint8Array([0x63, 0x6f, 0x6e, 0x64, 0x75, 0x69, 0x74, 0x00])

class UpstreamTimer extends Timer {
  private readonly upstream: Http2Upstream

  constructor(upstream: Http2Upstream) {
    super()
    this.upstream = upstream
  }

  fire(): void {
    this.upstream.tick()
  }
}

/** One connection to a server. */
export class Http2Upstream implements ConnHandler, SessionEvents {
  readonly pool: Http2Pool
  readonly session: Session
  private readonly conn: Conn
  private readonly timer: UpstreamTimer
  private opened = false
  private leaving = false
  private pinged = false
  private idleSinceMs: number
  /** Streams that wait for the connection, or (extended CONNECT) for the server's settings. */
  private waiting: UpstreamStream[] = []

  constructor(pool: Http2Pool) {
    const { env, fields } = pool.shared
    this.pool = pool
    this.timer = new UpstreamTimer(this)
    this.idleSinceMs = env.clock.nowMs
    this.conn = env.dial(pool.endpoint, this, CARRIES_HTTP2)
    this.session = new Session(this.conn, fields, this, { server: false, nowMs: env.clock.nowMs })
  }

  /** Whether a stream may be begun here. */
  get hasRoom(): boolean {
    if (this.leaving || this.conn.outdated) return false
    const waiting = this.waiting.length
    if (!this.opened) return waiting < MAX_WAITING_FOR_OPEN
    return waiting === 0 ? this.session.canOpen : false
  }

  /** Begins a stream, now or as soon as the connection is up. */
  take(up: UpstreamStream): void {
    up.upstream = this
    if (!this.opened || (up.down.extendedConnect && !this.session.peerSettings.received))
      this.waiting.push(up)
    else this.begin(up)
  }

  /** A stream that waited is not wanted any more. */
  withdraw(up: UpstreamStream): void {
    const at = this.waiting.indexOf(up)
    if (at >= 0) this.waiting.splice(at, 1)
  }

  private begin(up: UpstreamStream): void {
    const session = this.session
    session.nowMs = this.pool.shared.env.clock.nowMs
    const down = up.down
    if (down.extendedConnect && !session.peerSettings.connectProtocol) {
      up.upstream = null
      down.answer(REFUSAL_UPSTREAM_MALFORMED, "the server does not take extended CONNECT (RFC 8441)")
      return
    }
    session.open(up, down.fields, down.endsWithHead)
  }

  /** Takes no more streams, and closes after the last one. */
  closeWhenIdle(): void {
    this.leave()
    this.closeIfIdle()
  }

  private leave(): void {
    if (this.leaving) return
    this.leaving = true
    this.session.draining = true
    this.pool.remove(this)
  }

  private closeIfIdle(): void {
    if (!this.leaving || this.session.streams.size > 0 || this.waiting.length > 0 || this.session.dead) return
    this.session.goaway(0, NO_ERROR)
    this.session.die()
    this.conn.close()
  }

  /** The timer's call: is the server there, is the connection still of use? */
  tick(): void {
    const { env } = this.pool.shared
    const session = this.session
    if (session.dead) return
    const now = env.clock.nowMs
    if (session.streams.size === 0) {
      const left = this.idleSinceMs + UPSTREAM_IDLE_MS - now
      if (left <= 0) this.closeWhenIdle()
      else env.timers.schedule(this.timer, Math.min(left, KEEPALIVE_PING_MS))
      return
    }
    const silentMs = now - session.receivedMs
    if (this.pinged && silentMs >= KEEPALIVE_TIMEOUT_MS) {
      env.log.warn("endpoint does not answer PING", {
        endpoint: `${this.pool.endpoint.address}:${this.pool.endpoint.port}`,
        silentMs: Math.round(silentMs),
      })
      this.conn.reset()
    } else if (silentMs >= KEEPALIVE_PING_MS) {
      this.pinged = true
      session.writer.ping(PING_PAYLOAD, 0, false)
      env.timers.schedule(this.timer, KEEPALIVE_TIMEOUT_MS)
    } else env.timers.schedule(this.timer, KEEPALIVE_PING_MS - silentMs)
  }

  // ---- the connection ----

  onOpen(_conn: Conn): void {
    this.opened = true
    const { env } = this.pool.shared
    this.idleSinceMs = env.clock.nowMs
    this.session.receivedMs = env.clock.nowMs
    env.timers.schedule(this.timer, KEEPALIVE_PING_MS)
    this.beginWaiting()
  }

  private beginWaiting(): void {
    const waiting = this.waiting
    this.waiting = []
    for (const up of waiting) if (up.down.up === up) this.take(up)
    if (this.waiting.length === 0) this.pool.admit(this)
    this.closeIfIdle()
  }

  onData(_conn: Conn, chunk: Uint8Array): void {
    this.pinged = false
    this.session.nowMs = this.pool.shared.env.clock.nowMs
    this.session.receive(chunk)
  }

  onDrain(_conn: Conn): void {
    this.session.pump()
  }

  onEnd(conn: Conn): void {
    conn.close()
    this.onClose(conn, "ended by the endpoint")
  }

  onClose(_conn: Conn, error: string | null): void {
    this.pool.shared.env.timers.cancel(this.timer)
    const session = this.session
    session.die()
    this.leave()
    const reason = error ?? "closed"
    const waiting = this.waiting
    this.waiting = []
    const streams = [...session.streams.values()] as UpstreamStream[]
    for (const up of streams) session.forget(up)
    for (const up of streams) {
      up.down.connectionLost(up, session.receivedMs <= up.openedMs, reason)
    }
    for (const up of waiting) if (up.down.up === up) up.down.connectFailed(up, reason)
  }

  // ---- the session ----

  onRequest(): void {}

  onRequestTooLarge(): void {}

  onRequestMalformed(): void {}

  onResponse(stream: Stream, fields: HeaderField[], endStream: boolean): void {
    const up = stream as UpstreamStream
    up.down.response(up, fields, endStream)
  }

  onTrailers(stream: Stream, fields: HeaderField[]): void {
    const up = stream as UpstreamStream
    up.down.responseTrailers(up, fields)
  }

  onRemoteEnd(_stream: Stream): void {}

  onLocalEnd(_stream: Stream): void {}

  onReset(stream: Stream, code: number): void {
    const up = stream as UpstreamStream
    up.down.upstreamReset(up, code)
  }

  onStreamError(stream: Stream, code: number, message: string): void {
    ;(stream as UpstreamStream).down.upstreamMalformed(`${errorName(code)}: ${message}`)
  }

  onSettings(): void {
    if (this.opened) this.beginWaiting()
  }

  onGoaway(lastId: number, code: number): void {
    this.pool.shared.env.log.debug("endpoint said GOAWAY", {
      endpoint: `${this.pool.endpoint.address}:${this.pool.endpoint.port}`,
      lastId,
      code: errorName(code),
    })
    this.leave()
    const waiting = this.waiting
    this.waiting = []
    const session = this.session
    const unseen: UpstreamStream[] = []
    for (const stream of session.streams.values())
      if (stream.id > lastId) unseen.push(stream as UpstreamStream)
    for (const up of unseen) session.forget(up)
    for (const up of unseen) up.down.unprocessed(up)
    for (const up of waiting) if (up.down.up === up) this.pool.take(up)
    this.closeIfIdle()
  }

  onPingAck(): void {}

  onClosed(stream: Stream): void {
    const up = stream as UpstreamStream
    up.down.upstreamClosed(up)
    if (this.session.streams.size === 0) this.idleSinceMs = this.session.nowMs
    if (this.leaving) this.closeIfIdle()
    else this.pool.admit(this)
  }

  onConnectionError(code: number, message: string): void {
    this.pool.shared.env.log.warn("endpoint broke HTTP/2", {
      endpoint: `${this.pool.endpoint.address}:${this.pool.endpoint.port}`,
      code: errorName(code),
      detail: message,
    })
    this.conn.close()
    this.onClose(this.conn, `${errorName(code)}: ${message}`)
  }
}
