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
/** Not `method SP target SP version` (RFC 9112 section 3). */
export const FAULT_REQUEST_LINE = -1
/** Longer than METHOD_BYTES_MAX (RFC 9112 section 3 asks for 501). */
export const FAULT_METHOD_LENGTH = -2
/** A byte that no target may have, or a form that does not go with the method (RFC 9112 section 3.2). */
export const FAULT_TARGET = -3
/** Not `HTTP/` digit `.` digit (RFC 9112 section 2.3). */
export const FAULT_VERSION = -4
/** A major version other than 1 (RFC 9110 section 15.6.6). */
export const FAULT_VERSION_UNSUPPORTED = -5
/** A CR that no LF follows (RFC 9112 section 2.2). */
export const FAULT_BARE_CR = -6
/** A LF that no CR precedes: RFC 9112 section 2.2 lets it pass, smuggling begins there. */
export const FAULT_BARE_LF = -7
/** obs-fold (RFC 9112 section 5.2). */
export const FAULT_FOLD = -8
/** A field name that is no token (RFC 9110 section 5.1). */
export const FAULT_NAME = -9
/** White space before the colon (RFC 9112 section 5.1). */
export const FAULT_NAME_SPACE = -10
/** A control character in a field value (RFC 9110 section 5.5). */
export const FAULT_VALUE = -11
/** A name such as `content_length` that some servers take for the framing field. */
export const FAULT_LOOKALIKE = -12
/** More than HEAD_BYTES_MAX (RFC 6585 section 5). */
export const FAULT_HEAD_SIZE = -13
/** More than HEAD_FIELDS_MAX (RFC 6585 section 5). */
export const FAULT_FIELD_COUNT = -14
/** Content-Length that is not digits only, or too large (RFC 9110 section 8.6). */
export const FAULT_LENGTH = -15
/** Content-Length more than once, even if alike (RFC 9112 section 6.3). */
export const FAULT_LENGTH_REPEATED = -16
/** Transfer-Encoding in which `chunked` is not last, or not once (RFC 9112 section 6.1). */
export const FAULT_CODING = -17
/** A transfer coding beside `chunked` in a request (RFC 9112 section 6.1). */
export const FAULT_CODING_UNKNOWN = -18
/** Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1). */
export const FAULT_CODING_VERSION = -19
/** Both framings at once, the classic of request smuggling (RFC 9112 section 6.3). */
export const FAULT_LENGTH_AND_CODING = -20
/** HTTP/1.1 without Host (RFC 9112 section 3.2). */
export const FAULT_HOST_MISSING = -21
/** Host more than once (RFC 9112 section 3.2). */
export const FAULT_HOST_REPEATED = -22
/** Host that is no `host[:port]` (RFC 9110 section 7.2). */
export const FAULT_HOST = -23
/** Host other than the authority in an absolute target (RFC 9112 section 3.2.2). */
export const FAULT_HOST_MISMATCH = -24
/** CONNECT with a body announced (RFC 9110 section 9.3.6). */
export const FAULT_CONNECT_BODY = -25
/** Not `version SP three digits SP reason` (RFC 9112 section 4). */
export const FAULT_STATUS_LINE = -26
/** Chunk size that is not hexadecimal, or too large (RFC 9112 section 7.1). */
export const FAULT_CHUNK_SIZE = -27
/** No CRLF after a chunk (RFC 9112 section 7.1). */
export const FAULT_CHUNK_END = -28
/** Chunk extensions out of grammar or bounds (RFC 9112 section 7.1.1). */
export const FAULT_CHUNK_EXTENSION = -29
/** A trailer field that would not be a header field either (RFC 9112 section 7.1.2). */
export const FAULT_TRAILER = -30
/** More trailers than TRAILER_BYTES_MAX (RFC 9112 section 7.1.2). */
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
