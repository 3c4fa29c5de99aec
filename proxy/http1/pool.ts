// Connections to one endpoint that speak HTTP/1: those at rest wait here for the next request.
import type { Endpoint } from "../balance/mod.ts"
import type { HttpEnv } from "../http/mod.ts"
import { CARRIES_HTTP1 } from "../identity/mod.ts"
import { type Conn, type ConnHandler, Timer } from "../net/mod.ts"
import { BodyScanner, HeadAssembler, ResponseHead } from "../wire/mod.ts"

/**
 * How long a connection rests before it is closed. Servers close theirs after 5 s (Node) to 75 s (nginx); closing
 * first, and soon, is what keeps a request from meeting a FIN on its way. Linkerd's figure.
 */
export const POOL_IDLE_MS = 3_000

/** Most connections at rest for one endpoint; what is above is closed after its response. */
export const POOL_IDLE_MAX = 512

/** What a connection to a server tells the exchange that uses it. */
export interface UpstreamUser {
  upstreamOpened(upstream: Upstream): void
  upstreamBytes(upstream: Upstream, chunk: Uint8Array): void
  upstreamDrained(upstream: Upstream): void
  upstreamEnded(upstream: Upstream): void
  upstreamClosed(upstream: Upstream, error: string | null): void
}

/** A connection to a server, lent to one exchange at a time. */
export class Upstream implements ConnHandler {
  readonly conn: Conn
  readonly pool: Http1Pool
  readonly head = new ResponseHead()
  readonly body = new BodyScanner()
  readonly assembler = new HeadAssembler()
  /** Null while at rest. */
  user: UpstreamUser | null
  /** Served a request before: closing without an answer may be the keep-alive race. */
  reused = false
  /** Connected once. */
  opened = false
  /** In its pool's list. */
  resting = false
  idleSinceMs = 0

  constructor(pool: Http1Pool, user: UpstreamUser) {
    this.pool = pool
    this.user = user
    this.conn = pool.env.dial(pool.endpoint, this, CARRIES_HTTP1)
  }

  onOpen(): void {
    this.opened = true
    if (this.user !== null) this.user.upstreamOpened(this)
    else this.conn.close()
  }

  onData(_conn: Conn, chunk: Uint8Array): void {
    if (this.user !== null) this.user.upstreamBytes(this, chunk)
    // Nobody asked: whatever it is (often a 408 before the FIN), it must not answer the next request.
    else this.discard()
  }

  onDrain(): void {
    if (this.user !== null) this.user.upstreamDrained(this)
  }

  onEnd(): void {
    if (this.user !== null) this.user.upstreamEnded(this)
    else this.discard()
  }

  onClose(_conn: Conn, error: string | null): void {
    if (this.user !== null) this.user.upstreamClosed(this, error)
    else this.pool.forget(this)
  }

  /** Takes it out of use, at rest or not, and cuts it: the server must not go on with what it was sent. */
  discard(): void {
    this.user = null
    this.pool.forget(this)
    this.conn.reset()
  }

  /** Takes it out of use after a complete exchange: the server sees an orderly end. */
  retire(): void {
    this.user = null
    this.conn.close()
  }
}

/** The connections at rest of one endpoint. */
export class Http1Pool extends Timer {
  readonly endpoint: Endpoint
  readonly env: HttpEnv
  /** The last one used is at the end; it is used again first, so that the others age and go. */
  private readonly idle: Upstream[] = []

  constructor(endpoint: Endpoint, env: HttpEnv) {
    super()
    this.endpoint = endpoint
    this.env = env
    endpoint.onRemoved.push(() => this.clear())
  }

  /** Connections at rest now. */
  get size(): number {
    return this.idle.length
  }

  /** A connection at rest, lent to `user`; null when there is none. */
  take(user: UpstreamUser): Upstream | null {
    for (;;) {
      const upstream = this.idle.pop()
      if (upstream === undefined) return null
      upstream.resting = false
      if (upstream.conn.outdated) upstream.conn.close()
      else if (upstream.conn.open && !upstream.conn.readEnded) {
        upstream.user = user
        upstream.reused = true
        return upstream
      }
    }
  }

  /** A new connection, lent to `user`, who hears when it is up. */
  dial(user: UpstreamUser): Upstream {
    return new Upstream(this, user)
  }

  /** Takes back a connection whose exchange is complete. */
  give(upstream: Upstream): void {
    upstream.user = null
    const { conn } = upstream
    if (conn.closed) return
    const isUsable = conn.writable && !conn.readEnded && !conn.outdated
    if (this.endpoint.removed || this.idle.length >= POOL_IDLE_MAX || !isUsable) {
      conn.close()
      return
    }
    upstream.resting = true
    upstream.idleSinceMs = this.env.clock.nowMs
    this.idle.push(upstream)
    if (!this.scheduled) this.env.timers.schedule(this, POOL_IDLE_MS)
  }

  /** Drops a connection that ended by itself. */
  forget(upstream: Upstream): void {
    if (!upstream.resting) return
    upstream.resting = false
    const index = this.idle.indexOf(upstream)
    if (index >= 0) this.idle.splice(index, 1)
  }

  /** Closes those that rested too long. */
  override fire(): void {
    const oldestKeptMs = this.env.clock.nowMs - POOL_IDLE_MS
    let expired = 0
    // expired < length in both places.
    while (expired < this.idle.length && this.idle[expired]!.idleSinceMs <= oldestKeptMs) expired++
    for (const upstream of this.idle.splice(0, expired)) release(upstream)
    const oldest = this.idle[0]
    if (oldest !== undefined) this.env.timers.schedule(this, oldest.idleSinceMs - oldestKeptMs)
  }

  private clear(): void {
    this.env.timers.cancel(this)
    for (const upstream of this.idle.splice(0)) release(upstream)
  }
}

function release(upstream: Upstream): void {
  upstream.resting = false
  upstream.conn.close()
}

/** The endpoint's pool, made at first use. */
export function poolOf(endpoint: Endpoint, env: HttpEnv): Http1Pool {
  if (endpoint.http1 instanceof Http1Pool) return endpoint.http1
  const pool = new Http1Pool(endpoint, env)
  endpoint.http1 = pool
  return pool
}
