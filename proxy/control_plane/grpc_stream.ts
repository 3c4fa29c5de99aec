// One gRPC stream to the control plane on an HTTP/2 connection of its own (gRPC over HTTP2; RFC 9113), on encoded
// messages. The runtime's HTTP/2 client costs 5 MB of memory and a Connect client 3 more; this one costs next to none.
import {
  type Clock,
  type Conn,
  type ConnHandler,
  callbackTimer,
  type Timer,
  type TimerWheel,
} from "../net/mod.ts"
import { MessageCutter } from "./grpc_messages.ts"
import { frameOf, type GrpcRequest, openingBytes } from "./grpc_opening.ts"
import { GrpcOutput } from "./grpc_output.ts"
import { GrpcResponse } from "./grpc_response.ts"
import {
  errorName,
  type FieldTable,
  FLAG_ACK,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FRAME_CONTINUATION,
  FRAME_DATA,
  FRAME_GOAWAY,
  FRAME_HEAD_BYTES,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_PUSH_PROMISE,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_WINDOW_UPDATE,
  MAX_FRAME_BYTES,
  readUint31,
  readUint32,
  writeUint32,
} from "./http2_wire.ts"

/** Flow-control window offered, for stream and connection: a burst of answers after a reconnect needs no round trips. */
export const RECEIVE_WINDOW_BYTES = 1024 * 1024

/** Silence after which a PING asks whether the peer is alive (Linkerd: 10 s). */
export const PING_INTERVAL_MS = 10_000

/** Time for the answer to a PING, and for the first SETTINGS of a new connection. */
export const PING_TIMEOUT_MS = 3000

/** gRPC code of a stream that broke. */
export const GRPC_UNAVAILABLE = 14
const GRPC_UNKNOWN = 2

const STREAM_ID = 1

/** What happens on a stream. */
export interface GrpcStreamHandler {
  /** The connection is up and speaks HTTP/2: messages may be sent (they may be sent before, too, and wait). */
  onOpen(): void
  /** A message; the bytes may be kept. */
  onMessage(message: Uint8Array): void
  /** The stream is over, from whichever side; once. `code` 0 is a proper end. */
  onEnd(code: number, reason: string): void
}

/** Where a stream goes and what it needs. */
export interface GrpcStreamOptions extends GrpcRequest {
  readonly fields: FieldTable
  readonly clock: Clock
  readonly timers: TimerWheel
}

/** A stream. Make it, dial with it as handler, then `start(conn)`. */
export class GrpcStream implements ConnHandler {
  /** Messages received. */
  received = 0
  private readonly handler: GrpcStreamHandler
  private readonly clock: Clock
  private readonly timers: TimerWheel
  private readonly response: GrpcResponse
  private readonly timer: Timer
  private conn: Conn | null = null
  private over = false
  private spoken = false
  private pinging = false
  private heardMs = 0
  private input: Uint8Array | null = null
  private readonly messages: MessageCutter
  private readonly output: GrpcOutput
  private unacknowledged = 0
  /** What is sent first, until it is. */
  private opening: Uint8Array | null

  constructor(handler: GrpcStreamHandler, options: GrpcStreamOptions) {
    this.handler = handler
    this.clock = options.clock
    this.timers = options.timers
    this.response = new GrpcResponse(options.fields)
    this.output = new GrpcOutput(STREAM_ID, frame => this.conn?.send(frame))
    this.timer = callbackTimer(() => this.onTimer())
    this.opening = openingBytes(options, STREAM_ID, RECEIVE_WINDOW_BYTES)
    this.messages = new MessageCutter({
      onMessage: message => {
        this.received++
        handler.onMessage(message)
      },
      onError: (code, reason) => this.end(code, reason),
    })
  }

  /** Sends the preface and the request's head over a connection that was dialled with this as its handler. */
  start(conn: Conn): void {
    this.conn = conn
    this.heardMs = this.clock.nowMs
    if (this.opening !== null) conn.send(this.opening)
    this.opening = null
  }

  /** Sends one message; it waits where flow control says so. */
  send(message: Uint8Array): void {
    if (!this.over) this.output.send(message)
  }

  /** No more messages will be sent; the server may still answer. */
  finish(): void {
    if (!this.over) this.output.finish()
  }

  /** Bytes sent that flow control still holds back. */
  get queuedBytes(): number {
    return this.output.queuedBytes
  }

  /** Ends it now. `onEnd` is called with code 0 unless it was before. */
  abort(): void {
    this.end(0, "closed by the proxy")
  }

  onOpen(_conn: Conn): void {
    this.heardMs = this.clock.nowMs
    this.timers.schedule(this.timer, PING_TIMEOUT_MS)
  }

  onDrain(_conn: Conn): void {}

  onEnd(_conn: Conn): void {
    this.end(GRPC_UNAVAILABLE, "the server closed the connection")
  }

  onClose(_conn: Conn, error: string | null): void {
    this.end(
      GRPC_UNAVAILABLE,
      error === null ? "the connection was closed" : `the connection failed: ${error}`,
    )
  }

  onData(_conn: Conn, chunk: Uint8Array): void {
    this.heardMs = this.clock.nowMs
    this.pinging = false
    let bytes = chunk
    if (this.input !== null) {
      bytes = new Uint8Array(this.input.length + chunk.length)
      bytes.set(this.input)
      bytes.set(chunk, this.input.length)
      this.input = null
    }
    let at = 0
    while (!this.over && bytes.length - at >= FRAME_HEAD_BYTES) {
      const length = readUint32(bytes, at) >>> 8
      if (length > MAX_FRAME_BYTES) {
        this.end(
          GRPC_UNAVAILABLE,
          `a frame of ${length} bytes exceeds what was announced; is this a gRPC port?`,
        )
        return
      }
      const payload = at + FRAME_HEAD_BYTES
      if (bytes.length - payload < length) break
      // The head has nine octets, and they are here.
      this.frame(
        bytes[at + 3]!,
        bytes[at + 4]!,
        readUint31(bytes, at + 5),
        bytes.subarray(payload, payload + length),
      )
      at = payload + length
    }
    // What is left is less than a frame; a copy, so that the chunk does not stay.
    if (!this.over && at < bytes.length) this.input = bytes.slice(at)
  }

  private frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    if (!this.spoken && type !== FRAME_SETTINGS) {
      this.end(GRPC_UNAVAILABLE, "the server does not speak HTTP/2; is this a gRPC port?")
      return
    }
    if (this.response.inBlock && type !== FRAME_CONTINUATION) {
      this.end(GRPC_UNAVAILABLE, "the server broke off a header block")
      return
    }
    switch (type) {
      case FRAME_SETTINGS:
        if ((flags & FLAG_ACK) === 0) this.settings(payload)
        return
      case FRAME_PING:
        if ((flags & FLAG_ACK) === 0 && payload.length === 8) this.sendFrame(FRAME_PING, FLAG_ACK, 0, payload)
        return
      case FRAME_GOAWAY:
        // The server takes nothing new; what runs goes on, if it counts our stream among it.
        if (payload.length >= 8 && readUint31(payload, 0) < STREAM_ID) {
          this.end(GRPC_UNAVAILABLE, `the server went away: ${errorName(readUint32(payload, 4))}`)
        }
        return
      case FRAME_WINDOW_UPDATE:
        if (payload.length === 4) this.output.grant(streamId, readUint31(payload, 0))
        return
      case FRAME_PUSH_PROMISE:
        this.end(GRPC_UNAVAILABLE, "the server pushed, which was switched off")
        return
    }
    if (streamId !== STREAM_ID) return
    if (type === FRAME_DATA) this.data(flags, payload)
    else if (type === FRAME_HEADERS || type === FRAME_CONTINUATION) this.headers(type, flags, payload)
    else if (type === FRAME_RST_STREAM && payload.length === 4) {
      this.end(GRPC_UNAVAILABLE, `the server reset the stream: ${errorName(readUint32(payload, 0))}`)
    }
  }

  private settings(payload: Uint8Array): void {
    this.output.settings(payload)
    this.sendFrame(FRAME_SETTINGS, FLAG_ACK, 0, NOTHING)
    if (!this.spoken) {
      this.spoken = true
      this.timers.schedule(this.timer, PING_INTERVAL_MS)
      this.handler.onOpen()
      if (this.over) return
      this.output.open()
    } else this.output.pump()
  }

  private headers(type: number, flags: number, payload: Uint8Array): void {
    const { response } = this
    const complaint =
      type === FRAME_HEADERS ? response.begin(flags, payload) : response.continue(flags, payload)
    if (complaint !== null) this.end(GRPC_UNAVAILABLE, complaint)
    else if (response.inBlock) return
    else if (response.endsStream) this.endOfStream()
    else if (response.httpStatus !== 200 && response.httpStatus >= 200) {
      this.end(GRPC_UNAVAILABLE, `the server answered HTTP status ${response.httpStatus}`)
    }
  }

  private endOfStream(): void {
    const { grpcStatus, grpcMessage, httpStatus } = this.response
    if (grpcStatus >= 0) this.end(grpcStatus, grpcMessage)
    else this.end(GRPC_UNKNOWN, `the stream ended without a gRPC status (HTTP status ${httpStatus})`)
  }

  private data(flags: number, payload: Uint8Array): void {
    this.unacknowledged += payload.length
    if (this.unacknowledged >= RECEIVE_WINDOW_BYTES / 2) {
      const increment = new Uint8Array(4)
      writeUint32(increment, 0, this.unacknowledged)
      this.sendFrame(FRAME_WINDOW_UPDATE, 0, 0, increment)
      this.sendFrame(FRAME_WINDOW_UPDATE, 0, STREAM_ID, increment)
      this.unacknowledged = 0
    }
    const padding = flags & FLAG_PADDED ? (payload[0] ?? 0) + 1 : 0
    if (padding > payload.length) {
      this.end(GRPC_UNAVAILABLE, "the server sent data with too much padding")
      return
    }
    const start = flags & FLAG_PADDED ? 1 : 0
    this.messages.take(payload.subarray(start, payload.length - (padding - start)))
    if (!this.over && flags & FLAG_END_STREAM) this.endOfStream()
  }

  private sendFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    if (this.conn === null || this.over) return
    this.conn.send(frameOf(type, flags, streamId, payload))
  }

  private onTimer(): void {
    if (this.over) return
    const silent = this.clock.nowMs - this.heardMs
    if (!this.spoken) this.end(GRPC_UNAVAILABLE, "the server sent nothing after the connection was made")
    else if (this.pinging) this.end(GRPC_UNAVAILABLE, "the server did not answer a PING")
    else if (silent < PING_INTERVAL_MS) this.timers.schedule(this.timer, PING_INTERVAL_MS - silent)
    else {
      this.pinging = true
      this.sendFrame(FRAME_PING, 0, 0, new Uint8Array(8))
      this.timers.schedule(this.timer, PING_TIMEOUT_MS)
    }
  }

  private end(code: number, reason: string): void {
    if (this.over) return
    this.over = true
    this.timers.cancel(this.timer)
    this.input = null
    this.messages.stop()
    this.output.stop()
    this.conn?.close()
    this.conn = null
    this.handler.onEnd(code, reason)
  }
}

const NOTHING = new Uint8Array(0)
