// Header names and fields as objects that outlive one request: what the proxy must know about a field (is it
// allowed, what does it mean, how is it written in HPACK) is found out once and hangs on the field.
import { huffmanDecode, huffmanDecodedBound } from "./huffman.ts"

/** What a name means to the proxy. Pseudo-headers come first, so that `kind <= LAST_PSEUDO` finds them. */
export const KIND_METHOD = 1
/** `:scheme` */
export const KIND_SCHEME = 2
/** `:authority` */
export const KIND_AUTHORITY = 3
/** `:path` */
export const KIND_PATH = 4
/** `:protocol` (RFC 8441 section 4). */
export const KIND_PROTOCOL = 5
/** `:status` */
export const KIND_STATUS = 6
/** Any other name with a colon in front: malformed (RFC 9113 section 8.3). */
export const KIND_UNKNOWN_PSEUDO = 7
/** All kinds up to this one are pseudo-headers. */
export const LAST_PSEUDO = 7
/** `host` */
export const KIND_HOST = 8
/** `content-length` */
export const KIND_CONTENT_LENGTH = 9
/** `content-type` */
export const KIND_CONTENT_TYPE = 10
/** `te`, of which HTTP/2 allows `trailers` only (RFC 9113 section 8.2.2). */
export const KIND_TE = 11
/** Connection-specific fields have no place in HTTP/2 (RFC 9113 section 8.2.2). */
export const KIND_CONNECTION_SPECIFIC = 12
/** `grpc-status` */
export const KIND_GRPC_STATUS = 13
/** The header that says a proxy of the mesh answered; stripped from what applications send. */
export const KIND_PROXY_ERROR = 14
/** All other names. */
export const KIND_PLAIN = 15

const KINDS: ReadonlyMap<string, number> = new Map([
  [":method", KIND_METHOD],
  [":scheme", KIND_SCHEME],
  [":authority", KIND_AUTHORITY],
  [":path", KIND_PATH],
  [":protocol", KIND_PROTOCOL],
  [":status", KIND_STATUS],
  ["host", KIND_HOST],
  ["content-length", KIND_CONTENT_LENGTH],
  ["content-type", KIND_CONTENT_TYPE],
  ["te", KIND_TE],
  ["connection", KIND_CONNECTION_SPECIFIC],
  ["keep-alive", KIND_CONNECTION_SPECIFIC],
  ["proxy-connection", KIND_CONNECTION_SPECIFIC],
  ["transfer-encoding", KIND_CONNECTION_SPECIFIC],
  ["upgrade", KIND_CONNECTION_SPECIFIC],
  ["grpc-status", KIND_GRPC_STATUS],
  ["conduit-proxy-error", KIND_PROXY_ERROR],
])

/** A field that makes its message malformed, whatever the rest says (RFC 9113 section 8.2.1). */
export const FIELD_MALFORMED = 1
/** Was sent as never indexed (RFC 7541 section 6.2.3) and must be passed on so; never kept. */
export const FIELD_NEVER_INDEXED = 2
/** `content-type: application/grpc...` */
export const FIELD_GRPC = 4

/** A field's name, with what follows from it. */
export class HeaderName {
  /** The name in octets as Latin-1. */
  readonly text: string
  /** The name as an HPACK string literal, length prefix included. */
  readonly wire: Uint8Array
  /** Length in octets, decoded. */
  readonly length: number
  readonly hash: number
  /** First row of the static table with this name, or 0. */
  readonly staticIndex: number
  readonly kind: number
  /** Lower-case and made of token characters, or a pseudo-header. */
  readonly valid: boolean

  constructor(text: string, wire: Uint8Array, hash: number, staticIndex: number) {
    this.text = text
    this.wire = wire
    this.length = text.length
    this.hash = hash
    this.staticIndex = staticIndex
    this.kind = KINDS.get(text) ?? (text.charCodeAt(0) === 0x3a ? KIND_UNKNOWN_PSEUDO : KIND_PLAIN)
    this.valid = isValidName(text)
  }
}

/** One field: name and value. Immutable but for the promotion to an interned one. */
export class HeaderField {
  readonly name: HeaderName
  /** The value as an HPACK string literal, length prefix included; not a view of a connection's chunk if kept. */
  wire: Uint8Array
  /** Length of the value in octets, decoded. */
  readonly length: number
  readonly hash: number
  readonly flags: number
  /** `:status`, `content-length` and `grpc-status` as a number; -1 otherwise. */
  readonly number: number
  /** Number among the interned fields, from 1; 0 as long as it was seen only once. */
  id = 0
  /** Row of the static table that is this field, or 0. */
  staticIndex = 0
  private text: string | null

  constructor(
    name: HeaderName,
    wire: Uint8Array,
    length: number,
    hash: number,
    flags: number,
    number: number,
    text: string | null,
  ) {
    this.name = name
    this.wire = wire
    this.length = length
    this.hash = hash
    this.flags = flags
    this.number = number
    this.text = text
  }

  /** Size in a dynamic table (RFC 7541 section 4.1). */
  get size(): number {
    return this.name.length + this.length + 32
  }

  /** The value as Latin-1 text, made when first asked for. */
  get value(): string {
    if (this.text === null) this.text = literalText(this.wire)
    return this.text
  }
}

/** Decodes a string literal (length prefix included) that is known to be valid. */
function literalText(wire: Uint8Array): string {
  let start = 1
  const first = wire[0] as number
  if ((first & 0x7f) === 0x7f) {
    while (((wire[start++] as number) & 0x80) !== 0);
  }
  if ((first & 0x80) === 0) return latin1(wire, start, wire.length)
  const decoded = new Uint8Array(huffmanDecodedBound(wire.length - start))
  return latin1(decoded, 0, huffmanDecode(wire, start, wire.length, decoded))
}

/** `bytes[start, end)` as Latin-1 text. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1")
}

/** Token characters (RFC 9110 section 5.6.2) without upper case; a colon only in front (RFC 9113 section 8.2.1). */
function isValidName(text: string): boolean {
  let i = text.charCodeAt(0) === 0x3a ? 1 : 0
  // A name of no octets is refused (CVE-2019-9516: they cost memory and carry nothing).
  if (text.length === i) return false
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i)
    const lowerOrDigit = (c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39)
    if (!lowerOrDigit && !"!#$%&'*+-.^_`|~".includes(text[i] as string)) return false
  }
  return true
}

/**
 * Flags of a value: may it be passed on? Control characters could become line ends in an HTTP/1 hop and are never
 * forwarded (RFC 9113 section 8.2.1, RFC 9110 section 5.5); what names a target is held to more.
 */
export function classifyValue(name: HeaderName, bytes: Uint8Array, length: number): number {
  if (!name.valid) return FIELD_MALFORMED
  const kind = name.kind
  // In a pseudo-header or Host, blanks would move the borders of a request line.
  const lowest = kind <= KIND_HOST ? 0x21 : 0x20
  for (let i = 0; i < length; i++) {
    const c = bytes[i] as number
    if ((c < lowest && !(c === 0x09 && lowest === 0x20)) || c === 0x7f) return FIELD_MALFORMED
  }
  if (length > 0 && kind > LAST_PSEUDO && (isBlank(bytes[0]) || isBlank(bytes[length - 1])))
    return FIELD_MALFORMED
  switch (kind) {
    case KIND_METHOD:
      return isToken(bytes, length) ? 0 : FIELD_MALFORMED
    case KIND_SCHEME:
    case KIND_PROTOCOL:
      return length > 0 ? 0 : FIELD_MALFORMED
    case KIND_PATH: {
      if (length === 0) return FIELD_MALFORMED
      const asterisk = length === 1 && bytes[0] === 0x2a
      return bytes[0] === 0x2f || asterisk ? 0 : FIELD_MALFORMED
    }
    case KIND_AUTHORITY:
    case KIND_HOST:
      for (let i = 0; i < length; i++) {
        const c = bytes[i]
        // "/", "?", "#" would begin a path, "@" carries credentials (RFC 9113 section 8.3.1), "," joins two hosts.
        if (c === 0x2f || c === 0x3f || c === 0x23 || c === 0x40 || c === 0x2c || c === 0x5c)
          return FIELD_MALFORMED
      }
      return 0
    case KIND_STATUS:
      return length === 3 && isDigits(bytes, length) && bytes[0] !== 0x30 ? 0 : FIELD_MALFORMED
    case KIND_CONTENT_LENGTH:
      // 15 digits stay exact in a number; nobody sends a petabyte.
      return length > 0 && length <= 15 && isDigits(bytes, length) ? 0 : FIELD_MALFORMED
    case KIND_TE:
      return latin1(bytes, 0, length).toLowerCase() === "trailers" ? 0 : FIELD_MALFORMED
    case KIND_CONTENT_TYPE:
      return isGrpcType(latin1(bytes, 0, length)) ? FIELD_GRPC : 0
    default:
      return 0
  }
}

/** The number that a value stands for, where the proxy asks for it; -1 otherwise. */
export function numberOf(name: HeaderName, bytes: Uint8Array, length: number): number {
  const kind = name.kind
  if (kind !== KIND_STATUS && kind !== KIND_CONTENT_LENGTH && kind !== KIND_GRPC_STATUS) return -1
  if (length === 0 || length > 15 || !isDigits(bytes, length)) return -1
  let number = 0
  for (let i = 0; i < length; i++) number = number * 10 + (bytes[i] as number) - 0x30
  return number
}

function isBlank(c: number | undefined): boolean {
  return c === 0x20 || c === 0x09
}

function isDigits(bytes: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i++) {
    const c = bytes[i] as number
    if (c < 0x30 || c > 0x39) return false
  }
  return true
}

function isToken(bytes: Uint8Array, length: number): boolean {
  if (length === 0) return false
  for (let i = 0; i < length; i++) {
    const c = bytes[i] as number
    const alphanumeric = (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a)
    if (!alphanumeric && !"!#$%&'*+-.^_`|~".includes(String.fromCharCode(c))) return false
  }
  return true
}

/** application/grpc, application/grpc+proto, application/grpc;charset=..., but not application/grpc-web. */
function isGrpcType(value: string): boolean {
  if (!value.toLowerCase().startsWith("application/grpc")) return false
  const next = value[16]
  return next === undefined || next === "+" || next === ";" || next === " "
}
