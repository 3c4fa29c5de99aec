// Writes header blocks (RFC 7541 section 6): one connection's dynamic table, found by the numbers of interned fields.
import { writeInteger } from "./field_table.ts"
import { copyBytes } from "./frame.ts"
import { FIELD_NEVER_INDEXED, type HeaderField } from "./header_field.ts"
import { HEADER_TABLE_BYTES } from "./hpack_decoder.ts"
import { STATIC_TABLE_LENGTH } from "./static_table.ts"

/** Slots of the map from a field's number to its entry. A collision costs one literal, never a wrong field. */
const SLOTS = 256

/** Most entries that the table can hold: each counts for at least 32 octets. */
const RING = 128

// What stands for the tables of an encoder that inserted nothing yet; looked into, never written.
const NO_FIELDS: (HeaderField | null)[] = []
const NO_SEQUENCES = new Float64Array(0)
const NO_BYTES = new Uint16Array(0)

/** Octets that a field takes at most beyond its name's and value's literals. */
const FIELD_OVERHEAD = 8

/** Encodes the header blocks that one peer receives. */
export class HpackEncoder {
  /** What the peer allows, and we use. */
  private capacityBytes: number = HEADER_TABLE_BYTES
  private usedBytes = 0
  /** Size updates that the next block must begin with (section 4.2): the lowest since then, and the last; -1 none. */
  private lowestUpdate = -1
  private lastUpdate = -1
  // The map and the ring, made at the first insertion: idle connections have none.
  private slotField: (HeaderField | null)[] = NO_FIELDS
  private slotSequence: Float64Array = NO_SEQUENCES
  private ringBytes: Uint16Array = NO_BYTES
  /** Sequence numbers of the entry inserted next and of the oldest one kept. */
  private nextSequence = 0
  private oldestSequence = 0

  /** Takes the peer's SETTINGS_HEADER_TABLE_SIZE; we never use more than `HEADER_TABLE_BYTES`. */
  setLimit(bytes: number): void {
    const capacity = Math.min(bytes, HEADER_TABLE_BYTES)
    if (capacity === this.capacityBytes) return
    this.capacityBytes = capacity
    this.lowestUpdate = this.lowestUpdate < 0 ? capacity : Math.min(this.lowestUpdate, capacity)
    this.lastUpdate = capacity
    this.evictTo(capacity)
  }

  /** Room that `encode` needs at most for these fields. */
  bound(fields: readonly HeaderField[]): number {
    let bytes = 2 * FIELD_OVERHEAD
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i] as HeaderField
      bytes += field.name.wire.length + field.wire.length + FIELD_OVERHEAD
    }
    return bytes
  }

  /** Writes the block for `fields` into `out` at `at`, where `bound(fields)` octets are free; returns the end. */
  encode(fields: readonly HeaderField[], out: Uint8Array, at: number): number {
    let position = at
    if (this.lastUpdate >= 0) {
      if (this.lowestUpdate < this.lastUpdate)
        position = writeInteger(out, position, 0x20, 5, this.lowestUpdate)
      position = writeInteger(out, position, 0x20, 5, this.lastUpdate)
      this.lowestUpdate = -1
      this.lastUpdate = -1
    }
    for (let i = 0; i < fields.length; i++)
      position = this.encodeField(fields[i] as HeaderField, out, position)
    return position
  }

  private encodeField(field: HeaderField, out: Uint8Array, at: number): number {
    if (field.staticIndex > 0) {
      out[at] = 0x80 | field.staticIndex
      return at + 1
    }
    if (field.id === 0) {
      return writeLiteral(field, (field.flags & FIELD_NEVER_INDEXED) !== 0 ? 0x10 : 0, 4, out, at)
    }
    const slot = field.id & (SLOTS - 1)
    const sequence = this.slotSequence[slot] as number
    if (this.slotField[slot] === field && sequence >= this.oldestSequence) {
      return writeInteger(out, at, 0x80, 7, STATIC_TABLE_LENGTH + this.nextSequence - sequence)
    }
    const size = field.size
    // A field that would push out half of the others does not pay.
    if (size > this.capacityBytes >> 1) return writeLiteral(field, 0, 4, out, at)
    if (this.slotField === NO_FIELDS) this.makeTable()
    this.evictTo(this.capacityBytes - size)
    this.ringBytes[this.nextSequence % RING] = size
    this.usedBytes += size
    this.slotField[slot] = field
    this.slotSequence[slot] = this.nextSequence++
    return writeLiteral(field, 0x40, 6, out, at)
  }

  private makeTable(): void {
    this.slotField = new Array(SLOTS).fill(null)
    this.slotSequence = new Float64Array(SLOTS)
    this.ringBytes = new Uint16Array(RING)
  }

  private evictTo(bytes: number): void {
    while (this.usedBytes > bytes) {
      this.usedBytes -= this.ringBytes[this.oldestSequence % RING] as number
      this.oldestSequence++
    }
  }
}

/** Writes a literal with the given pattern and prefix (sections 6.2.1 to 6.2.3). */
function writeLiteral(
  field: HeaderField,
  pattern: number,
  prefixBits: number,
  out: Uint8Array,
  at: number,
): number {
  const name = field.name
  let position: number
  if (name.staticIndex > 0) {
    position = writeInteger(out, at, pattern, prefixBits, name.staticIndex)
  } else {
    out[at] = pattern
    position = copyBytes(name.wire, 0, name.wire.length, out, at + 1)
  }
  return copyBytes(field.wire, 0, field.wire.length, out, position)
}
