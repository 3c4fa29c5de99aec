// Puts a head together that arrives in pieces. The common case, a head within one chunk, never comes here.

import { LF } from "../ascii.ts"
import { HEAD_BYTES_MAX } from "./limits.ts"

const FIRST_BYTES = 2048

/**
 * Bytes of an unfinished head. Each byte is looked at once, however small the pieces, so that a client that sends
 * a large head byte by byte costs no more than one that sends it whole.
 */
export class HeadAssembler {
  private bytes: Uint8Array | null = null
  private length = 0
  private searched = 0

  /** Whether a piece is kept. */
  get isEmpty(): boolean {
    return this.length === 0
  }

  /** Size of the block that is kept, at most twice the longest head and one chunk. */
  get keptBytes(): number {
    return this.bytes?.length ?? 0
  }

  /** Keeps bytes[start, end), in which a parser found no end. */
  keep(bytes: Uint8Array, start: number, end: number): void {
    this.append(bytes, start, end)
    this.searched = this.length
  }

  /**
   * Adds a chunk.
   *
   * @returns everything from the head's first byte, the caller's to keep, once an empty line or the limit is
   *   reached; null while a parser would find nothing new
   */
  join(chunk: Uint8Array): Uint8Array | null {
    this.append(chunk, 0, chunk.length)
    // Set by append().
    const bytes = this.bytes as Uint8Array
    let at = this.searched < 3 ? 0 : this.searched - 3
    let found = this.length >= HEAD_BYTES_MAX
    while (!found && at < this.length) {
      if (bytes[at] === LF && (bytes[at + 1] === LF || bytes[at + 2] === LF)) {
        // Bytes behind `length` may be left over from nothing: the block is fresh, hence zero there.
        found = true
      }
      at++
    }
    this.searched = this.length
    if (!found) return null
    const joined = bytes.subarray(0, this.length)
    this.clear()
    return joined
  }

  /** Forgets what is kept. */
  clear(): void {
    this.bytes = null
    this.length = 0
    this.searched = 0
  }

  private append(bytes: Uint8Array, start: number, end: number): void {
    const needed = this.length + end - start
    let block = this.bytes
    if (block === null || needed > block.length) {
      const grown = new Uint8Array(Math.max(FIRST_BYTES, needed, (block?.length ?? 0) * 2))
      if (block !== null) grown.set(block.subarray(0, this.length))
      block = grown
      this.bytes = grown
    }
    block.set(bytes.subarray(start, end), this.length)
    this.length = needed
  }
}
