// Puts a header block together that came in HEADERS and CONTINUATION frames (RFC 9113 section 6.10).
import { MAX_HEADER_LIST_BYTES } from "./hpack_decoder.ts"

/** Longest header block in its compressed form, and so the end of a flood of CONTINUATION frames (CVE-2024-27316). */
export const MAX_HEADER_BLOCK_BYTES = MAX_HEADER_LIST_BYTES

/** CONTINUATION frames of one block; honest senders fill them, so that nine suffice for the longest. */
export const MAX_CONTINUATIONS = 32

/** The header block under way on a connection. */
export class HeaderBlock {
  /** Stream of the block; 0 when none is under way. */
  streamId = 0
  /** END_STREAM was set on HEADERS. */
  endStream = false
  /** The octets so far, `length` of them. */
  bytes: Uint8Array = EMPTY
  length = 0
  private continuations = 0

  /** HEADERS without END_HEADERS: keeps `from[start, end)`. */
  begin(streamId: number, endStream: boolean, from: Uint8Array, start: number, end: number): void {
    this.streamId = streamId
    this.endStream = endStream
    this.bytes = new Uint8Array(Math.max(2 * (end - start), 1024))
    this.bytes.set(from.subarray(start, end))
    this.length = end - start
    this.continuations = 0
  }

  /** CONTINUATION: adds `from[start, end)`; false when over a limit. */
  append(from: Uint8Array, start: number, end: number): boolean {
    const length = this.length + end - start
    if (++this.continuations > MAX_CONTINUATIONS || length > MAX_HEADER_BLOCK_BYTES) return false
    if (length > this.bytes.length) {
      const larger = new Uint8Array(length * 2)
      larger.set(this.bytes.subarray(0, this.length))
      this.bytes = larger
    }
    this.bytes.set(from.subarray(start, end), this.length)
    this.length = length
    return true
  }

  /** END_HEADERS: gives the buffer away. */
  finish(): Uint8Array {
    const bytes = this.bytes
    this.bytes = EMPTY
    this.streamId = 0
    return bytes
  }
}

const EMPTY = new Uint8Array(0)
