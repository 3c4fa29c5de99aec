// A request head: request line and fields (RFC 9112 sections 2 to 3.3), strict where request smuggling begins.

import { ASCII_CLASS, COLON, CR, equalsIgnoreCase, IS_TARGET, IS_TOKEN, LF, SLASH, SP } from "../ascii.ts"
import {
  FAULT_BARE_CR,
  FAULT_BARE_LF,
  FAULT_CODING_UNKNOWN,
  FAULT_CODING_VERSION,
  FAULT_CONNECT_BODY,
  FAULT_HEAD_SIZE,
  FAULT_HOST,
  FAULT_HOST_MISMATCH,
  FAULT_HOST_MISSING,
  FAULT_HOST_REPEATED,
  FAULT_LENGTH_AND_CODING,
  FAULT_METHOD_LENGTH,
  FAULT_REQUEST_LINE,
  FAULT_TARGET,
  FAULT_VERSION,
  FAULT_VERSION_UNSUPPORTED,
  PARSE_NEED_MORE,
} from "./fault.ts"
import { HEAD_BYTES_MAX, LEADING_EMPTY_LINES_MAX, METHOD_BYTES_MAX } from "./limits.ts"
import {
  CODING_LIST_CHUNKED,
  CODING_NONE,
  CONNECTION_CLOSE,
  CONNECTION_KEEP_ALIVE,
  CONNECTION_UPGRADE,
  MessageHead,
} from "./message_head.ts"
import { latin1, type TextCache } from "./text_cache.ts"

/** Methods with a meaning for framing or retries; all others are METHOD_OTHER. */
export const METHOD_OTHER = 0
/** Safe (RFC 9110 section 9.3.1). */
export const METHOD_GET = 1
/** Safe; its answer has no body (RFC 9110 section 9.3.2). */
export const METHOD_HEAD = 2
/** Neither safe nor idempotent (RFC 9110 section 9.3.3). */
export const METHOD_POST = 3
/** Idempotent (RFC 9110 section 9.3.4). */
export const METHOD_PUT = 4
/** Idempotent (RFC 9110 section 9.3.5). */
export const METHOD_DELETE = 5
/** Safe (RFC 9110 section 9.3.7). */
export const METHOD_OPTIONS = 6
/** Safe (RFC 9110 section 9.3.8). */
export const METHOD_TRACE = 7
/** A tunnel, no body (RFC 9110 section 9.3.6). */
export const METHOD_CONNECT = 8
/** Not idempotent (RFC 5789). */
export const METHOD_PATCH = 9

const METHODS: readonly string[] = [
  "",
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "CONNECT",
  "PATCH",
]

/** Whether sending the request twice means the same as once (RFC 9110 section 9.2.2). */
export function isIdempotent(method: number): boolean {
  return (
    method !== METHOD_OTHER && method !== METHOD_POST && method !== METHOD_CONNECT && method !== METHOD_PATCH
  )
}

function methodNumber(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  for (let number = 1; number < METHODS.length; number++) {
    const name = METHODS[number] as string
    if (name.length !== length) continue
    let i = 0
    while (i < length && bytes[start + i] === name.charCodeAt(i)) i++
    if (i === length) return number
  }
  return METHOD_OTHER
}

/** A request head. One object serves a connection's requests one after the other. */
export class RequestHead extends MessageHead {
  /** One of the METHOD_ constants. */
  methodNumber = METHOD_OTHER
  targetStart = 0
  targetEnd = 0
  /** Bounds of the authority: in an absolute target, in CONNECT's target, or else in Host; -1 when there is none. */
  private authorityStart = -1
  private authorityEnd = -1
  /** Where path and query begin in the target. */
  private pathStart = 0
  private methodEnd = 0
  /** Empty lines before the head, those included that earlier calls saw and that were dropped since. */
  private emptyLines = 0
  private readonly texts: TextCache

  /** @param texts  keeps the authority's strings; shared by all connections */
  constructor(texts: TextCache) {
    super()
    this.texts = texts
  }

  /** As sent. */
  get method(): string {
    return this.methodNumber === METHOD_OTHER
      ? latin1(this.bytes, this.start, this.methodEnd)
      : (METHODS[this.methodNumber] as string)
  }

  /** Host, or the authority of the target where that has one (RFC 9112 section 3.2.2); "" if none. Interned. */
  get authority(): string {
    return this.authorityStart < 0 ? "" : this.texts.text(this.bytes, this.authorityStart, this.authorityEnd)
  }

  /** Path and query as sent, one character a byte; CONNECT's and `OPTIONS *`'s target as it is. */
  get path(): string {
    return this.pathStart === this.targetEnd ? "/" : latin1(this.bytes, this.pathStart, this.targetEnd)
  }

  get isGrpc(): boolean {
    const start = this.contentTypeStart
    return (
      start >= 0 &&
      this.contentTypeEnd - start >= 16 &&
      equalsIgnoreCase(this.bytes, start, start + 16, "application/grpc")
    )
  }

  get isChunked(): boolean {
    return this.coding !== CODING_NONE
  }

  /** Whether the client keeps the connection for another request (RFC 9112 section 9.3). */
  get keepsAlive(): boolean {
    if ((this.connection & CONNECTION_CLOSE) !== 0) return false
    return this.minor === 1 || (this.connection & CONNECTION_KEEP_ALIVE) !== 0
  }

  /** Whether the request asks for another protocol on this connection (RFC 9110 section 7.8). */
  get wantsUpgrade(): boolean {
    return this.hasUpgrade && this.minor === 1 && (this.connection & CONNECTION_UPGRADE) !== 0
  }

  /** What it upgrades to, in lower case: one protocol, a list as it was sent, or `several` for several fields. */
  get upgrade(): string {
    if (!this.wantsUpgrade) return ""
    // Set with `hasUpgrade`.
    return this.upgradeRepeated ? "several" : (this.header("upgrade") ?? "").trim().toLowerCase()
  }

  /**
   * Whether a method that has no use for a body brings one. The framing is clear, yet servers that ignore such
   * bodies take them for the next request: neither connection is used again after it.
   */
  get hasSuspectBody(): boolean {
    return (
      (this.methodNumber === METHOD_GET || this.methodNumber === METHOD_HEAD) &&
      (this.contentLength > 0 || this.coding !== CODING_NONE)
    )
  }

  /**
   * Reads a head that begins at `from`. A result for a part of the bytes never contradicts that for all of them.
   *
   * @param end  how far `bytes` is filled
   * @returns the offset behind the head, PARSE_NEED_MORE (then `start` tells how many empty lines may be dropped),
   *   or a fault
   */
  parse(bytes: Uint8Array, from: number, end: number): number {
    let at = from
    while (at < end && bytes[at] === CR) {
      if (this.emptyLines === LEADING_EMPTY_LINES_MAX) return FAULT_REQUEST_LINE
      if (at + 1 >= end) break
      if (bytes[at + 1] !== LF) return FAULT_BARE_CR
      at += 2
      this.emptyLines++
    }
    this.reset(bytes, at)
    if (at >= end || bytes[at] === CR) return PARSE_NEED_MORE
    this.emptyLines = 0
    const limit = at + HEAD_BYTES_MAX
    const result = this.parseWithin(bytes, at, Math.min(end, limit))
    if (result === PARSE_NEED_MORE) return end >= limit ? FAULT_HEAD_SIZE : PARSE_NEED_MORE
    if (result < 0) return result
    this.end = result
    const fault = this.validate()
    return fault === 0 ? result : fault
  }

  private parseWithin(bytes: Uint8Array, start: number, end: number): number {
    const classes = ASCII_CLASS
    let at = start
    while (at < end && ((classes[bytes[at] as number] as number) & IS_TOKEN) !== 0) at++
    if (at - start > METHOD_BYTES_MAX) return FAULT_METHOD_LENGTH
    if (at >= end) return PARSE_NEED_MORE
    if (at === start || bytes[at] !== SP) return bytes[at] === LF ? FAULT_BARE_LF : FAULT_REQUEST_LINE
    this.methodEnd = at
    this.methodNumber = methodNumber(bytes, start, at)

    const targetStart = ++at
    while (at < end && ((classes[bytes[at] as number] as number) & IS_TARGET) !== 0) at++
    if (at >= end) return PARSE_NEED_MORE
    if (at === targetStart || bytes[at] !== SP) return FAULT_TARGET
    this.targetStart = targetStart
    this.targetEnd = at
    const targetFault = this.parseTarget(bytes, targetStart, at)
    if (targetFault !== 0) return targetFault

    const version = at + 1
    for (let i = 0; i < 8; i++) {
      if (version + i >= end) return PARSE_NEED_MORE
      const byte = bytes[version + i] as number
      const matches = i === 5 || i === 7 ? byte >= 48 && byte <= 57 : byte === "HTTP/1.1".charCodeAt(i)
      if (!matches) return FAULT_VERSION
    }
    at = version + 8
    if (at >= end) return PARSE_NEED_MORE
    if (bytes[at] !== CR) return bytes[at] === LF ? FAULT_BARE_LF : FAULT_VERSION
    if (at + 1 >= end) return PARSE_NEED_MORE
    if (bytes[at + 1] !== LF) return FAULT_BARE_CR
    this.minor = (bytes[version + 7] as number) - 48
    if (bytes[version + 5] !== 49 || this.minor > 1) return FAULT_VERSION_UNSUPPORTED
    this.fieldsStart = at + 2
    return this.parseFields(bytes, at + 2, end)
  }

  /** The four forms of RFC 9112 section 3.2. */
  private parseTarget(bytes: Uint8Array, start: number, end: number): number {
    this.pathStart = start
    this.authorityStart = -1
    this.authorityEnd = -1
    if (this.methodNumber === METHOD_CONNECT) {
      for (let i = start; i < end; i++) if (!isHostByte(bytes[i] as number)) return FAULT_TARGET
      this.authorityStart = start
      this.authorityEnd = end
      return 0
    }
    if (bytes[start] === SLASH) return 0
    if (bytes[start] === 42)
      return end - start === 1 && this.methodNumber === METHOD_OPTIONS ? 0 : FAULT_TARGET
    let at = start
    while (at < end && isSchemeByte(bytes[at] as number)) at++
    if (at === start || at + 3 > end) return FAULT_TARGET
    if (bytes[at] !== COLON || bytes[at + 1] !== SLASH || bytes[at + 2] !== SLASH) return FAULT_TARGET
    at += 3
    this.authorityStart = at
    while (at < end && isHostByte(bytes[at] as number)) at++
    this.authorityEnd = at
    if (at === this.authorityStart) return FAULT_TARGET
    if (at < end && bytes[at] !== SLASH && bytes[at] !== 63) return FAULT_TARGET
    this.pathStart = at
    return 0
  }

  private validate(): number {
    const { bytes } = this
    if (this.hostRepeated) return FAULT_HOST_REPEATED
    if (this.hostStart < 0) {
      if (this.minor === 1) return FAULT_HOST_MISSING
    } else {
      for (let i = this.hostStart; i < this.hostEnd; i++) {
        if (!isHostByte(bytes[i] as number)) return FAULT_HOST
      }
      if (this.authorityStart < 0) {
        this.authorityStart = this.hostStart
        this.authorityEnd = this.hostEnd
      } else if (this.methodNumber !== METHOD_CONNECT && !this.hostMatchesTarget()) {
        return FAULT_HOST_MISMATCH
      }
    }
    if (this.coding !== CODING_NONE) {
      if (this.contentLength >= 0) return FAULT_LENGTH_AND_CODING
      if (this.minor === 0) return FAULT_CODING_VERSION
      if (this.coding === CODING_LIST_CHUNKED) return FAULT_CODING_UNKNOWN
    }
    if (this.methodNumber === METHOD_CONNECT && (this.contentLength > 0 || this.coding !== CODING_NONE)) {
      return FAULT_CONNECT_BODY
    }
    return 0
  }

  private hostMatchesTarget(): boolean {
    const length = this.hostEnd - this.hostStart
    if (this.authorityEnd - this.authorityStart !== length) return false
    for (let i = 0; i < length; i++) {
      const a = this.bytes[this.hostStart + i] as number
      const b = this.bytes[this.authorityStart + i] as number
      if (a !== b && (a | 32) !== (b | 32)) return false
    }
    return true
  }
}

/** Bytes of `host [":" port]`, loosely: visible, and none that ends an authority or begins another part. */
function isHostByte(byte: number): boolean {
  if (((ASCII_CLASS[byte] as number) & IS_TARGET) === 0) return false
  // / ? @ , \ " < >
  return (
    byte !== SLASH &&
    byte !== 63 &&
    byte !== 64 &&
    byte !== 44 &&
    byte !== 92 &&
    byte !== 34 &&
    byte !== 60 &&
    byte !== 62
  )
}

function isSchemeByte(byte: number): boolean {
  const folded = byte | 32
  return (
    (folded >= 97 && folded <= 122) || (byte >= 48 && byte <= 57) || byte === 43 || byte === 45 || byte === 46
  )
}
