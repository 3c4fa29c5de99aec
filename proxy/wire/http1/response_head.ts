// A response head: status line and fields (RFC 9112 section 4), and which framing its body has (section 6.3).

import { ASCII_CLASS, CR, IS_VALUE, LF, SP } from "../ascii.ts"
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_TUNNEL,
  BODY_UNTIL_CLOSE,
  type BodyKind,
} from "./body_scanner.ts"
import {
  FAULT_BARE_CR,
  FAULT_BARE_LF,
  FAULT_CODING_VERSION,
  FAULT_HEAD_SIZE,
  FAULT_LENGTH_AND_CODING,
  FAULT_STATUS_LINE,
  PARSE_NEED_MORE,
} from "./fault.ts"
import { HEAD_BYTES_MAX } from "./limits.ts"
import { CODING_NONE, CONNECTION_CLOSE, CONNECTION_KEEP_ALIVE, MessageHead } from "./message_head.ts"
import { METHOD_CONNECT, METHOD_HEAD } from "./request_head.ts"

/** A response head. One object serves a connection's responses one after the other. */
export class ResponseHead extends MessageHead {
  /** 100 to 999. */
  status = 0

  /** Whether the server keeps the connection for another request (RFC 9112 section 9.3). */
  get keepsAlive(): boolean {
    if ((this.connection & CONNECTION_CLOSE) !== 0) return false
    return this.minor === 1 || (this.connection & CONNECTION_KEEP_ALIVE) !== 0
  }

  /** 1xx: another head follows. 101 is final for HTTP. */
  get isInterim(): boolean {
    return this.status < 200 && this.status !== 101
  }

  /**
   * The framing of the body behind this head.
   *
   * @param requestMethod  METHOD_ constant of the request that it answers
   */
  bodyKind(requestMethod: number): BodyKind {
    const { status } = this
    if (status === 101 || (requestMethod === METHOD_CONNECT && status >= 200 && status < 300))
      return BODY_TUNNEL
    if (requestMethod === METHOD_HEAD || status < 200 || status === 204 || status === 304) return BODY_NONE
    if (this.coding !== CODING_NONE) return BODY_CHUNKED
    return this.contentLength >= 0 ? BODY_LENGTH : BODY_UNTIL_CLOSE
  }

  /**
   * Reads a head that begins at `from`. A result for a part of the bytes never contradicts that for all of them.
   *
   * @param end  how far `bytes` is filled
   * @returns the offset behind the head, PARSE_NEED_MORE, or a fault
   */
  parse(bytes: Uint8Array, from: number, end: number): number {
    this.reset(bytes, from)
    const limit = from + HEAD_BYTES_MAX
    const result = this.parseWithin(bytes, from, Math.min(end, limit))
    if (result === PARSE_NEED_MORE) return end >= limit ? FAULT_HEAD_SIZE : PARSE_NEED_MORE
    if (result < 0) return result
    this.end = result
    if (this.coding !== CODING_NONE) {
      if (this.contentLength >= 0) return FAULT_LENGTH_AND_CODING
      if (this.minor === 0) return FAULT_CODING_VERSION
    }
    return result
  }

  private parseWithin(bytes: Uint8Array, start: number, end: number): number {
    for (let i = 0; i < 12; i++) {
      if (start + i >= end) return PARSE_NEED_MORE
      const byte = bytes[start + i] as number
      const matches =
        i < 7
          ? byte === "HTTP/1.".charCodeAt(i)
          : i === 7
            ? byte === 48 || byte === 49
            : i === 8
              ? byte === SP
              : byte >= (i === 9 ? 49 : 48) && byte <= 57
      if (!matches) return FAULT_STATUS_LINE
    }
    this.minor = (bytes[start + 7] as number) - 48
    this.status =
      ((bytes[start + 9] as number) - 48) * 100 +
      ((bytes[start + 10] as number) - 48) * 10 +
      ((bytes[start + 11] as number) - 48)
    let at = start + 12
    if (at >= end) return PARSE_NEED_MORE
    // The space behind the status is required, and often left out where there is no reason.
    if (bytes[at] === SP)
      while (at < end && ((ASCII_CLASS[bytes[at] as number] as number) & IS_VALUE) !== 0) at++
    if (at >= end) return PARSE_NEED_MORE
    if (bytes[at] !== CR) return bytes[at] === LF ? FAULT_BARE_LF : FAULT_STATUS_LINE
    if (at + 1 >= end) return PARSE_NEED_MORE
    if (bytes[at + 1] !== LF) return FAULT_BARE_CR
    this.fieldsStart = at + 2
    return this.parseFields(bytes, at + 2, end)
  }
}
