// The proxy's memory of header fields, shared by all HTTP/2 connections of a process. Found by a hash of the raw
// literal octets, so that a known field costs neither Huffman decoding nor validation.
import {
  classifyValue,
  FIELD_NEVER_INDEXED,
  HeaderField,
  HeaderName,
  latin1,
  numberOf,
} from "./header_field.ts"
import { huffmanDecode, huffmanDecodedBound, huffmanEncode, huffmanEncodedLength } from "./huffman.ts"
import { STATIC_TABLE } from "./static_table.ts"

/**
 * Interned fields kept, a power of two. At most this many times `MAX_INTERNED_BYTES` are held, whatever peers send;
 * a newcomer takes the place of what lay in its slot.
 */
export const INTERNED_FIELDS = 4096

/** Interned names kept, a power of two; bounded for the same reason. */
export const INTERNED_NAMES = 1024

/** Longer literals are not interned: they are rarely repeated and would make the table heavy. */
export const MAX_INTERNED_BYTES = 512

/** Hashes remembered to recognise a second sight, a power of two. */
const SEEN_HASHES = 8192

/** Interns names and fields. */
export class FieldTable {
  /** Row n of the static table as a field, at index n; 0 is empty. */
  readonly statics: readonly (HeaderField | null)[]
  private readonly fields: (HeaderField | null)[] = new Array(INTERNED_FIELDS).fill(null)
  private readonly names: (HeaderName | null)[] = new Array(INTERNED_NAMES).fill(null)
  private readonly seen = new Int32Array(SEEN_HASHES)
  private readonly staticNames = new Map<string, number>()
  private readonly staticRows = new Map<string, number>()
  private scratch = new Uint8Array(4096)
  private nextId = 1

  constructor() {
    const statics: (HeaderField | null)[] = [null]
    const names = new Map<string, HeaderName>()
    for (let i = 0; i < STATIC_TABLE.length; i++) {
      // i runs over the rows of the table.
      const [nameText, value] = STATIC_TABLE[i]!
      if (!this.staticNames.has(nameText)) this.staticNames.set(nameText, i + 1)
      this.staticRows.set(`${nameText}\0${value}`, i + 1)
      let name = names.get(nameText)
      if (name === undefined) {
        name = this.nameOf(nameText)
        names.set(nameText, name)
      }
      const field = this.field(name, value)
      field.staticIndex = i + 1
      statics.push(field)
    }
    this.statics = statics
  }

  /** A name for fields of our own. */
  nameOf(text: string): HeaderName {
    const wire = encodeLiteral(text)
    return new HeaderName(
      text,
      wire,
      hashBytes(NAME_SEED, wire, 0, wire.length),
      this.staticNames.get(text) ?? 0,
    )
  }

  /** A field of our own, interned: make it once and keep it. `value` is Latin-1. */
  field(name: HeaderName | string, value: string): HeaderField {
    const field = this.transientField(name, value)
    field.id = this.nextId++
    return field
  }

  /** A field of our own that is sent once, such as an error id. `value` is Latin-1. */
  transientField(name: HeaderName | string, value: string): HeaderField {
    const headerName = typeof name === "string" ? this.nameOf(name) : name
    const wire = encodeLiteral(value)
    const bytes = Buffer.from(value, "latin1")
    const field = new HeaderField(
      headerName,
      wire,
      bytes.length,
      hashBytes(headerName.hash, wire, 0, wire.length),
      classifyValue(headerName, bytes, bytes.length),
      numberOf(headerName, bytes, bytes.length),
      value,
    )
    field.staticIndex = this.staticRows.get(`${headerName.text}\0${value}`) ?? 0
    return field
  }

  /**
   * The name whose string literal is `from[start, end)`, with its text at `textStart`.
   *
   * @returns null if its Huffman code is invalid
   */
  internName(from: Uint8Array, start: number, textStart: number, end: number): HeaderName | null {
    const hash = hashBytes(NAME_SEED, from, start, end)
    const slot = hash & (INTERNED_NAMES - 1)
    const known = this.names[slot] as HeaderName | null
    if (known !== null && known.hash === hash && sameBytes(known.wire, from, start, end)) return known
    const length = this.decodeLiteral(from, start, textStart, end)
    if (length < 0) return null
    const text = latin1(this.scratch, 0, length)
    const name = new HeaderName(text, from.slice(start, end), hash, this.staticNames.get(text) ?? 0)
    if (end - start <= MAX_INTERNED_BYTES) this.names[slot] = name
    return name
  }

  /**
   * The field of `name` whose value's string literal is `from[start, end)`, with its text at `textStart`.
   *
   * @param neverIndexed  sent as a secret: looked at afresh each time, and never kept
   * @returns null if its Huffman code is invalid
   */
  internField(
    name: HeaderName,
    from: Uint8Array,
    start: number,
    textStart: number,
    end: number,
    neverIndexed: boolean,
  ): HeaderField | null {
    const keep = !neverIndexed && end - start <= MAX_INTERNED_BYTES
    let hash = 0
    if (keep) {
      hash = hashBytes(name.hash, from, start, end)
      const known = this.fields[hash & (INTERNED_FIELDS - 1)] as HeaderField | null
      if (
        known !== null &&
        known.hash === hash &&
        known.name === name &&
        sameBytes(known.wire, from, start, end)
      ) {
        return known
      }
      const other = this.fields[(hash >>> 16) & (INTERNED_FIELDS - 1)] as HeaderField | null
      if (
        other !== null &&
        other.hash === hash &&
        other.name === name &&
        sameBytes(other.wire, from, start, end)
      ) {
        return other
      }
    }
    const length = this.decodeLiteral(from, start, textStart, end)
    if (length < 0) return null
    let flags = classifyValue(name, this.scratch, length)
    if (neverIndexed) flags |= FIELD_NEVER_INDEXED
    // A slice, not a view: a field may stay in a dynamic table long after its chunk.
    const number = numberOf(name, this.scratch, length)
    const field = new HeaderField(name, from.slice(start, end), length, hash, flags, number, null)
    if (keep) {
      const slot = hash & (SEEN_HASHES - 1)
      if (this.seen[slot] === hash) this.promote(field)
      else this.seen[slot] = hash
    }
    return field
  }

  /** Makes a field that was met again an interned one. Not for fields that were sent as never indexed. */
  promote(field: HeaderField): void {
    if (field.id !== 0 || (field.flags & FIELD_NEVER_INDEXED) !== 0 || field.wire.length > MAX_INTERNED_BYTES)
      return
    field.id = this.nextId++
    if (field.name.staticIndex > 0) {
      field.staticIndex = this.staticRows.get(`${field.name.text}\0${field.value}`) ?? 0
    }
    const first = field.hash & (INTERNED_FIELDS - 1)
    const second = (field.hash >>> 16) & (INTERNED_FIELDS - 1)
    // Of two full slots the id's parity chooses, so that two hot fields do not evict each other for ever.
    const useSecond = this.fields[first] !== null && (this.fields[second] === null || (field.id & 1) === 1)
    this.fields[useSecond ? second : first] = field
  }

  /** Decodes a string literal into the scratch buffer; the length, or -1. */
  private decodeLiteral(from: Uint8Array, start: number, textStart: number, end: number): number {
    const bound = huffmanDecodedBound(end - textStart)
    if (bound > this.scratch.length) this.scratch = new Uint8Array(bound)
    if (((from[start] as number) & 0x80) !== 0) return huffmanDecode(from, textStart, end, this.scratch)
    const length = end - textStart
    for (let i = 0; i < length; i++) this.scratch[i] = from[textStart + i] as number
    return length
  }
}

const NAME_SEED = 0x811c9dc5

/** FNV-1a, with the high bits mixed in at the end, since slots are taken from low bits. */
function hashBytes(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = seed
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return hash ^ (hash >>> 13)
}

function sameBytes(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false
  return true
}

/** Text as a string literal, Huffman-coded where that is shorter. */
function encodeLiteral(text: string): Uint8Array {
  const bytes = Buffer.from(text, "latin1")
  const coded = huffmanEncodedLength(bytes)
  const huffman = coded < bytes.length
  const length = huffman ? coded : bytes.length
  const out = new Uint8Array(length + 6)
  let at = writeInteger(out, 0, huffman ? 0x80 : 0, 7, length)
  if (huffman) at = huffmanEncode(bytes, out, at)
  else {
    out.set(bytes, at)
    at += bytes.length
  }
  return out.slice(0, at)
}

/** Writes an HPACK integer (RFC 7541 section 5.1) after the bits in `pattern`; returns the end. */
export function writeInteger(
  out: Uint8Array,
  at: number,
  pattern: number,
  prefixBits: number,
  value: number,
): number {
  const limit = (1 << prefixBits) - 1
  if (value < limit) {
    out[at] = pattern | value
    return at + 1
  }
  out[at] = pattern | limit
  let position = at + 1
  let rest = value - limit
  while (rest >= 0x80) {
    out[position++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  out[position++] = rest
  return position
}
