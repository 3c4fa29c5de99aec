// Frames of HTTP/2 (RFC 9113 sections 4.1, 6 and 7): numbers on the wire, and the nine octets of a frame's head.

/** Octets of a frame's head (section 4.1). */
export const FRAME_HEAD_BYTES = 9

/** SETTINGS_MAX_FRAME_SIZE that we keep to and announce: the smallest allowed, so that one fits everywhere. */
export const MAX_FRAME_BYTES = 16_384

/** What a client sends first (section 3.4). */
export const CLIENT_PREFACE: Uint8Array = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

/** Frame type (section 6.1). */
export const FRAME_DATA = 0
/** Frame type (section 6.2). */
export const FRAME_HEADERS = 1
/** Frame type (section 6.3). */
export const FRAME_PRIORITY = 2
/** Frame type (section 6.4). */
export const FRAME_RST_STREAM = 3
/** Frame type (section 6.5). */
export const FRAME_SETTINGS = 4
/** Frame type (section 6.6). */
export const FRAME_PUSH_PROMISE = 5
/** Frame type (section 6.7). */
export const FRAME_PING = 6
/** Frame type (section 6.8). */
export const FRAME_GOAWAY = 7
/** Frame type (section 6.9). */
export const FRAME_WINDOW_UPDATE = 8
/** Frame type (section 6.10). */
export const FRAME_CONTINUATION = 9

/** Of DATA and HEADERS: the last frame of this side of the stream. */
export const FLAG_END_STREAM = 0x1
/** Of SETTINGS and PING: the answer to one. */
export const FLAG_ACK = 0x1
/** Of HEADERS, PUSH_PROMISE and CONTINUATION: the header block is whole. */
export const FLAG_END_HEADERS = 0x4
/** Of DATA, HEADERS and PUSH_PROMISE: padding length in front, padding at the end. */
export const FLAG_PADDED = 0x8
/** Of HEADERS: five octets of priority in front, which are ignored (section 5.3.2). */
export const FLAG_PRIORITY = 0x20

/** Error codes of RST_STREAM and GOAWAY (section 7). */
export const NO_ERROR = 0
/** The peer broke a rule that has no code of its own. */
export const PROTOCOL_ERROR = 1
/** We failed. */
export const INTERNAL_ERROR = 2
/** More was sent than a window allowed. */
export const FLOW_CONTROL_ERROR = 3
/** SETTINGS were not acknowledged. */
export const SETTINGS_TIMEOUT = 4
/** A frame for a stream whose sending side had ended. */
export const STREAM_CLOSED = 5
/** A frame of a length that its type does not allow. */
export const FRAME_SIZE_ERROR = 6
/** Nothing was done with the request: it may be sent again (section 8.7). */
export const REFUSED_STREAM = 7
/** The stream is no longer wanted. */
export const CANCEL = 8
/** HPACK state is lost. */
export const COMPRESSION_ERROR = 9
/** The connection behind CONNECT broke. */
export const CONNECT_ERROR = 10
/** The peer costs more than it should. */
export const ENHANCE_YOUR_CALM = 11
/** TLS below what section 9.2 asks. */
export const INADEQUATE_SECURITY = 12
/** To be tried with HTTP/1.1. */
export const HTTP_1_1_REQUIRED = 13

const ERROR_NAMES: readonly string[] = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
]

/** The name of an error code, for people; unknown ones as hexadecimal. */
export function errorName(code: number): string {
  return ERROR_NAMES[code] ?? `0x${code.toString(16)}`
}

/** Writes a frame's head at `at` and returns where the payload begins. */
export function writeFrameHead(
  out: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  out[at] = length >>> 16
  out[at + 1] = length >>> 8
  out[at + 2] = length
  out[at + 3] = type
  out[at + 4] = flags
  return writeUint32(out, at + 5, streamId)
}

/** Writes 32 bits, big-endian, and returns the end. */
export function writeUint32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
  return at + 4
}

/** Reads 32 bits, big-endian, as an unsigned number. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  )
}

/** Reads the 31 bits of a stream id or a window increment; the reserved bit is ignored (section 4.1). */
export function readUint31(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) & 0x7fffffff
}

/** Below this, a loop beats every built-in copy on the runtime (measured). */
const COPY_LOOP_BYTES = 32

/** Copies `from[start, end)` to `to` at `at`; returns the end. Makes no view objects. */
export function copyBytes(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  const length = end - start
  if (length <= COPY_LOOP_BYTES) {
    for (let i = 0; i < length; i++) to[at + i] = from[start + i] as number
  } else {
    Buffer.prototype.copy.call(from, to, at, start, end)
  }
  return at + length
}
