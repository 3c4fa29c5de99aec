// Port 4190: taps over HTTP/2 in TLS of the mesh, for the control plane's tap service alone (gRPC over HTTP2). Served by
// the proxy's own codec; what a connection needs is made when its client has proven itself.
import { framedMessage, MessageCutter } from "../control_plane/mod.ts"
import {
  type Clock,
  type Conn,
  type ConnHandler,
  callbackTimer,
  type Listener,
  listen,
  type Timer,
  type TimerWheel,
  type TlsTerms,
} from "../net/mod.ts"
import { CANCEL, FieldTable, type HeaderField, Session, type SessionEvents, Stream } from "../wire/mod.ts"
import { readMatch } from "./match.ts"
import { TAP_BATCH_MS, type Tap, type TapSink } from "./tap.ts"
import type { TapPoint } from "./tap_point.ts"

/** Connections at once; more are reset. The control plane has one or a few, and strangers do not pass the handshake. */
export const MAX_TAP_CONNECTIONS = 64

/** A client says hello within this time. */
export const TAP_HELLO_MS = 5_000

/** The method that is served. */
const WATCH_PATH = "/conduit.tap.v1.ProxyTapService/Watch"

/** First byte of a TLS record with a handshake in it (RFC 8446 section 5.1). */
const RECORD_HANDSHAKE = 22

const GRPC_OK = 0
const GRPC_INVALID_ARGUMENT = 3
const GRPC_RESOURCE_EXHAUSTED = 8
const GRPC_UNIMPLEMENTED = 12

/** Parts of the tap port. */
export interface ServeTapsOptions {
  readonly address: string
  readonly port: number
  readonly taps: TapPoint
  readonly clock: Clock
  readonly timers: TimerWheel
  /** Terms of the one client that may come; null while there is no certificate. */
  readonly terms: () => TlsTerms | null
}

/**
 * Starts to serve.
 *
 * @throws Error with `code` EADDRINUSE when the port is taken
 */
export function serveTaps(options: ServeTapsOptions): Listener {
  let connections = 0
  return listen({
    address: options.address,
    port: options.port,
    accept(conn) {
      connections++
      if (connections > MAX_TAP_CONNECTIONS) conn.reset()
      return new TapConnection(conn, options, () => connections--)
    },
  })
}

/** One connection: until the client has proven itself it is waited for, then it is a session. */
class TapConnection implements ConnHandler, SessionEvents {
  readonly options: ServeTapsOptions
  readonly conn: Conn
  session: Session | null = null
  fields: FieldTable | null = null
  private readonly ended: () => void
  private readonly timer: Timer
  private readonly streams = new Set<TapStream>()

  constructor(conn: Conn, options: ServeTapsOptions, ended: () => void) {
    this.conn = conn
    this.options = options
    this.ended = ended
    this.timer = callbackTimer(() => conn.reset())
    options.timers.schedule(this.timer, TAP_HELLO_MS)
  }

  onOpen(conn: Conn): void {
    this.fields = new FieldTable()
    this.session = new Session(conn, this.fields, this, { server: true, nowMs: this.options.clock.nowMs })
  }

  onData(conn: Conn, chunk: Uint8Array): void {
    const { session, options } = this
    if (session !== null) {
      session.nowMs = options.clock.nowMs
      session.receive(chunk)
      return
    }
    options.timers.cancel(this.timer)
    const terms = chunk[0] === RECORD_HANDSHAKE ? options.terms() : null
    if (terms === null) conn.reset()
    else conn.acceptTls(terms, chunk)
  }

  onDrain(): void {
    this.session?.pump()
  }

  onEnd(conn: Conn): void {
    this.abandon()
    conn.close()
  }

  onClose(): void {
    this.options.timers.cancel(this.timer)
    this.abandon()
    this.ended()
  }

  private abandon(): void {
    this.session?.die()
    for (const stream of this.streams) stream.stop()
    this.streams.clear()
  }

  // ---- the session ----

  onRequest(id: number, _fields: HeaderField[], endStream: boolean): void {
    // Events come of a session.
    const session = this.session!
    const stream = new TapStream(this)
    const { path } = session.scan
    session.accept(stream, id, endStream)
    if (path?.value === WATCH_PATH) {
      this.streams.add(stream)
      stream.begin()
    } else stream.refuse(GRPC_UNIMPLEMENTED, `there is ${WATCH_PATH} and nothing else`)
  }

  onRequestTooLarge(id: number, endStream: boolean): void {
    const stream = new Stream()
    this.session?.accept(stream, id, endStream)
    this.session?.reset(stream, CANCEL)
  }

  onRequestMalformed(): void {}

  onResponse(): void {}

  onTrailers(): void {}

  onRemoteEnd(stream: Stream): void {
    if (stream instanceof TapStream) stream.finish()
  }

  onLocalEnd(): void {}

  onReset(stream: Stream): void {
    this.onClosed(stream)
  }

  onStreamError(stream: Stream): void {
    this.onClosed(stream)
  }

  onSettings(): void {}

  onGoaway(): void {}

  onPingAck(): void {}

  onClosed(stream: Stream): void {
    if (!(stream instanceof TapStream)) return
    stream.stop()
    this.streams.delete(stream)
  }

  onConnectionError(): void {
    this.abandon()
    this.conn.close()
  }
}

/** Takes the bodies of a client's messages as they come. */
class Inbox extends Stream {
  private readonly stream: TapStream
  private readonly cutter: MessageCutter

  constructor(stream: TapStream, cutter: MessageCutter) {
    super()
    this.stream = stream
    this.cutter = cutter
  }

  override enqueue(bytes: Uint8Array, start: number, end: number): void {
    const { session } = this.stream
    // Taken at once, so that the client may send as much again.
    session?.unhold(end - start)
    session?.release(this.stream, end - start)
    this.cutter.take(bytes.subarray(start, end))
  }
}

/** One call of Watch. */
class TapStream extends Stream implements TapSink {
  private readonly connection: TapConnection
  private readonly timer: Timer
  private served: Tap | null = null
  private timerSet = false
  private stopped = false

  constructor(connection: TapConnection) {
    super()
    this.connection = connection
    this.timer = callbackTimer(() => {
      this.timerSet = false
      this.served?.flush()
    })
    const cutter = new MessageCutter({
      onMessage: message => this.take(message),
      onError: (code, reason) => this.refuse(code, reason),
    })
    this.peer = new Inbox(this, cutter)
  }

  get unreadBytes(): number {
    return this.queuedBytes + this.connection.conn.queuedBytes
  }

  /** Answers that the call is heard. */
  begin(): void {
    const table = this.connection.fields as FieldTable
    this.session?.sendHead(
      this,
      [table.transientField(":status", "200"), table.transientField("content-type", "application/grpc")],
      false,
    )
  }

  send(message: Uint8Array): void {
    if (this.stopped || this.closed) return
    const framed = framedMessage(message)
    this.enqueue(framed, 0, framed.length)
    this.session?.flushStream(this)
  }

  wake(): void {
    if (this.timerSet || this.stopped) return
    this.timerSet = true
    this.connection.options.timers.schedule(this.timer, TAP_BATCH_MS)
  }

  /** The client has said all; it is told what waits, and the call ends. */
  finish(): void {
    this.served?.flush()
    this.refuse(GRPC_OK, "")
  }

  /** Ends the call with a gRPC status. */
  refuse(code: number, message: string): void {
    if (this.localEnded || this.closed) return
    const table = this.connection.fields as FieldTable
    const fields = [
      table.transientField("grpc-status", String(code)),
      ...(message === "" ? [] : [table.transientField("grpc-message", encodeURI(message))]),
    ]
    if (this.connection.session === null) return
    this.stop()
    if (code === GRPC_UNIMPLEMENTED) this.begin()
    this.session?.sendTrailers(this, fields)
  }

  /** Tells of nothing any more. */
  stop(): void {
    if (this.stopped) return
    this.stopped = true
    this.connection.options.timers.cancel(this.timer)
    if (this.served !== null) this.connection.options.taps.close(this.served)
    this.served = null
  }

  private take(message: Uint8Array): void {
    if (this.stopped) return
    try {
      const match = readMatch(message)
      if (this.served !== null) {
        this.connection.options.taps.replace(this.served, match)
        return
      }
      this.served = this.connection.options.taps.open(match, this)
      if (this.served === null)
        this.refuse(GRPC_RESOURCE_EXHAUSTED, "too many taps look at this proxy already")
      // Tells the client that from now on nothing is missed.
      else this.send(new Uint8Array(0))
    } catch (error) {
      this.refuse(GRPC_INVALID_ARGUMENT, error instanceof Error ? error.message : String(error))
    }
  }
}
