// What a server's HEADERS and CONTINUATION frames say of one gRPC stream: the HTTP status, and the gRPC status in the
// trailers (RFC 9113 section 8.1; gRPC over HTTP2, "Responses").
import {
  DECODE_OK,
  type FieldTable,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  type HeaderField,
  HpackDecoder,
} from "./http2_wire.ts"

/** Header blocks of a response are a few hundred octets; more is no gRPC server. */
export const MAX_HEADER_BLOCK_BYTES = 16 * 1024

/** The header blocks of one response, put together and read. */
export class GrpcResponse {
  /** 0 before the response's head has come. */
  httpStatus = 0
  /** -1 before the trailers have come, or when they have none. */
  grpcStatus = -1
  /** "" when the server gave none. */
  grpcMessage = ""
  /** Whether the last block ended the stream. */
  endsStream = false
  private readonly decoder: HpackDecoder
  private block: Uint8Array | null = null

  constructor(fields: FieldTable) {
    this.decoder = new HpackDecoder(fields)
  }

  /** Whether a block has begun that CONTINUATION must go on with. */
  get inBlock(): boolean {
    return this.block !== null
  }

  /** Takes a HEADERS frame. @returns what is wrong with it, or null */
  begin(flags: number, payload: Uint8Array): string | null {
    const start = (flags & FLAG_PADDED ? 1 : 0) + (flags & FLAG_PRIORITY ? 5 : 0)
    const padding = flags & FLAG_PADDED ? (payload[0] ?? 0) : 0
    if (start + padding > payload.length) return "the server sent a header block with too much padding"
    this.endsStream = (flags & FLAG_END_STREAM) !== 0
    this.block = payload.slice(start, payload.length - padding)
    return flags & FLAG_END_HEADERS ? this.read(this.block) : null
  }

  /** Takes a CONTINUATION frame. @returns what is wrong with it, or null */
  continue(flags: number, payload: Uint8Array): string | null {
    const before = this.block
    if (before === null || before.length + payload.length > MAX_HEADER_BLOCK_BYTES) {
      return "the server sent a header block that is too long or out of place"
    }
    this.block = new Uint8Array(before.length + payload.length)
    this.block.set(before)
    this.block.set(payload, before.length)
    return flags & FLAG_END_HEADERS ? this.read(this.block) : null
  }

  private read(block: Uint8Array): string | null {
    this.block = null
    const fields: HeaderField[] = []
    if (this.decoder.decode(block, 0, block.length, fields) !== DECODE_OK) {
      return "the server sent a header block that is not valid HPACK"
    }
    for (const field of fields) {
      const name = field.name.text
      if (name === ":status") this.httpStatus = Number(field.value)
      else if (name === "grpc-status") this.grpcStatus = Number(field.value)
      else if (name === "grpc-message") this.grpcMessage = decodeMessage(field.value)
    }
    return null
  }
}

/** grpc-message is percent-encoded; what is not valid stays as it is. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
