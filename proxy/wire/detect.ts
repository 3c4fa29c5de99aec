// What protocol do the first bytes of a connection speak? The step after accept, before any codec.
// RFC 9112 section 3 (request line), RFC 9113 section 3.4 (preface), RFC 8446 section 4.1.2 (ClientHello).

import { ASCII_CLASS, CR, IS_TARGET, IS_TOKEN, LF, SLASH, SP } from "./ascii.ts"

/** The bytes so far fit several protocols; ask again with more. */
export const DETECT_NEED_MORE = 0
/** A request line of HTTP/1.x. */
export const DETECT_HTTP1 = 1
/** The preface of HTTP/2 (RFC 9113 section 3.4). */
export const DETECT_HTTP2 = 2
/** A ClientHello. */
export const DETECT_TLS = 3
/** None of the protocols that the proxy reads: relay the bytes untouched. */
export const DETECT_OPAQUE = 4
/** One of the DETECT_ constants. */
export type Detection = 0 | 1 | 2 | 3 | 4

/** Longest method looked at. The longest registered one (UPDATEREDIRECTREF) has 17 bytes. */
export const DETECT_METHOD_BYTES_MAX = 32

/**
 * How far the HTTP version is looked for behind a method. Request lines beyond 8000 bytes are beyond what RFC 9112
 * section 3 asks of anyone; here a known method and a path decide without the version.
 */
export const DETECT_LOOKAHEAD_BYTES = 16_384

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
const VERSION = "HTTP/"
const TLS_HANDSHAKE = 0x16
const TLS_CLIENT_HELLO = 1
/** RFC 8446 section 5.1: a plaintext record holds at most 2^14 bytes. */
const TLS_RECORD_BYTES_MAX = 16_384

/**
 * Methods that other text protocols do not use with a path. A line that starts with one and a `/` is bad HTTP rather
 * than something else, and must meet the HTTP codec's refusal instead of passing unread.
 */
const KNOWN_METHODS: readonly string[] = ["GET", "PUT", "HEAD", "POST", "PATCH", "TRACE", "DELETE", "OPTIONS"]

function isKnownMethod(bytes: Uint8Array, length: number): boolean {
  for (const method of KNOWN_METHODS) {
    if (method.length !== length) continue
    let i = 0
    while (i < length && bytes[i] === method.charCodeAt(i)) i++
    if (i === length) return true
  }
  return false
}

function detectTls(bytes: Uint8Array, length: number): Detection {
  if (length > 1 && bytes[1] !== 3) return DETECT_OPAQUE
  if (length > 2 && (bytes[2] as number) > 4) return DETECT_OPAQUE
  if (length > 4) {
    const recordLength = ((bytes[3] as number) << 8) | (bytes[4] as number)
    if (recordLength < 4 || recordLength > TLS_RECORD_BYTES_MAX) return DETECT_OPAQUE
  }
  if (length < 6) return DETECT_NEED_MORE
  return bytes[5] === TLS_CLIENT_HELLO ? DETECT_TLS : DETECT_OPAQUE
}

function detectHttp1(bytes: Uint8Array, length: number): Detection {
  const methodLimit = length < DETECT_METHOD_BYTES_MAX ? length : DETECT_METHOD_BYTES_MAX + 1
  let at = 0
  while (at < methodLimit && ((ASCII_CLASS[bytes[at] as number] as number) & IS_TOKEN) !== 0) at++
  if (at === methodLimit) return at > DETECT_METHOD_BYTES_MAX ? DETECT_OPAQUE : DETECT_NEED_MORE
  if (at === 0 || bytes[at] !== SP) return DETECT_OPAQUE

  const targetStart = at + 1
  const isLikelyHttp = bytes[targetStart] === SLASH && isKnownMethod(bytes, at)
  const limit = Math.min(length, DETECT_LOOKAHEAD_BYTES)
  at = targetStart
  while (at < limit && ((ASCII_CLASS[bytes[at] as number] as number) & IS_TARGET) !== 0) at++
  if (at === limit) {
    if (limit === length && length < DETECT_LOOKAHEAD_BYTES) return DETECT_NEED_MORE
    return isLikelyHttp ? DETECT_HTTP1 : DETECT_OPAQUE
  }
  if (bytes[at] !== SP) {
    // A line end without a version is an inline command (or HTTP/0.9); anything else here is a bad target.
    const isLineEnd = bytes[at] === CR || bytes[at] === LF
    return isLikelyHttp && !isLineEnd ? DETECT_HTTP1 : DETECT_OPAQUE
  }
  const versionStart = at + 1
  for (let i = 0; i < VERSION.length; i++) {
    if (versionStart + i >= length) return DETECT_NEED_MORE
    if (bytes[versionStart + i] !== VERSION.charCodeAt(i)) return isLikelyHttp ? DETECT_HTTP1 : DETECT_OPAQUE
  }
  return DETECT_HTTP1
}

/**
 * Judges the first bytes of a connection, as early as they allow. Bytes that cannot begin a method, a TLS record or
 * the HTTP/2 preface are opaque at once. Cheap enough to be asked again from the start with every chunk.
 *
 * @param length  how many bytes from the start of `bytes` are filled
 */
export function detect(bytes: Uint8Array, length: number): Detection {
  if (length === 0) return DETECT_NEED_MORE
  if (bytes[0] === TLS_HANDSHAKE) return detectTls(bytes, length)
  let i = 0
  while (i < PREFACE.length && i < length && bytes[i] === PREFACE.charCodeAt(i)) i++
  if (i === PREFACE.length) return DETECT_HTTP2
  if (i === length) return DETECT_NEED_MORE
  // Past `PRI * ` nothing but the preface makes sense: a broken one is nobody's protocol.
  if (i > 6) return DETECT_OPAQUE
  return detectHttp1(bytes, length)
}

/** Whether a server's first bytes are the SETTINGS frame that HTTP/2 begins with (RFC 9113 section 3.4). */
export function isSettingsFrame(bytes: Uint8Array): boolean {
  if (bytes.length < 9) return false
  const length = ((bytes[0] ?? 0) << 16) | ((bytes[1] ?? 0) << 8) | (bytes[2] ?? 0)
  return (
    length % 6 === 0 &&
    length <= 16_384 &&
    bytes[3] === 4 &&
    bytes[4] === 0 &&
    bytes[5] === 0 &&
    bytes[6] === 0 &&
    bytes[7] === 0 &&
    bytes[8] === 0
  )
}
