// Reaches a server for a raw connection: picks an endpoint, dials it, and another one where that is refused.
import type { Endpoint, EndpointSource } from "../balance/mod.ts"
import { CARRIES_TCP, type Carries } from "../identity/mod.ts"
import { type Clock, type Conn, type ConnHandler, formatAddress } from "../net/mod.ts"

/** Endpoints that one connection tries at most; connects that fail at once are cheap, beyond this all are down. */
export const MAX_DIALS = 16

/** After this long no further endpoint is tried: the client hears of the failure instead. */
export const DIAL_BUDGET_MS = 3_000

/** What happens before the connection is handed on to a relay. */
export interface ServerDialOwner {
  /** Connected; nothing is read before this. */
  serverOpen(server: Conn): void
  /** The server speaks. */
  serverData(server: Conn, chunk: Uint8Array): void
  /** The server sent its FIN. */
  serverEnd(server: Conn): void
  /** The connection broke after it was up. */
  serverClosed(error: string | null): void
  /** No endpoint could be reached. */
  serverUnreachable(reason: string): void
}

/** What dialling needs of its surroundings. */
export interface DialEnv {
  readonly clock: Clock
  /** Told of every endpoint that could not be reached. */
  readonly onUnreached?: (() => void) | undefined
  dial(endpoint: Endpoint, handler: ConnHandler, carries: Carries, encrypted?: boolean): Conn
}

/** One connection to whichever endpoint takes it. */
export class ServerDial implements ConnHandler {
  /** The endpoint in use or tried last. */
  endpoint: Endpoint | null = null
  /** The connection; open after `serverOpen`. */
  conn: Conn | null = null
  /** What is to be sent is TLS of the application's own. */
  private readonly encrypted: boolean
  private readonly owner: ServerDialOwner
  private readonly source: EndpointSource
  private readonly env: DialEnv
  private readonly random: () => number
  private readonly tried: Endpoint[] = []
  private readonly startedMs: number
  private dialledMs = 0
  private abandoned = false
  private reason = "no endpoint"

  constructor(
    owner: ServerDialOwner,
    source: EndpointSource,
    env: DialEnv,
    random: () => number,
    encrypted = false,
  ) {
    this.encrypted = encrypted
    this.owner = owner
    this.source = source
    this.env = env
    this.random = random
    this.startedMs = env.clock.nowMs
  }

  /** Dials; outcomes come through the owner, `serverUnreachable` possibly at once. */
  start(): void {
    const now = this.env.clock.nowMs
    const spent =
      this.tried.length >= MAX_DIALS || (this.tried.length > 0 && now - this.startedMs >= DIAL_BUDGET_MS)
    const endpoint = spent ? null : this.source.pick(this.tried, now)
    if (endpoint === null) {
      this.owner.serverUnreachable(this.reason)
      return
    }
    endpoint.pending++
    this.endpoint = endpoint
    this.dialledMs = now
    this.conn = this.env.dial(endpoint, this, CARRIES_TCP, this.encrypted)
  }

  /** Nobody needs the connection any more. */
  abandon(): void {
    if (this.abandoned) return
    this.abandoned = true
    this.conn?.close()
  }

  /** The connection that a relay took over has ended: the endpoint is free of it. */
  release(): void {
    if (this.endpoint !== null) this.endpoint.pending--
    this.endpoint = null
  }

  onOpen(conn: Conn): void {
    const endpoint = this.endpoint
    if (endpoint !== null) {
      const now = this.env.clock.nowMs
      endpoint.latency.observe(now - this.dialledMs, now)
      if (endpoint.connectFailures > 0) endpoint.connected()
    }
    if (!this.abandoned) this.owner.serverOpen(conn)
  }

  onData(conn: Conn, chunk: Uint8Array): void {
    if (!this.abandoned) this.owner.serverData(conn, chunk)
  }

  onDrain(): void {}

  onEnd(conn: Conn): void {
    if (!this.abandoned) this.owner.serverEnd(conn)
  }

  onClose(conn: Conn, error: string | null): void {
    const endpoint = this.endpoint
    this.release()
    if (this.abandoned) return
    if (conn.wasOpen) {
      this.owner.serverClosed(error)
      return
    }
    this.reason = error ?? "gone"
    if (endpoint !== null) {
      this.reason = `${formatAddress(endpoint.address, endpoint.port)}: ${this.reason}`
      endpoint.connectFailed(this.env.clock.nowMs, this.random())
      this.env.onUnreached?.()
      this.tried.push(endpoint)
    }
    this.start()
  }
}
