// Reads header blocks (RFC 7541 sections 3 and 6): one connection's dynamic table, yielding interned fields.
import type { FieldTable } from "./field_table.ts"
import type { HeaderField, HeaderName } from "./header_field.ts"
import { STATIC_TABLE_LENGTH } from "./static_table.ts"

/** SETTINGS_HEADER_TABLE_SIZE, which bounds each direction's dynamic table: the protocol's default (section 6.5.2). */
export const HEADER_TABLE_BYTES = 4096

/**
 * Longest header list taken, by the measure of RFC 9113 section 6.5.2 (name + value + 32 for each field), announced
 * as SETTINGS_MAX_HEADER_LIST_SIZE. It also bounds expansion: one octet can name a field of 4 KiB (CVE-2016-6581,
 * the HPACK bomb). Others stop at 60 KiB, and people hit it.
 */
export const MAX_HEADER_LIST_BYTES = 131_072

/** Most fields in a list: what a backend with fixed arrays can take; others stop at 100, and people hit it. */
export const MAX_HEADER_FIELDS = 500

/** The block was decoded. */
export const DECODE_OK = 0
/** The block is invalid: the connection's tables no longer agree (COMPRESSION_ERROR). */
export const DECODE_INVALID = 1
/** The block is valid and the tables agree, but the list is over a limit and was not kept in full. */
export const DECODE_TOO_LARGE = 2

/** Decodes the header blocks that one peer sends. */
export class HpackDecoder {
  private readonly fields: FieldTable
  /** What we announced: the peer may choose any size up to it. */
  private limitBytes: number
  /** What the peer chose. */
  private capacityBytes: number
  private usedBytes = 0
  /** The peer must begin its next block with a size update, since the limit fell below its choice (section 4.2). */
  private updateDue = false
  // The dynamic table as a ring: the newest entry is at `newest`, older ones before it.
  private ring: (HeaderField | null)[]
  private mask: number
  private newest = 0
  private count = 0
  // Of the integer or literal read last.
  private position = 0
  private textStart = 0

  constructor(fields: FieldTable, limitBytes: number = HEADER_TABLE_BYTES) {
    this.fields = fields
    this.limitBytes = limitBytes
    this.capacityBytes = limitBytes
    const length = ringLength(limitBytes)
    this.ring = new Array(length).fill(null)
    this.mask = length - 1
  }

  /** Octets in the dynamic table now, by the measure of section 4.1. */
  get tableBytes(): number {
    return this.usedBytes
  }

  /** Sets SETTINGS_HEADER_TABLE_SIZE as acknowledged by the peer. */
  setLimit(bytes: number): void {
    this.limitBytes = bytes
    this.updateDue = bytes < this.capacityBytes
    const length = ringLength(bytes)
    if (length <= this.ring.length) return
    const ring: (HeaderField | null)[] = new Array(length).fill(null)
    for (let age = 0; age < this.count; age++) {
      ring[(length - 1 - age) & (length - 1)] = this.ring[(this.newest - age) & this.mask] ?? null
    }
    this.ring = ring
    this.mask = length - 1
    this.newest = length - 1
  }

  /**
   * Decodes the whole block `from[start, end)` and appends its fields to `into`.
   *
   * @returns DECODE_OK, DECODE_INVALID or DECODE_TOO_LARGE
   */
  decode(from: Uint8Array, start: number, end: number, into: HeaderField[]): number {
    let listBytes = 0
    let tooLarge = false
    let fieldSeen = false
    this.position = start
    while (this.position < end) {
      const first = from[this.position] as number
      let field: HeaderField | null
      if ((first & 0x80) !== 0) {
        const index = this.integer(from, end, 7)
        field = this.lookUp(index)
        if (field === null) return DECODE_INVALID
        // Met again by its index: now it is worth keeping.
        if (field.id === 0) this.fields.promote(field)
      } else if ((first & 0xe0) === 0x20) {
        const size = this.integer(from, end, 5)
        // Section 4.2: only at the beginning of a block, and within the limit.
        if (fieldSeen || size < 0 || size > this.limitBytes) return DECODE_INVALID
        this.capacityBytes = size
        this.updateDue = false
        this.evictTo(size)
        continue
      } else {
        const indexing = (first & 0x40) !== 0
        const name = this.name(from, end, this.integer(from, end, indexing ? 6 : 4))
        if (name === null) return DECODE_INVALID
        const valueStart = this.position
        const valueEnd = this.literalEnd(from, end)
        if (valueEnd < 0) return DECODE_INVALID
        const never = !indexing && (first & 0x10) !== 0
        field = this.fields.internField(name, from, valueStart, this.textStart, valueEnd, never)
        if (field === null) return DECODE_INVALID
        this.position = valueEnd
        if (indexing) this.insert(field)
      }
      if (this.updateDue) return DECODE_INVALID
      fieldSeen = true
      listBytes += field.name.length + field.length + 32
      if (listBytes > MAX_HEADER_LIST_BYTES || into.length >= MAX_HEADER_FIELDS) tooLarge = true
      else into.push(field)
    }
    return tooLarge ? DECODE_TOO_LARGE : DECODE_OK
  }

  /** The field at an index of both tables (section 2.3.3), or null. */
  private lookUp(index: number): HeaderField | null {
    if (index <= STATIC_TABLE_LENGTH) return index > 0 ? (this.fields.statics[index] ?? null) : null
    const age = index - STATIC_TABLE_LENGTH - 1
    return age < this.count ? (this.ring[(this.newest - age) & this.mask] as HeaderField) : null
  }

  /** The name of a literal: by index, or (index 0) the literal at the position. */
  private name(from: Uint8Array, end: number, index: number): HeaderName | null {
    if (index !== 0) {
      const field = index > 0 ? this.lookUp(index) : null
      return field === null ? null : field.name
    }
    const start = this.position
    const literalEnd = this.literalEnd(from, end)
    if (literalEnd < 0) return null
    this.position = literalEnd
    return this.fields.internName(from, start, this.textStart, literalEnd)
  }

  /** Where the literal at the position ends, or -1 if it passes the block; sets where its text starts. */
  private literalEnd(from: Uint8Array, end: number): number {
    if (this.position >= end) return -1
    const length = this.integer(from, end, 7)
    if (length < 0 || length > end - this.position) return -1
    this.textStart = this.position
    return this.position + length
  }

  /** Reads an integer (section 5.1) at the position and moves past it; -1 if cut off or over 2^28. */
  private integer(from: Uint8Array, end: number, prefixBits: number): number {
    const limit = (1 << prefixBits) - 1
    let value = (from[this.position++] as number) & limit
    if (value < limit) return value
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.position >= end) return -1
      const octet = from[this.position++] as number
      value += (octet & 0x7f) << shift
      if ((octet & 0x80) === 0) return value
    }
    return -1
  }

  private insert(field: HeaderField): void {
    const size = field.size
    if (size > this.capacityBytes) {
      this.evictTo(0)
      return
    }
    this.evictTo(this.capacityBytes - size)
    this.newest = (this.newest + 1) & this.mask
    this.ring[this.newest] = field
    this.count++
    this.usedBytes += size
  }

  private evictTo(bytes: number): void {
    while (this.usedBytes > bytes) {
      const oldest = (this.newest - this.count + 1) & this.mask
      this.usedBytes -= (this.ring[oldest] as HeaderField).size
      this.ring[oldest] = null
      this.count--
    }
  }
}

/** Slots for a table of so many octets: each entry counts for at least 32. A power of two. */
function ringLength(bytes: number): number {
  let length = 16
  while (length < bytes / 32) length *= 2
  return length
}
