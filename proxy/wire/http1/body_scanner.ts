// Finds where a message body ends, without copying or changing a byte of it (RFC 9112 sections 6 and 7.1).

import {
  ASCII_CLASS,
  COLON,
  CR,
  equalsIgnoreCase,
  HTAB,
  IS_TOKEN,
  IS_VALUE,
  LF,
  SEMICOLON,
  SP,
} from "../ascii.ts"
import {
  FAULT_CHUNK_END,
  FAULT_CHUNK_EXTENSION,
  FAULT_CHUNK_SIZE,
  FAULT_TRAILER,
  FAULT_TRAILER_SIZE,
} from "./fault.ts"
import {
  CHUNK_EXTENSION_BYTES_MAX,
  CHUNK_OVERHEAD_BYTES_MAX,
  CHUNK_SIZE_DIGITS_MAX,
  TRAILER_BYTES_MAX,
} from "./limits.ts"

/** At once: there is none. */
export const BODY_NONE = 0
/** After as many bytes as Content-Length says. */
export const BODY_LENGTH = 1
/** With the last chunk and its trailers. */
export const BODY_CHUNKED = 2
/** With the connection; responses only. */
export const BODY_UNTIL_CLOSE = 3
/** No body: another protocol begins (101, CONNECT). */
export const BODY_TUNNEL = 4
/** How a body ends: one of the BODY_ constants (RFC 9112 section 6.3). */
export type BodyKind = 0 | 1 | 2 | 3 | 4

const SIZE_START = 0
const SIZE = 1
const SIZE_BLANK = 2
const EXTENSION = 3
const SIZE_LF = 4
const DATA = 5
const DATA_CR = 6
const DATA_LF = 7
const TRAILER_START = 8
const TRAILER_NAME = 9
const TRAILER_VALUE = 10
const TRAILER_LF = 11
const END_LF = 12

/** Longest trailer name that matters: `transfer-encoding`. */
const FORBIDDEN_NAME_BYTES = 17

/** Fields that would change how a message is framed or routed after the fact (RFC 9110 section 6.5.1). */
const FORBIDDEN_TRAILERS: readonly string[] = ["transfer-encoding", "content-length", "host"]

/** Follows one body through chunks cut anywhere. Reused for body after body; begin each with `begin`. */
export class BodyScanner {
  kind: BodyKind = BODY_NONE
  /** The body's last byte was seen. */
  done = true
  /** FAULT_ constant that stopped the scanner, 0 while all is well. */
  fault = 0
  /** Octets of the body so far, framing included. */
  bytes = 0
  /** Bytes left of a body or chunk of known length. */
  private remaining = 0
  private state = SIZE_START
  private digits = 0
  private extensionBytes = 0
  private overheadBytes = 0
  private trailerBytes = 0
  private nameBytes = 0
  private readonly name = new Uint8Array(FORBIDDEN_NAME_BYTES)

  /**
   * Makes ready for a body.
   *
   * @param contentLength  for BODY_LENGTH: bytes
   */
  begin(kind: BodyKind, contentLength: number): void {
    this.kind = kind
    this.fault = 0
    this.bytes = 0
    this.remaining = kind === BODY_LENGTH ? contentLength : 0
    this.done = kind === BODY_NONE || kind === BODY_TUNNEL || (kind === BODY_LENGTH && contentLength === 0)
    this.state = SIZE_START
    this.digits = 0
    this.extensionBytes = 0
    this.overheadBytes = 0
    this.trailerBytes = 0
  }

  /**
   * Takes the bytes [from, end), of which those before the result belong to the body and are sound. Look at `done`
   * and `fault` after it.
   *
   * @returns the offset behind the last byte of the body, or `end`
   */
  scan(bytes: Uint8Array, from: number, end: number): number {
    if (this.done) return from
    const bodyEnd = this.find(bytes, from, end)
    this.bytes += bodyEnd - from
    return bodyEnd
  }

  private find(bytes: Uint8Array, from: number, end: number): number {
    switch (this.kind) {
      case BODY_LENGTH: {
        const available = end - from
        if (available < this.remaining) {
          this.remaining -= available
          return end
        }
        const bodyEnd = from + this.remaining
        this.remaining = 0
        this.done = true
        return bodyEnd
      }
      case BODY_CHUNKED:
        return this.scanChunks(bytes, from, end)
      default:
        return end
    }
  }

  private fail(fault: number, at: number): number {
    this.fault = fault
    return at
  }

  private scanChunks(bytes: Uint8Array, from: number, end: number): number {
    if (this.fault !== 0) return from
    const classes = ASCII_CLASS
    let at = from
    while (at < end) {
      if (this.state === DATA) {
        const available = end - at
        if (available < this.remaining) {
          this.remaining -= available
          return end
        }
        at += this.remaining
        this.remaining = 0
        this.state = DATA_CR
        continue
      }
      const byte = bytes[at] as number
      switch (this.state) {
        case SIZE_START:
        case SIZE: {
          const digit = hexadecimal(byte)
          if (digit >= 0) {
            if (++this.digits > CHUNK_SIZE_DIGITS_MAX) return this.fail(FAULT_CHUNK_SIZE, at)
            this.remaining = this.remaining * 16 + digit
            this.state = SIZE
            break
          }
          if (this.state === SIZE_START) return this.fail(FAULT_CHUNK_SIZE, at)
          if (byte === CR) this.state = SIZE_LF
          else if (byte === SEMICOLON) this.state = EXTENSION
          else if (byte === SP || byte === HTAB) this.state = SIZE_BLANK
          else return this.fail(FAULT_CHUNK_SIZE, at)
          break
        }
        case SIZE_BLANK:
          // White space before an extension is bad, and allowed; before the line's end it is not.
          if (byte === SEMICOLON) this.state = EXTENSION
          else if (byte !== SP && byte !== HTAB) return this.fail(FAULT_CHUNK_SIZE, at)
          if (++this.extensionBytes > CHUNK_EXTENSION_BYTES_MAX) return this.fail(FAULT_CHUNK_EXTENSION, at)
          break
        case EXTENSION:
          if (byte === CR) this.state = SIZE_LF
          else if (((classes[byte] as number) & IS_VALUE) === 0) return this.fail(FAULT_CHUNK_EXTENSION, at)
          else if (++this.extensionBytes > CHUNK_EXTENSION_BYTES_MAX)
            return this.fail(FAULT_CHUNK_EXTENSION, at)
          break
        case SIZE_LF: {
          if (byte !== LF) return this.fail(FAULT_CHUNK_SIZE, at)
          const overhead = this.overheadBytes + this.extensionBytes
          if (overhead > CHUNK_OVERHEAD_BYTES_MAX) return this.fail(FAULT_CHUNK_EXTENSION, at)
          this.overheadBytes = overhead > this.remaining ? overhead - this.remaining : 0
          this.extensionBytes = 0
          this.digits = 0
          this.state = this.remaining === 0 ? TRAILER_START : DATA
          break
        }
        case DATA_CR:
          if (byte !== CR) return this.fail(FAULT_CHUNK_END, at)
          this.state = DATA_LF
          break
        case DATA_LF:
          if (byte !== LF) return this.fail(FAULT_CHUNK_END, at)
          this.state = SIZE_START
          break
        case TRAILER_START:
          if (byte === CR) {
            this.state = END_LF
            break
          }
          this.nameBytes = 0
          this.state = TRAILER_NAME
          continue
        case TRAILER_NAME:
          if (byte === COLON) {
            if (this.nameBytes === 0 || this.isForbiddenTrailer()) return this.fail(FAULT_TRAILER, at)
            this.state = TRAILER_VALUE
          } else {
            if (((classes[byte] as number) & IS_TOKEN) === 0) return this.fail(FAULT_TRAILER, at)
            if (this.nameBytes < FORBIDDEN_NAME_BYTES) this.name[this.nameBytes] = byte
            this.nameBytes++
          }
          if (++this.trailerBytes > TRAILER_BYTES_MAX) return this.fail(FAULT_TRAILER_SIZE, at)
          break
        case TRAILER_VALUE:
          if (byte === CR) this.state = TRAILER_LF
          else if (((classes[byte] as number) & IS_VALUE) === 0) return this.fail(FAULT_TRAILER, at)
          if (++this.trailerBytes > TRAILER_BYTES_MAX) return this.fail(FAULT_TRAILER_SIZE, at)
          break
        case TRAILER_LF:
          if (byte !== LF) return this.fail(FAULT_TRAILER, at)
          this.state = TRAILER_START
          break
        default:
          // END_LF
          if (byte !== LF) return this.fail(FAULT_TRAILER, at)
          this.done = true
          return at + 1
      }
      at++
    }
    return at
  }

  private isForbiddenTrailer(): boolean {
    if (this.nameBytes > FORBIDDEN_NAME_BYTES) return false
    for (const name of FORBIDDEN_TRAILERS) {
      if (equalsIgnoreCase(this.name, 0, this.nameBytes, name)) return true
    }
    return false
  }
}

function hexadecimal(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const folded = byte | 32
  return folded >= 97 && folded <= 102 ? folded - 87 : -1
}
