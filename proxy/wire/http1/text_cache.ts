// Turns bytes that come again and again (Host values) into one string each, without decoding them again.

/** Slots, a power of two: clients of one proxy name few hosts; a collision costs one decoding. */
export const TEXT_CACHE_SLOTS = 256

/** Longest text kept, so that the whole cache stays below 64 KiB. */
export const TEXT_CACHE_BYTES_MAX = 128

class Entry {
  readonly bytes: Uint8Array
  readonly text: string

  constructor(bytes: Uint8Array, text: string) {
    this.bytes = bytes
    this.text = text
  }
}

/** bytes[start, end) as text, one character a byte, so that nothing that was sent is lost. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.prototype.latin1Slice.call(bytes, start, end)
}

/** A direct-mapped cache of short texts, keyed by a hash of their raw bytes. */
export class TextCache {
  private readonly entries: (Entry | null)[] = new Array(TEXT_CACHE_SLOTS).fill(null)

  /** The text of bytes[start, end), one character a byte. */
  text(bytes: Uint8Array, start: number, end: number): string {
    const length = end - start
    if (length === 0) return ""
    if (length > TEXT_CACHE_BYTES_MAX) return latin1(bytes, start, end)
    let hash = length
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] as number)) | 0
    const slot = (hash ^ (hash >>> 11)) & (TEXT_CACHE_SLOTS - 1)
    const entry = this.entries[slot]
    if (entry && entry.bytes.length === length) {
      let i = 0
      while (i < length && entry.bytes[i] === bytes[start + i]) i++
      if (i === length) return entry.text
    }
    const text = latin1(bytes, start, end)
    this.entries[slot] = new Entry(bytes.slice(start, end), text)
    return text
  }
}
