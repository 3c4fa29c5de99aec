// A client's HTTP/2 connection: each of its streams becomes an exchange of its own.

import type { Drainable, HttpService } from "../http/mod.ts"
import { REFUSAL_HEAD_TOO_LARGE, REFUSAL_MALFORMED } from "../http/mod.ts"
import type { Conn, ConnHandler } from "../net/mod.ts"
import {
  CANCEL,
  errorName,
  type HeaderField,
  INTERNAL_ERROR,
  MAX_WINDOW_BYTES,
  NO_ERROR,
  Session,
  type SessionEvents,
  Stream,
} from "../wire/mod.ts"
import { answerFields } from "./answer.ts"
import type { Http2Shared } from "./pool.ts"
import { DownstreamStream } from "./stream.ts"

const DRAIN_PING = new Uint8Array([0x63, 0x6f, 0x6e, 0x64, 0x75, 0x69, 0x74, 0x01])

/** One client's connection. */
export class Http2Downstream implements ConnHandler, SessionEvents, Drainable {
  readonly shared: Http2Shared
  readonly service: HttpService
  readonly session: Session
  private readonly conn: Conn
  private gone = false
  private drainPinged = false

  constructor(conn: Conn, service: HttpService, shared: Http2Shared) {
    this.conn = conn
    this.service = service
    this.shared = shared
    this.session = new Session(conn, shared.fields, this, { server: true, nowMs: shared.env.clock.nowMs })
  }

  /** Says GOAWAY, finishes the streams that are there or under way, then closes (RFC 9113 section 6.8). */
  drain(): void {
    if (this.session.draining || this.session.dead) return
    // First a notice without a number, so that requests that cross it on the way are served; the answer to the PING
    // tells that the client has seen it.
    this.session.goaway(MAX_WINDOW_BYTES, NO_ERROR)
    this.session.writer.ping(DRAIN_PING, 0, false)
    this.drainPinged = true
  }

  /** The rules have changed: streams that are not allowed any more end, the connection stays. */
  reexamine(): void {
    for (const stream of [...this.session.streams.values()]) {
      if (stream instanceof DownstreamStream) stream.reexamine()
    }
  }

  private closeIfDone(): void {
    const session = this.session
    if (session.acceptUpTo === MAX_WINDOW_BYTES || session.streams.size > 0 || session.dead) return
    session.die()
    this.conn.close()
  }

  /** Ends all streams: the client is gone. */
  private abandon(): void {
    if (this.gone) return
    this.gone = true
    const session = this.session
    session.die()
    for (const stream of [...session.streams.values()]) {
      session.forget(stream)
      if (stream instanceof DownstreamStream) stream.clientGone(CANCEL)
    }
  }

  // ---- the connection ----

  onOpen(_conn: Conn): void {}

  onData(_conn: Conn, chunk: Uint8Array): void {
    this.session.nowMs = this.shared.env.clock.nowMs
    this.session.receive(chunk)
  }

  onDrain(_conn: Conn): void {
    this.session.pump()
  }

  onEnd(conn: Conn): void {
    this.abandon()
    conn.close()
  }

  onClose(_conn: Conn, _error: string | null): void {
    this.abandon()
  }

  // ---- the session ----

  onRequest(id: number, fields: HeaderField[], endStream: boolean): void {
    const stream = new DownstreamStream(this, fields, endStream)
    this.session.accept(stream, id, endStream)
    stream.start()
  }

  onRequestTooLarge(id: number, endStream: boolean): void {
    const stream = new Stream()
    const session = this.session
    session.accept(stream, id, endStream)
    const value = this.service.refuse(REFUSAL_HEAD_TOO_LARGE, `stream ${id}`)
    session.sendHead(stream, answerFields(this.shared.fields, REFUSAL_HEAD_TOO_LARGE, value, false), true)
    session.reset(stream, NO_ERROR)
  }

  onRequestMalformed(message: string): void {
    this.service.refuse(REFUSAL_MALFORMED, message)
  }

  onResponse(): void {}

  onTrailers(stream: Stream, fields: HeaderField[]): void {
    if (stream instanceof DownstreamStream) stream.requestTrailers(fields)
  }

  onRemoteEnd(stream: Stream): void {
    if (stream instanceof DownstreamStream) stream.requestEnded()
  }

  onLocalEnd(stream: Stream): void {
    if (stream instanceof DownstreamStream) stream.localEnd()
  }

  onReset(stream: Stream, code: number): void {
    if (stream instanceof DownstreamStream) stream.clientGone(code)
  }

  onStreamError(stream: Stream, code: number, message: string): void {
    this.shared.env.log.info("client broke HTTP/2 on a stream", { code: errorName(code), detail: message })
    if (stream instanceof DownstreamStream) stream.clientGone(INTERNAL_ERROR)
  }

  onSettings(): void {}

  onGoaway(_lastId: number, _code: number): void {
    // Concerns streams that we would open, and we open none. The client closes when its streams are done.
  }

  onPingAck(): void {
    if (!this.drainPinged) return
    this.drainPinged = false
    this.session.goaway(this.session.lastPeerId, NO_ERROR)
    this.closeIfDone()
  }

  onClosed(_stream: Stream): void {
    if (this.session.draining) this.closeIfDone()
  }

  onConnectionError(code: number, message: string): void {
    this.shared.env.log.info("client broke HTTP/2", {
      peer: `${this.conn.remoteAddress}:${this.conn.remotePort}`,
      code: errorName(code),
      detail: message,
    })
    this.abandon()
    this.conn.close()
  }
}
