// Connections of one endpoint that HTTP/2 streams share. Another is opened when those there are full.
import type { Endpoint } from "../balance/mod.ts"
import type { HttpEnv } from "../http/mod.ts"
import { REFUSAL_OVERLOAD } from "../http/mod.ts"
import { Timer } from "../net/mod.ts"
import type { FieldTable } from "../wire/mod.ts"
import type { GrpcTimeoutFields } from "./fields.ts"
import { Http2Upstream } from "./upstream.ts"
import type { UpstreamStream } from "./upstream_stream.ts"

/**
 * Connections to one endpoint. At a server that allows 100 streams each this is 6,400 requests at once; more would
 * only hide that it is drowning.
 */
export const MAX_CONNECTIONS_PER_ENDPOINT = 64

/** Requests that wait for a stream once all connections of an endpoint are full (others' balancers queue as many). */
export const MAX_WAITING_PER_ENDPOINT = 1024

/**
 * Longest wait of a request for a stream to an endpoint whose connections are all full: full for so long, it will not
 * catch up with what queues, and the caller should hear of it while that still helps (Linkerd fails fast after as long).
 */
export const POOL_WAIT_MS = 3_000

/** What the engine's connections in one direction share. */
export interface Http2Shared {
  readonly env: HttpEnv
  readonly fields: FieldTable
  readonly grpcTimeouts: GrpcTimeoutFields
}

/** The pool of an endpoint, made at first use. */
export function poolOf(endpoint: Endpoint, shared: Http2Shared): Http2Pool {
  const pool = endpoint.http2
  if (pool !== null) return pool as Http2Pool
  const made = new Http2Pool(endpoint, shared)
  endpoint.http2 = made
  endpoint.onRemoved.push(() => made.closeIdle())
  return made
}

/** Connections to one endpoint, and requests that wait for one. */
export class Http2Pool extends Timer {
  readonly endpoint: Endpoint
  readonly shared: Http2Shared
  private readonly connections: Http2Upstream[] = []
  /** Who has waited longest comes first. */
  private readonly waiting: UpstreamStream[] = []

  constructor(endpoint: Endpoint, shared: Http2Shared) {
    super()
    this.endpoint = endpoint
    this.shared = shared
  }

  /** Sends the request on a connection with room, or a new one, or lets it wait. */
  take(up: UpstreamStream): void {
    const connections = this.connections
    for (let i = 0; i < connections.length; i++) {
      const upstream = connections[i] as Http2Upstream
      if (upstream.hasRoom) {
        upstream.take(up)
        return
      }
    }
    if (connections.length < MAX_CONNECTIONS_PER_ENDPOINT) {
      const upstream = new Http2Upstream(this)
      connections.push(upstream)
      upstream.take(up)
    } else if (this.waiting.length < MAX_WAITING_PER_ENDPOINT) {
      const { clock, timers } = this.shared.env
      // Moved on from a connection that ended, it has waited already.
      if (up.waitingSinceMs === 0) up.waitingSinceMs = clock.nowMs
      this.waiting.push(up)
      if (!this.scheduled) timers.schedule(this, POOL_WAIT_MS)
    } else up.down.answer(REFUSAL_OVERLOAD, "all connections of the endpoint are full")
  }

  /** A connection has room again. */
  admit(upstream: Http2Upstream): void {
    while (this.waiting.length > 0 && upstream.hasRoom) {
      // Not empty.
      const up = this.waiting.shift()!
      if (up.down.up === up) upstream.take(up)
    }
  }

  /** Of the timer: refuses those that have waited too long. */
  override fire(): void {
    const { clock, timers } = this.shared.env
    const { waiting } = this
    for (;;) {
      const up = waiting[0]
      if (up === undefined) return
      if (up.down.up === up) {
        const left = up.waitingSinceMs + POOL_WAIT_MS - clock.nowMs
        if (left > 0) {
          timers.schedule(this, left)
          return
        }
        waiting.shift()
        up.down.answer(REFUSAL_OVERLOAD, "no connection of the endpoint had room in time")
      } else waiting.shift()
    }
  }

  /** A connection takes no more streams. What waits is moved on if it was the last. */
  remove(upstream: Http2Upstream): void {
    const at = this.connections.indexOf(upstream)
    if (at < 0) return
    this.connections.splice(at, 1)
    if (this.waiting.length > 0) {
      const waiting = this.waiting.splice(0)
      for (const up of waiting) if (up.down.up === up) this.take(up)
    }
  }

  /** The endpoint was dropped: connections close as soon as they are idle. */
  closeIdle(): void {
    for (const upstream of this.connections.slice()) upstream.closeWhenIdle()
  }
}
