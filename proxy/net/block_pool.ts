// Output buffers, pooled: allocating one per batch of frames cost a fifth of the throughput.

/** Size of a pooled block: holds the heads and small frames of one turn of the loop for most connections. */
export const BLOCK_BYTES = 16 * 1024

/** Blocks kept for reuse (2 MiB); a burst that needs more gives the rest back to the collector. */
export const POOL_MAX_BLOCKS = 128

/** Blocks of `BLOCK_BYTES` bytes for output that is being put together. */
export class BlockPool {
  private readonly free: Uint8Array[] = []

  /** A block with arbitrary content, at least `bytes` long; larger than `BLOCK_BYTES` only if asked for. */
  take(bytes: number): Uint8Array {
    if (bytes > BLOCK_BYTES) return new Uint8Array(new ArrayBuffer(bytes))
    return this.free.pop() ?? new Uint8Array(new ArrayBuffer(BLOCK_BYTES))
  }

  /** Gives a block back; the caller must hold no slice of it any more. */
  give(block: Uint8Array): void {
    if (block.length === BLOCK_BYTES && this.free.length < POOL_MAX_BLOCKS) this.free.push(block)
  }
}
