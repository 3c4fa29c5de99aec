// The part that request and response heads share: field lines, read in one pass without an allocation.
// RFC 9112 section 5 (fields), section 6 (framing), RFC 9110 section 7.6.1 (Connection).

import {
  ASCII_CLASS,
  COLON,
  COMMA,
  CR,
  equalsIgnoreCase,
  HTAB,
  IS_TOKEN,
  IS_VALUE,
  LF,
  SP,
} from "../ascii.ts"
import {
  FAULT_BARE_CR,
  FAULT_BARE_LF,
  FAULT_CODING,
  FAULT_FIELD_COUNT,
  FAULT_FOLD,
  FAULT_LENGTH,
  FAULT_LENGTH_REPEATED,
  FAULT_LOOKALIKE,
  FAULT_NAME,
  FAULT_NAME_SPACE,
  FAULT_VALUE,
  PARSE_NEED_MORE,
} from "./fault.ts"
import { CONTENT_LENGTH_DIGITS_MAX, HEAD_FIELDS_MAX } from "./limits.ts"
import { latin1 } from "./text_cache.ts"

/** `close`, a flag of the options that Connection fields named (RFC 9110 section 7.6.1). */
export const CONNECTION_CLOSE = 1
/** `keep-alive` */
export const CONNECTION_KEEP_ALIVE = 2
/** `upgrade` */
export const CONNECTION_UPGRADE = 4

/** What the Transfer-Encoding fields said: nothing. */
export const CODING_NONE = 0
/** Exactly `chunked`. */
export const CODING_CHUNKED = 1
/** Other codings, then `chunked`. */
export const CODING_LIST_CHUNKED = 2

/** No bytes at all; shared, since it cannot be written to. */
export const NO_BYTES: Uint8Array = new Uint8Array(0)

/** Field lines of a message, as flags and offsets into the bytes that they came in. Reused for message after message. */
export class MessageHead {
  /** The bytes that the head was read from; offsets below point into them. */
  bytes: Uint8Array = NO_BYTES
  /** Where the first line begins. */
  start = 0
  /** Where the first field line begins. */
  fieldsStart = 0
  /** Behind the empty line that ends the head; 0 while incomplete. */
  end = 0
  /** Minor version: 0 or 1. */
  minor = 1
  /** Value of Content-Length, -1 when there is none. */
  contentLength = -1
  /** One of the CODING_ constants. */
  coding = CODING_NONE
  /** CONNECTION_ flags. */
  connection = 0
  /** An Upgrade field is there. */
  hasUpgrade = false
  /** It has more than one Upgrade field. */
  upgradeRepeated = false
  /** A conduit-proxy-error field is there. */
  hasProxyError = false
  hostStart = -1
  hostEnd = -1
  /** More than one Host field. */
  hostRepeated = false
  contentTypeStart = -1
  contentTypeEnd = -1
  fieldCount = 0

  protected reset(bytes: Uint8Array, start: number): void {
    this.bytes = bytes
    this.start = start
    this.fieldsStart = 0
    this.end = 0
    this.minor = 1
    this.contentLength = -1
    this.coding = CODING_NONE
    this.connection = 0
    this.hasUpgrade = false
    this.upgradeRepeated = false
    this.hasProxyError = false
    this.hostStart = -1
    this.hostEnd = -1
    this.hostRepeated = false
    this.contentTypeStart = -1
    this.contentTypeEnd = -1
    this.fieldCount = 0
  }

  /** First value of a field, without white space around it; slow. */
  header(lowerCaseName: string): string | undefined {
    return this.find(lowerCaseName, true)
  }

  /** All values of a field, joined by commas (RFC 9110 section 5.3); slow. */
  values(lowerCaseName: string): string | undefined {
    return this.find(lowerCaseName, false)
  }

  /** Calls back with each field, its name in lower case; slow. */
  fieldsTo(visit: (name: string, value: string) => void): void {
    const { bytes } = this
    let at = this.fieldsStart
    while (at < this.end - 2) {
      const nameStart = at
      while (bytes[at] !== COLON) at++
      const name = latin1(bytes, nameStart, at).toLowerCase()
      const valueStart = at + 1
      while (bytes[at] !== CR) at++
      visit(name, latin1(bytes, valueStart, at).trim())
      at += 2
    }
  }

  private find(lowerCaseName: string, firstOnly: boolean): string | undefined {
    const bytes = this.bytes
    let found: string | undefined
    let at = this.fieldsStart
    while (at < this.end - 2) {
      const nameStart = at
      while (bytes[at] !== COLON) at++
      const nameEnd = at
      let valueStart = at + 1
      while (bytes[at] !== CR) at++
      if (equalsIgnoreCase(bytes, nameStart, nameEnd, lowerCaseName)) {
        let valueEnd = at
        while (valueStart < valueEnd && isBlank(bytes[valueStart] as number)) valueStart++
        while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1] as number)) valueEnd--
        const value = latin1(bytes, valueStart, valueEnd)
        if (firstOnly) return value
        found = found === undefined ? value : `${found},${value}`
      }
      at += 2
    }
    return found
  }

  /**
   * Reads field lines from `at` to the empty line.
   *
   * @returns the offset behind the empty line, PARSE_NEED_MORE, or a fault
   */
  protected parseFields(bytes: Uint8Array, from: number, end: number): number {
    const classes = ASCII_CLASS
    let at = from
    for (;;) {
      if (at >= end) return PARSE_NEED_MORE
      const nameStart = at
      while (at < end && ((classes[bytes[at] as number] as number) & IS_TOKEN) !== 0) at++
      if (at >= end) return PARSE_NEED_MORE
      const delimiter = bytes[at] as number
      if (at === nameStart) {
        if (delimiter === CR) {
          if (at + 1 >= end) return PARSE_NEED_MORE
          return bytes[at + 1] === LF ? at + 2 : FAULT_BARE_CR
        }
        if (delimiter === LF) return FAULT_BARE_LF
        return isBlank(delimiter) ? FAULT_FOLD : FAULT_NAME
      }
      if (delimiter !== COLON) return isBlank(delimiter) ? FAULT_NAME_SPACE : FAULT_NAME
      const nameEnd = at++
      while (at < end && isBlank(bytes[at] as number)) at++
      const valueStart = at
      while (at < end && ((classes[bytes[at] as number] as number) & IS_VALUE) !== 0) at++
      if (at >= end) return PARSE_NEED_MORE
      if (bytes[at] !== CR) return bytes[at] === LF ? FAULT_BARE_LF : FAULT_VALUE
      if (at + 1 >= end) return PARSE_NEED_MORE
      if (bytes[at + 1] !== LF) return FAULT_BARE_CR
      let valueEnd = at
      while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1] as number)) valueEnd--
      at += 2
      if (++this.fieldCount > HEAD_FIELDS_MAX) return FAULT_FIELD_COUNT
      const fault = this.note(bytes, nameStart, nameEnd, valueStart, valueEnd)
      if (fault !== 0) return fault
    }
  }

  /** Remembers what framing and routing need. Most names are told apart by their length and first letter alone. */
  private note(bytes: Uint8Array, nameStart: number, nameEnd: number, start: number, end: number): number {
    const first = (bytes[nameStart] as number) | 32
    switch (nameEnd - nameStart) {
      case 4:
        if (first === 104 && equalsIgnoreCase(bytes, nameStart, nameEnd, "host")) {
          if (this.hostStart >= 0) this.hostRepeated = true
          this.hostStart = start
          this.hostEnd = end
        }
        return 0
      case 7:
        if (first === 117 && equalsIgnoreCase(bytes, nameStart, nameEnd, "upgrade")) {
          this.upgradeRepeated = this.hasUpgrade
          this.hasUpgrade = true
        }
        return 0
      case 10:
        if (first === 99 && equalsIgnoreCase(bytes, nameStart, nameEnd, "connection")) {
          this.noteConnection(bytes, start, end)
        }
        return 0
      case 12:
        if (first === 99 && equalsIgnoreCase(bytes, nameStart, nameEnd, "content-type")) {
          this.contentTypeStart = start
          this.contentTypeEnd = end
        }
        return 0
      case 14:
        if (first === 99 && equalsIgnoreCase(bytes, nameStart, nameEnd, "content-length")) {
          return this.noteContentLength(bytes, start, end)
        }
        break
      case 17:
        if (first === 116 && equalsIgnoreCase(bytes, nameStart, nameEnd, "transfer-encoding")) {
          return this.noteCoding(bytes, start, end)
        }
        break
      case 19:
        if (first === 99 && equalsIgnoreCase(bytes, nameStart, nameEnd, "conduit-proxy-error")) {
          this.hasProxyError = true
          return 0
        }
        break
    }
    if (nameEnd - nameStart < 13 || (first !== 99 && first !== 116 && first >= 97 && first <= 122)) return 0
    return isLookalike(bytes, nameStart, nameEnd) ? FAULT_LOOKALIKE : 0
  }

  private noteConnection(bytes: Uint8Array, start: number, end: number): void {
    let at = start
    while (at < end) {
      while (at < end && (bytes[at] === COMMA || isBlank(bytes[at] as number))) at++
      const optionStart = at
      while (at < end && bytes[at] !== COMMA) at++
      let optionEnd = at
      while (optionEnd > optionStart && isBlank(bytes[optionEnd - 1] as number)) optionEnd--
      if (equalsIgnoreCase(bytes, optionStart, optionEnd, "close")) this.connection |= CONNECTION_CLOSE
      else if (equalsIgnoreCase(bytes, optionStart, optionEnd, "keep-alive")) {
        this.connection |= CONNECTION_KEEP_ALIVE
      } else if (equalsIgnoreCase(bytes, optionStart, optionEnd, "upgrade")) {
        this.connection |= CONNECTION_UPGRADE
      }
    }
  }

  /** Also equal repetitions are refused: RFC 9112 section 6.3 allows it, and receivers disagree about them. */
  private noteContentLength(bytes: Uint8Array, start: number, end: number): number {
    if (this.contentLength >= 0) return FAULT_LENGTH_REPEATED
    if (start === end || end - start > CONTENT_LENGTH_DIGITS_MAX) return FAULT_LENGTH
    let value = 0
    for (let i = start; i < end; i++) {
      const digit = (bytes[i] as number) - 48
      if (digit < 0 || digit > 9) return FAULT_LENGTH
      value = value * 10 + digit
    }
    this.contentLength = value
    return 0
  }

  private noteCoding(bytes: Uint8Array, start: number, end: number): number {
    if (this.coding !== CODING_NONE) return FAULT_CODING
    if (equalsIgnoreCase(bytes, start, end, "chunked")) {
      this.coding = CODING_CHUNKED
      return 0
    }
    return this.noteCodingList(bytes, start, end)
  }

  /** Several codings; `chunked` must be the last and stand once (RFC 9112 section 6.1). */
  private noteCodingList(bytes: Uint8Array, start: number, end: number): number {
    let at = start
    let isChunked = false
    while (at <= end) {
      while (at < end && isBlank(bytes[at] as number)) at++
      const nameStart = at
      while (at < end && ((ASCII_CLASS[bytes[at] as number] as number) & IS_TOKEN) !== 0) at++
      if (at === nameStart || isChunked) return FAULT_CODING
      isChunked = equalsIgnoreCase(bytes, nameStart, at, "chunked")
      while (at < end && isBlank(bytes[at] as number)) at++
      if (at < end && bytes[at] !== COMMA) return FAULT_CODING
      at++
    }
    if (!isChunked) return FAULT_CODING
    this.coding = CODING_LIST_CHUNKED
    return 0
  }
}

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB
}

/**
 * Names that become Content-Length or Transfer-Encoding when everything but letters is dropped. CGI and WSGI turn
 * `_` and `-` into the same variable, so that a server behind would see a length that the proxy did not.
 */
function isLookalike(bytes: Uint8Array, start: number, end: number): boolean {
  return (
    lettersEqual(bytes, start, end, "contentlength") || lettersEqual(bytes, start, end, "transferencoding")
  )
}

function lettersEqual(bytes: Uint8Array, start: number, end: number, letters: string): boolean {
  let matched = 0
  for (let i = start; i < end; i++) {
    const folded = (bytes[i] as number) | 32
    if (folded < 97 || folded > 122) continue
    if (matched === letters.length || folded !== letters.charCodeAt(matched)) return false
    matched++
  }
  return matched === letters.length
}
