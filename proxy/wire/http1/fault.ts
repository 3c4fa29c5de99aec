// What can be wrong with an HTTP/1 message, as one table: the number, the status it is answered with, and why.

/** One way to be malformed. */
export interface Fault {
  /** Status of the answer when a request shows it (RFC 9110 section 15). A response that shows it becomes 502. */
  readonly status: number
  /** For people, in the answer's body and the log. */
  readonly text: string
}

/** Results of parsing are offsets above 0, `PARSE_NEED_MORE`, or one of these, all negative. */
export const PARSE_NEED_MORE = 0
export const FAULT_REQUEST_LINE = -1
export const FAULT_METHOD_LENGTH = -2
export const FAULT_TARGET = -3
export const FAULT_VERSION = -4
export const FAULT_VERSION_UNSUPPORTED = -5
export const FAULT_BARE_CR = -6
export const FAULT_BARE_LF = -7
export const FAULT_FOLD = -8
export const FAULT_NAME = -9
export const FAULT_NAME_SPACE = -10
export const FAULT_VALUE = -11
export const FAULT_LOOKALIKE = -12
export const FAULT_HEAD_SIZE = -13
export const FAULT_FIELD_COUNT = -14
export const FAULT_LENGTH = -15
export const FAULT_LENGTH_REPEATED = -16
export const FAULT_CODING = -17
export const FAULT_CODING_UNKNOWN = -18
export const FAULT_CODING_VERSION = -19
export const FAULT_LENGTH_AND_CODING = -20
export const FAULT_HOST_MISSING = -21
export const FAULT_HOST_REPEATED = -22
export const FAULT_HOST = -23
export const FAULT_HOST_MISMATCH = -24
export const FAULT_CONNECT_BODY = -25
export const FAULT_STATUS_LINE = -26
export const FAULT_CHUNK_SIZE = -27
export const FAULT_CHUNK_END = -28
export const FAULT_CHUNK_EXTENSION = -29
export const FAULT_TRAILER = -30
export const FAULT_TRAILER_SIZE = -31

/** Indexed by the negated number of the fault. */
const FAULTS: readonly Fault[] = [
  { status: 400, text: "malformed" },
  { status: 400, text: "the request line is not `method target HTTP/1.x`" },
  { status: 501, text: "the method is too long" },
  { status: 400, text: "the request target is invalid" },
  { status: 400, text: "the version in the request line is invalid" },
  { status: 505, text: "only HTTP/1.0 and HTTP/1.1 are spoken here" },
  { status: 400, text: "a carriage return without a line feed in the head" },
  { status: 400, text: "a line feed without a carriage return in the head" },
  { status: 400, text: "a folded header line (obs-fold)" },
  { status: 400, text: "an invalid character in a header name, or no name" },
  { status: 400, text: "white space between a header name and its colon" },
  { status: 400, text: "a control character in a header value" },
  { status: 400, text: "a header name that some servers read as Content-Length or Transfer-Encoding" },
  { status: 431, text: "the head is larger than 128 KiB" },
  { status: 431, text: "the head has more than 500 fields" },
  { status: 400, text: "Content-Length is not one plain number" },
  { status: 400, text: "Content-Length is given more than once" },
  { status: 400, text: "Transfer-Encoding does not end in one `chunked`" },
  { status: 501, text: "no transfer coding other than `chunked` is taken in requests" },
  { status: 400, text: "Transfer-Encoding in an HTTP/1.0 message" },
  { status: 400, text: "both Content-Length and Transfer-Encoding" },
  { status: 400, text: "the Host header is missing" },
  { status: 400, text: "the Host header is given more than once" },
  { status: 400, text: "the Host header is invalid" },
  { status: 400, text: "the Host header contradicts the request target" },
  { status: 400, text: "a CONNECT request with a body" },
  { status: 400, text: "the status line is invalid" },
  { status: 400, text: "a chunk size is invalid" },
  { status: 400, text: "a chunk does not end where its size says" },
  { status: 400, text: "chunk extensions are invalid or too long" },
  { status: 400, text: "a trailer field is invalid" },
  { status: 431, text: "the trailer section is larger than 64 KiB" },
]

/**
 * The table's row for a negative result of parsing.
 *
 * @param fault  one of the FAULT_ constants
 */
export function describeFault(fault: number): Fault {
  return FAULTS[-fault] ?? (FAULTS[0] as Fault)
}
