// As much of DER (ITU-T X.690) as a certificate signing request and a look into one's own certificate need. A library for
// it, or the runtime's own `node:crypto`, costs 1.4 MB of memory in every pod.

/** Tag of a whole number: two's complement, most significant byte first. One of X.680's universal types, as all here. */
export const DER_INTEGER = 0x02
/** Tag of bits: a byte that counts the unused ones at the end, then the bits. */
export const DER_BIT_STRING = 0x03
/** Tag of bytes. */
export const DER_OCTET_STRING = 0x04
/** Tag of an object identifier. */
export const DER_OID = 0x06
/** Tag of a time with a year of two digits: `YYMMDDhhmmssZ`. */
export const DER_UTC_TIME = 0x17
/** Tag of a time with a year of four digits: `YYYYMMDDhhmmssZ`. */
export const DER_GENERALIZED_TIME = 0x18
/** Tag of elements in a given order. */
export const DER_SEQUENCE = 0x30
/** Tag of elements in no order of their own. */
export const DER_SET = 0x31

/** The bytes are no DER, or not what was looked for. The message says which; it holds nothing of them but tags. */
export class DerError extends Error {}

/** An element: its tag, the length of the parts in the shortest form, and the parts one after the other. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts)
  return Buffer.concat([Uint8Array.of(tag), derLength(content.length), content])
}

function derLength(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length)
  const bytes: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return Uint8Array.of(0x80 | bytes.length, ...bytes)
}

/**
 * An INTEGER that is not negative.
 *
 * @param bytes  most significant first, at least one; leading zeros are left out, and one is put in where the first bit
 *   would be taken for a sign
 */
export function derUnsigned(bytes: Uint8Array): Uint8Array {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const magnitude = bytes.subarray(start)
  const isNegative = ((magnitude[0] ?? 0) & 0x80) !== 0
  return der(DER_INTEGER, isNegative ? Uint8Array.of(0) : new Uint8Array(0), magnitude)
}

/** One element that was read. */
export interface DerElement {
  /** Class, form and type in one byte: one of the `DER_` constants, or of another class such as `0xa0`. */
  readonly tag: number
  /** What it holds: a view of the bytes that were given, not a copy. */
  readonly content: Uint8Array
}

/** Reads the elements that stand one after the other in some bytes. Hostile bytes end in a DerError, and take no more time. */
export class DerReader {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Whether nothing is left. */
  get atEnd(): boolean {
    return this.at >= this.bytes.length
  }

  /** The tag of the next element, -1 at the end. */
  get nextTag(): number {
    return this.bytes[this.at] ?? -1
  }

  /**
   * The next element; the reader then stands after it.
   *
   * @param tag  the only one that is taken; any when left out
   * @throws DerError when it is cut off, has another tag, or a length that is indefinite or of more than four bytes
   */
  next(tag?: number): DerElement {
    const { bytes } = this
    const found = bytes[this.at]
    const first = bytes[this.at + 1]
    if (found === undefined || first === undefined) throw new DerError("an element is cut off")
    if (tag !== undefined && found !== tag) throw new DerError(`tag ${found} where ${tag} was expected`)
    let start = this.at + 2
    let length = first
    if (first >= 0x80) {
      const width = first & 0x7f
      if (width === 0 || width > 4) throw new DerError("a length of a kind that DER does not know")
      length = 0
      for (let i = 0; i < width; i++) length = length * 256 + (bytes[start++] ?? 0)
    }
    if (length > bytes.length - start) throw new DerError("an element is cut off")
    this.at = start + length
    return { tag: found, content: bytes.subarray(start, this.at) }
  }

  /** A reader of the elements within the next one; this one then stands after it. @throws DerError as `next` */
  enter(tag: number): DerReader {
    return new DerReader(this.next(tag).content)
  }
}
