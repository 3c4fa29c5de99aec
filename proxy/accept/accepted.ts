// One redirected connection from accept to its end: finds out what it speaks, then hands it to an HTTP engine or
// relays it. When the client is silent the server is dialled, and whoever speaks first decides.
import {
  PROTOCOL_DETECT,
  PROTOCOL_HTTP1,
  PROTOCOL_HTTP2,
  PROTOCOL_TCP,
  PROTOCOL_TLS,
} from "../balance/mod.ts"
import type { Drainable } from "../http/mod.ts"
import {
  asksForMesh,
  CARRIES_HTTP1,
  CARRIES_HTTP2,
  CARRIES_HTTP2_AS_ANY,
  Identify,
  type IdentifyOwner,
  type PlainSign,
} from "../identity/mod.ts"
import { type Conn, type ConnHandler, callbackTimer, type Timer, type TlsPeer } from "../net/mod.ts"
import {
  CLIENT_HELLO_NEED_MORE,
  DETECT_HTTP1,
  DETECT_HTTP2,
  DETECT_NEED_MORE,
  DETECT_TLS,
  detect,
  isHostName,
  isPrintable,
  isSettingsFrame,
  readClientHello,
} from "../wire/mod.ts"
import { type Client, provenClient, unprovenClient } from "./client.ts"
import type { ConnectionGuard, RawProtocol } from "./guard.ts"
import {
  SPOKEN_CLIENT_FIRST,
  SPOKEN_HTTP,
  SPOKEN_SERVER_FIRST,
  SPOKEN_UNKNOWN,
  type Spoken,
} from "./protocol_memory.ts"
import { relayRaw } from "./raw_relay.ts"
import { ServerDial, type ServerDialOwner } from "./server_dial.ts"
import type { Side } from "./side.ts"
import type { Target } from "./target.ts"

/** A client that is silent this long may be waiting for the server to speak: dial it, and race. */
export const DETECT_GRACE_MS = 20

/** The same where HTTP was spoken before: a spare connection is likely wasted, yet the guess may be wrong. */
export const DETECT_GRACE_HTTP_MS = 60

/** How long bytes that may yet become HTTP or TLS are held back before they are relayed as they are. */
export const DETECT_STALL_MS = 250

/** The same where HTTP was spoken before or is announced: a lost packet must not hide a request from the mesh. */
export const DETECT_STALL_HTTP_MS = 3_000

/** How long a client may be silent that could only be served with a request; then it is closed. */
export const SILENT_DENIED_MS = 30_000

/** Early bytes held at most while the server is being reached; then the client is not read until it is. */
export const EARLY_BYTES_MAX = 64 * 1024

const NO_BYTES = new Uint8Array(0)

/** One redirected connection. */
export class Accepted implements ConnHandler, ServerDialOwner, IdentifyOwner {
  readonly conn: Conn
  readonly side: Side
  target: Target
  /** Who the client is; known before anything it sends is handed on. */
  client: Client
  /** Destination before the redirect. */
  readonly address: string
  readonly port: number
  /** Number of the connection, for the log. */
  readonly id: number
  private early: Uint8Array = NO_BYTES
  private dial: ServerDial | null = null
  private timer: Timer | null = null
  private spoken: Spoken = SPOKEN_UNKNOWN
  /** Detection is over: bytes are relayed once the server is there. */
  private opaque = false
  private drainable: Drainable | null = null
  /** Host name that the client's own TLS asks for; "" when none is known. */
  private serverName = ""
  /** The rest of a ClientHello is waited for. */
  private awaitsHello = false
  private guardOfClient: ConnectionGuard | null = null
  /** The client is silent, and policy would not let its connection be passed on unseen. */
  private silentDenied = false
  /** What the client sends is TLS of the application's own. */
  private encrypted = false

  constructor(side: Side, conn: Conn, target: Target, address: string, port: number, id: number) {
    this.side = side
    this.conn = conn
    this.target = target
    this.client = unprovenClient(conn.remoteAddress, side.unproven)
    this.address = address
    this.port = port
    this.id = id
  }

  /** Begins; the destination is known, or was waited for long enough. */
  start(): void {
    const { conn, side } = this
    conn.handler = this
    if (side.mesh === null) {
      this.begin(false)
      return
    }
    new Identify(conn, side.mesh, side.env.timers, this).start()
  }

  /** @param waited  the client has been silent for a grace period */
  private begin(waited: boolean): void {
    const { conn, side, target } = this
    if (target.protocol === PROTOCOL_TCP || side.isOpaque(this.port)) {
      this.relayOpaque("opaque")
      return
    }
    this.spoken = side.memory.recall(this.address, this.port)
    conn.resume()
    if (this.early.length > 0) this.decide()
    else if (target.protocol !== PROTOCOL_DETECT) return
    else if (this.spoken === SPOKEN_SERVER_FIRST || (waited && this.spoken !== SPOKEN_HTTP)) this.race()
    else this.arm(this.spoken === SPOKEN_HTTP ? DETECT_GRACE_HTTP_MS : DETECT_GRACE_MS)
  }

  /** The proxy shuts down: an HTTP engine ends the connection when it may. */
  drain(): void {
    this.drainable?.drain()
  }

  /** The drain window is over: a kept connection on which nothing runs is closed. */
  closeIfIdle(): void {
    this.drainable?.closeIfIdle?.()
  }

  /** The rules have changed: ends what is not allowed any more. */
  reexamine(): void {
    if (this.drainable !== null) this.drainable.reexamine()
    else if (this.opaque && this.guard?.stillRelays() === false) this.conn.reset()
  }

  /** What logs say of the connection. */
  fields(): Record<string, string | number> {
    const fields = this.side.fields(this.conn, this.address, this.port, this.id)
    if (this.serverName !== "") fields.sni = this.serverName
    return fields
  }

  // The client's side.

  proven(peer: TlsPeer): void {
    const { conn, side } = this
    conn.handler = this
    this.client = provenClient(conn.remoteAddress, peer)
    this.target = this.target.of(this.client)
    side.proven(conn, this.target.connectionLabels)
    if (peer.protocol === CARRIES_HTTP1) this.serveHttp(1)
    else if (peer.protocol === CARRIES_HTTP2 || peer.protocol === CARRIES_HTTP2_AS_ANY) this.serveHttp(2)
    else this.relayOpaque("mesh-tcp")
  }

  unproven(said: Uint8Array, sign: PlainSign): void {
    this.conn.handler = this
    this.early = said
    if (sign === "ended") this.onEnd()
    else this.begin(sign === "silent")
  }

  onOpen(): void {}

  onData(_conn: Conn, chunk: Uint8Array): void {
    if (this.early.length === 0) this.early = chunk
    else this.early = Buffer.concat([this.early, chunk])
    if (this.opaque) {
      if (this.early.length >= EARLY_BYTES_MAX) this.conn.pause()
      return
    }
    this.decide()
  }

  onDrain(): void {}

  onEnd(): void {
    // A FIN before any byte, or within what might have become a head: only the server can make sense of it.
    if (!this.opaque) this.relayOpaque("client-end")
  }

  onClose(): void {
    this.disarm()
    this.dial?.abandon()
  }

  // The server's side, until a relay takes over.

  serverOpen(server: Conn): void {
    if (this.opaque) this.join(server)
  }

  serverData(server: Conn, chunk: Uint8Array): void {
    if (this.target.protocol === PROTOCOL_DETECT && isSettingsFrame(chunk)) {
      // An HTTP/2 server greets before it is spoken to; its client is only slow to begin.
      this.dial?.abandon()
      this.dial = null
      this.spoken = SPOKEN_HTTP
      this.side.memory.learn(this.address, this.port, SPOKEN_HTTP)
      if (this.early.length > 0) this.arm(DETECT_STALL_HTTP_MS)
      return
    }
    if (!this.mayPass("tcp")) return
    this.side.memory.learn(this.address, this.port, SPOKEN_SERVER_FIRST)
    this.side.detected("server-first")
    this.opaque = true
    this.conn.write(chunk)
    this.join(server)
  }

  serverEnd(server: Conn): void {
    if (!this.mayPass("tcp")) return
    this.side.detected("server-end")
    this.opaque = true
    this.join(server)
  }

  serverClosed(error: string | null): void {
    this.side.log.debug("server closed while the protocol was being detected", {
      ...this.fields(),
      error: `${error}`,
    })
    this.conn.reset()
  }

  serverUnreachable(reason: string): void {
    this.dial = null
    // An HTTP client is owed an answer that says why; any other one a reset, as without a proxy.
    if (!this.opaque && this.spoken === SPOKEN_HTTP) return
    this.side.log.info("no endpoint could be reached", { ...this.fields(), reason })
    this.conn.reset()
  }

  private decide(): void {
    const bytes = this.early
    const hint = this.target.protocol
    const detection = hint === PROTOCOL_TLS ? DETECT_TLS : detect(bytes, bytes.length)
    if (detection === DETECT_HTTP1 || detection === DETECT_HTTP2) {
      this.serveHttp(detection === DETECT_HTTP1 ? 1 : 2)
    } else if (detection === DETECT_TLS) {
      const hello = readClientHello(bytes, bytes.length)
      if (hello.state === CLIENT_HELLO_NEED_MORE) {
        // Only a name is missing, so the wait is bounded as a whole: a client that drips is not held up for it.
        if (!this.awaitsHello) this.stall()
        this.awaitsHello = true
        return
      }
      const { mesh } = this.side
      if (mesh !== null && asksForMesh(hello, mesh)) {
        // A client of the mesh that began late, as where it waits for a CPU; nothing has passed either way.
        this.disarm()
        this.dial?.abandon()
        this.dial = null
        this.early = NO_BYTES
        new Identify(this.conn, mesh, this.side.env.timers, this).resume(bytes)
        return
      }
      // Anything may stand in a ClientHello: what is no host name becomes no label and no field of a log.
      if (isHostName(hello.serverName)) {
        this.serverName = hello.serverName
        this.side.named(this.conn, hello.serverName)
      }
      if (this.side.log.enabled("debug")) {
        const alpn = hello.protocols.filter(isPrintable).join(",")
        this.side.log.debug("TLS of the application", { ...this.fields(), ...(alpn === "" ? {} : { alpn }) })
      }
      this.learnClientFirst()
      this.encrypted = true
      this.relayOpaque("tls")
    } else if (detection === DETECT_NEED_MORE) {
      this.stall()
    } else {
      this.learnClientFirst()
      this.relayOpaque("opaque")
    }
  }

  private learnClientFirst(): void {
    this.side.memory.learn(this.address, this.port, SPOKEN_CLIENT_FIRST)
  }

  /** Part of something: wait a little for the rest. */
  private stall(): void {
    const known = this.spoken === SPOKEN_HTTP || this.target.protocol !== PROTOCOL_DETECT
    this.arm(known ? DETECT_STALL_HTTP_MS : DETECT_STALL_MS)
  }

  private arm(delayMs: number): void {
    this.timer ??= callbackTimer(() => this.expired())
    this.side.env.timers.schedule(this.timer, delayMs)
  }

  private disarm(): void {
    if (this.timer !== null) this.side.env.timers.cancel(this.timer)
  }

  private expired(): void {
    if (this.conn.closed || this.opaque) return
    if (this.early.length === 0) {
      if (this.silentDenied) this.relayOpaque("silent")
      else this.race()
      return
    }
    const hint = this.target.protocol
    if (hint === PROTOCOL_HTTP1 || hint === PROTOCOL_HTTP2) {
      this.serveHttp(hint === PROTOCOL_HTTP1 ? 1 : 2)
      return
    }
    this.relayOpaque("stalled")
  }

  /** The guard of this client; null where nobody guards. */
  private get guard(): ConnectionGuard | null {
    if (this.guardOfClient?.client !== this.client) {
      this.guardOfClient = this.side.guard?.(this.client, this.address, this.port) ?? null
    }
    return this.guardOfClient
  }

  /** Whether the connection may be passed on as it is; ends it if not. */
  private mayPass(protocol: RawProtocol): boolean {
    if (this.guard?.relay(protocol, this.serverName) !== false) return true
    this.conn.reset()
    return false
  }

  private race(): void {
    if (!this.opaque && this.guard?.mayRelay === false) {
      // The application is not to hear of it. An HTTP client may yet send a request that is allowed.
      this.silentDenied = true
      this.arm(SILENT_DENIED_MS)
      return
    }
    this.dial = this.newDial()
    this.dial.start()
  }

  private newDial(): ServerDial {
    return new ServerDial(
      this,
      this.target.raw(this.side.random(), this.serverName),
      this.side.env,
      this.side.random,
      this.encrypted,
    )
  }

  private serveHttp(version: 1 | 2): void {
    this.disarm()
    this.dial?.abandon()
    this.dial = null
    const { side, conn } = this
    side.memory.learn(this.address, this.port, SPOKEN_HTTP)
    side.detected(version === 1 ? "http1" : "http2")
    const bytes = this.early
    this.early = NO_BYTES
    const { guard } = this
    if (guard !== null) guard.httpVersion = version
    this.drainable = side.serveHttp(version, this, bytes, guard)
    if (conn.handler === this) throw new Error("the HTTP engine did not take the connection over")
  }

  private relayOpaque(result: string): void {
    if (!this.mayPass(result === "tls" ? "tls" : "tcp")) return
    this.opaque = true
    this.disarm()
    this.side.detected(result)
    const server = this.dial?.conn
    if (server?.open) {
      this.join(server)
      return
    }
    this.conn.pause()
    if (this.dial === null) this.race()
  }

  /** Both ends are there: what came early goes first, then bytes both ways. */
  private join(server: Conn): void {
    this.disarm()
    const dial = this.dial
    if (this.serverName !== "") this.side.named(server, this.serverName)
    if (this.early.length > 0) {
      server.write(this.early)
      this.early = NO_BYTES
    }
    relayRaw(this, server, dial, { encrypted: this.encrypted, serverName: this.serverName })
  }
}
