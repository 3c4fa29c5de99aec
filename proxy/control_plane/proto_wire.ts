// Protocol Buffers' wire format, as much of it as the proxy's few messages need (protobuf.dev, encoding). The general
// library with its reflection costs 2.6 MB of every proxy's memory; tests hold this to what that one reads and writes.

/** Wire types. */
export const WIRE_VARINT = 0
const WIRE_FIXED64 = 1
/** Strings, bytes, messages, packed numbers. */
export const WIRE_BYTES = 2
const WIRE_FIXED32 = 5

/** The bytes are no protobuf message. */
export class ProtoError extends Error {}

/** Highest length that takes one byte, and highest character. */
const MAX_ONE_BYTE = 127

/** Highest number of a field. */
const MAX_FIELD = 2 ** 29 - 1

const TEXT_DECODER_OPTIONS = { fatal: true }

/** Reads a message field by field. */
export class ProtoReader {
  /** Wire type of the field that `next` found. */
  wireType = 0
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /**
   * Number of the next field, 0 at the end. Read or `skip` it before the next call.
   *
   * @throws ProtoError for a number that no field can have
   */
  next(): number {
    if (this.at >= this.bytes.length) return 0
    const tag = this.varint()
    this.wireType = tag & 7
    const field = Math.floor(tag / 8)
    if (field === 0 || field > MAX_FIELD) throw new ProtoError(`a field has the number ${field}`)
    return field
  }

  /**
   * A varint as a number; exact to 2^53.
   *
   * @throws ProtoError when it is cut off or longer than ten bytes, like all that read
   */
  varint(): number {
    let value = 0
    let factor = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw new ProtoError("a number is cut off")
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
      factor *= 128
    }
    throw new ProtoError("a number has more than ten bytes")
  }

  /** A double. */
  double(): number {
    if (this.wireType !== WIRE_FIXED64)
      throw new ProtoError(`wire type ${this.wireType} where a double was expected`)
    const start = this.at
    this.advance(8)
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + start, 8).getFloat64(0, true)
  }

  /** Takes the numbers of a repeated field, packed or one. */
  varints(into: number[]): void {
    if (this.wireType !== WIRE_BYTES) {
      into.push(this.varint())
      return
    }
    const packed = this.message()
    while (packed.at < packed.bytes.length) into.push(packed.varint())
  }

  /** Bytes of a string, bytes or message field; a view. */
  view(): Uint8Array {
    if (this.wireType !== WIRE_BYTES)
      throw new ProtoError(`wire type ${this.wireType} where bytes were expected`)
    const length = this.varint()
    const start = this.at
    if (length > this.bytes.length - start) throw new ProtoError("a field is cut off")
    this.at = start + length
    return this.bytes.subarray(start, this.at)
  }

  /** A string. */
  text(): string {
    const view = this.view()
    try {
      return new TextDecoder("utf-8", TEXT_DECODER_OPTIONS).decode(view)
    } catch {
      throw new ProtoError("a string is not UTF-8")
    }
  }

  /** A message within this one. */
  message(): ProtoReader {
    return new ProtoReader(this.view())
  }

  /** Passes over a field that is not known. */
  skip(): void {
    if (this.wireType === WIRE_VARINT) this.varint()
    else if (this.wireType === WIRE_BYTES) this.view()
    else if (this.wireType === WIRE_FIXED64) this.advance(8)
    else if (this.wireType === WIRE_FIXED32) this.advance(4)
    else throw new ProtoError(`wire type ${this.wireType} does not exist`)
  }

  private advance(bytes: number): void {
    this.at += bytes
    if (this.at > this.bytes.length) throw new ProtoError("a field is cut off")
  }
}

/** Writes a message field by field. Fields with default values are the caller's to leave out. */
export class ProtoWriter {
  private bytes = new Uint8Array(256)
  private view = new DataView(this.bytes.buffer)
  private length = 0
  private readonly open: number[] = []

  /** A number from 0 to 2^53. */
  varint(field: number, value: number): void {
    this.tag(field, WIRE_VARINT)
    this.rawVarint(value)
  }

  /** A double. */
  double(field: number, value: number): void {
    this.tag(field, WIRE_FIXED64)
    this.rawDouble(value)
  }

  /** A fixed number of 64 bits. */
  fixed64(field: number, value: bigint): void {
    this.tag(field, WIRE_FIXED64)
    this.reserve(8)
    this.view.setBigUint64(this.length, value, true)
    this.length += 8
  }

  /** Bytes. */
  blob(field: number, value: Uint8Array): void {
    this.tag(field, WIRE_BYTES)
    this.rawVarint(value.length)
    this.reserve(value.length)
    this.bytes.set(value, this.length)
    this.length += value.length
  }

  /** A string; nothing if it is empty, as proto3 has it. */
  text(field: number, value: string): void {
    if (value !== "" && !this.shortAscii(field, value)) this.blob(field, Buffer.from(value, "utf8"))
  }

  /** What most strings are, without a buffer for each. False: it was neither, and nothing was written. */
  private shortAscii(field: number, value: string): boolean {
    const { length } = value
    if (length > MAX_ONE_BYTE) return false
    const before = this.length
    this.tag(field, WIRE_BYTES)
    this.reserve(length + 1)
    const { bytes } = this
    let at = this.length
    bytes[at++] = length
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code > MAX_ONE_BYTE) {
        this.length = before
        return false
      }
      bytes[at++] = code
    }
    this.length = at
    return true
  }

  /** Begins a message or a packed list; what follows is part of it until `end`. */
  begin(field: number): void {
    this.tag(field, WIRE_BYTES)
    this.reserve(1)
    this.open.push(this.length++)
  }

  /** Ends what `begin` began. */
  end(): void {
    const start = this.open.pop()
    if (start === undefined) throw new Error("protobuf writer: end without begin")
    const length = this.length - start - 1
    let extra = 0
    for (let rest = length; rest >= 128; rest = Math.floor(rest / 128)) extra++
    // Room for one byte of length was left, enough for most; longer content moves up.
    this.reserve(extra)
    if (extra > 0) this.bytes.copyWithin(start + 1 + extra, start + 1, this.length)
    const end = this.length + extra
    this.length = start
    this.rawVarint(length)
    this.length = end
  }

  /** A number within a packed list. */
  rawVarint(value: number): void {
    this.reserve(10)
    let rest = value
    while (rest >= 128) {
      this.bytes[this.length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.bytes[this.length++] = rest
  }

  /** A double within a packed list. */
  rawDouble(value: number): void {
    this.reserve(8)
    this.view.setFloat64(this.length, value, true)
    this.length += 8
  }

  /** The message; the writer is empty afterwards and may be used again. */
  finish(): Uint8Array {
    const message = this.bytes.slice(0, this.length)
    this.length = 0
    return message
  }

  private tag(field: number, wireType: number): void {
    this.rawVarint(field * 8 + wireType)
  }

  private reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }
}
