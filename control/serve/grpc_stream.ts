// The server's side of one bidirectional gRPC stream over HTTP/2, on encoded messages: what is sent to many
// streams is encoded once by the caller. Implements "gRPC over HTTP2" (grpc.io, PROTOCOL-HTTP2).
import type { ServerHttp2Stream } from "node:http2"

/** Bytes before a message: one of flags, four of length. */
const GRPC_PREFIX_BYTES = 5
/** Largest message that is taken: a proxy's requests are a few dozen bytes. */
export const MAX_GRPC_REQUEST_BYTES = 64 * 1024

/**
 * A peer that leaves more than this unread is cut; it reconnects and resumes. Room for the whole state of some
 * ten services with thousands of endpoints each.
 */
export const MAX_UNREAD_BYTES = 8 * 1024 * 1024

// Status codes of gRPC (grpc.io, statuscodes.md), as `finish` takes them.

/** The stream ended as it should. */
export const GRPC_OK = 0
/** The peer sent what is no request: it will not be better at another try. */
export const GRPC_INVALID_ARGUMENT = 3
/** The peer is not who it says it is, or not one of those that are served. */
export const GRPC_PERMISSION_DENIED = 7
/** The peer asks for more than is given to one. */
export const GRPC_RESOURCE_EXHAUSTED = 8
/** The peer uses a part of the protocol that is not served. */
export const GRPC_UNIMPLEMENTED = 12
/** Not now: another try, perhaps elsewhere, may do. */
export const GRPC_UNAVAILABLE = 14

const NO_BYTES: Buffer = Buffer.alloc(0)

/** What happens on a stream. */
export interface GrpcStreamHandler {
  /** A message came; the bytes are valid during the call only. */
  onMessage(message: Uint8Array): void
  /** The stream is over, from whichever side; called once. */
  onClose(): void
}

/** One stream. Nothing throws; a stream that is over takes no more. */
export class GrpcStream {
  private readonly stream: ServerHttp2Stream
  private readonly handler: GrpcStreamHandler
  private readonly waiting: Uint8Array[] = []
  private waitingBytes = 0
  private input = NO_BYTES
  private status = GRPC_OK
  private statusMessage = ""
  private over = false

  /**
   * Answers a request, and reads from it.
   *
   * @param handler  told of what comes; made at once, before anything does
   */
  constructor(stream: ServerHttp2Stream, handler: (stream: GrpcStream) => GrpcStreamHandler) {
    this.stream = stream
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true })
    stream.on("wantTrailers", () => {
      const message = encodeURIComponent(this.statusMessage)
      stream.sendTrailers({
        "grpc-status": String(this.status),
        ...(message === "" ? {} : { "grpc-message": message }),
      })
    })
    stream.on("error", () => this.gone())
    stream.on("close", () => this.gone())
    stream.on("aborted", () => this.gone())
    stream.on("end", () => this.finish(GRPC_OK, ""))
    this.handler = handler(this)
    stream.on("data", (chunk: Buffer) => this.take(chunk))
  }

  /** Bytes that were sent and that the peer has not made room for yet. */
  get queuedBytes(): number {
    return this.waitingBytes + this.stream.writableLength
  }

  /**
   * Sends a message, made of parts that may be shared with other streams, with the others of this turn in one write.
   *
   * @returns false if the peer has left more than MAX_UNREAD_BYTES unread: the stream is cut
   */
  sendMessage(...parts: readonly Uint8Array[]): boolean {
    let length = 0
    for (const part of parts) length += part.length
    if (this.queuedBytes + length > MAX_UNREAD_BYTES) {
      this.drop()
      return false
    }
    const frame = Buffer.allocUnsafe(GRPC_PREFIX_BYTES + length)
    frame[0] = 0
    frame.writeUInt32BE(length, 1)
    let at = GRPC_PREFIX_BYTES
    for (const part of parts) {
      frame.set(part, at)
      at += part.length
    }
    this.send(frame)
    return true
  }

  private send(frame: Uint8Array): void {
    if (this.over) return
    if (this.waiting.length === 0) queueMicrotask(() => this.flush())
    this.waiting.push(frame)
    this.waitingBytes += frame.length
  }

  /**
   * Ends the stream with a status, after what was sent.
   *
   * @param status  one of the codes above
   * @param message  a sentence for the peer's log; empty for GRPC_OK
   */
  finish(status: number, message: string): void {
    if (this.over) return
    this.flush()
    this.status = status
    this.statusMessage = message
    this.over = true
    this.stream.end()
    this.handler.onClose()
  }

  /** Cuts the stream, with all that is queued: for a peer that does not read. */
  drop(): void {
    if (this.over) return
    this.gone()
    this.stream.destroy()
  }

  private gone(): void {
    this.waiting.length = 0
    this.waitingBytes = 0
    if (this.over) return
    this.over = true
    this.handler.onClose()
  }

  private flush(): void {
    const [first] = this.waiting
    if (first === undefined || this.over) return
    this.stream.write(this.waiting.length === 1 ? first : Buffer.concat(this.waiting))
    this.waiting.length = 0
    this.waitingBytes = 0
  }

  private take(chunk: Buffer): void {
    this.input = this.input.length === 0 ? chunk : Buffer.concat([this.input, chunk])
    while (!this.over && this.input.length >= GRPC_PREFIX_BYTES) {
      const length = this.input.readUInt32BE(1)
      const end = GRPC_PREFIX_BYTES + length
      if (this.input[0] !== 0) this.finish(GRPC_UNIMPLEMENTED, "compressed messages are not taken")
      else if (length > MAX_GRPC_REQUEST_BYTES) {
        const message = `a message of ${length} bytes is more than ${MAX_GRPC_REQUEST_BYTES}`
        this.finish(GRPC_RESOURCE_EXHAUSTED, message)
      } else if (this.input.length < end) break
      else {
        const message = this.input.subarray(GRPC_PREFIX_BYTES, end)
        // Of a chunk that is used up nothing may be held on to: most streams fall silent after their first messages.
        this.input = this.input.length === end ? NO_BYTES : this.input.subarray(end)
        this.handler.onMessage(message)
      }
    }
  }
}
