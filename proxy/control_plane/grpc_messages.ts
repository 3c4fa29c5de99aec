// Messages of a gRPC stream, cut out of its DATA: a flag, four bytes of length, the message (gRPC over HTTP2,
// "Length-Prefixed-Message").
import { readUint32, writeUint32 } from "./http2_wire.ts"

/** Largest message taken: the whole state of a Service with tens of thousands of endpoints. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024

/** gRPC codes of what the cutter refuses. */
const GRPC_UNKNOWN = 2
const GRPC_RESOURCE_EXHAUSTED = 8

const PREFIX_BYTES = 5

/** A message with its prefix, as it is sent. */
export function framedMessage(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(PREFIX_BYTES + message.length)
  writeUint32(framed, 1, message.length)
  framed.set(message, PREFIX_BYTES)
  return framed
}

/** What the cutter finds. */
export interface MessageCutterHandler {
  /** A message; the bytes may be kept. The cutter may be stopped within. */
  onMessage(message: Uint8Array): void
  /** What came is not to be taken; stop the cutter. */
  onError(code: number, reason: string): void
}

/** Puts messages together from pieces. */
export class MessageCutter {
  private readonly handler: MessageCutterHandler
  private partial: Uint8Array | null = null
  private length = 0
  private stopped = false

  constructor(handler: MessageCutterHandler) {
    this.handler = handler
  }

  /** Takes in what came. */
  take(bytes: Uint8Array): void {
    let at = 0
    while (!this.stopped && at < bytes.length) {
      const partial = this.partial ?? new Uint8Array(PREFIX_BYTES)
      this.partial = partial
      const count = Math.min(partial.length - this.length, bytes.length - at)
      partial.set(bytes.subarray(at, at + count), this.length)
      this.length += count
      at += count
      if (this.length < partial.length) return
      if (this.length === PREFIX_BYTES && !this.isEmpty(partial)) continue
      this.partial = null
      this.length = 0
      this.handler.onMessage(partial.subarray(PREFIX_BYTES))
    }
  }

  /** Takes nothing more. */
  stop(): void {
    this.stopped = true
    this.partial = null
  }

  /** The prefix is here. True for a message without bytes; else makes room for what follows. */
  private isEmpty(prefix: Uint8Array): boolean {
    const length = readUint32(prefix, 1)
    if (prefix[0] !== 0) {
      this.refuse(GRPC_UNKNOWN, "the server compressed a message, which was not offered")
      return false
    }
    if (length > MAX_MESSAGE_BYTES) {
      this.refuse(
        GRPC_RESOURCE_EXHAUSTED,
        `a message of ${length} bytes exceeds the limit of ${MAX_MESSAGE_BYTES}`,
      )
      return false
    }
    if (length === 0) return true
    this.partial = new Uint8Array(PREFIX_BYTES + length)
    this.partial.set(prefix)
    return false
  }

  private refuse(code: number, reason: string): void {
    this.stop()
    this.handler.onError(code, reason)
  }
}
