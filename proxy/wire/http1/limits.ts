// Limits of the HTTP/1 codec. What exceeds one is refused; nothing the codec holds grows past them.

/** Longest head, with its first line. People send 60 KiB of cookies and tokens through meshes; servers take 8 to 80. */
export const HEAD_BYTES_MAX = 128 * 1024

/** Most fields in a head. More than 100 occur; thousands only serve to make hash tables and logs slow. */
export const HEAD_FIELDS_MAX = 500

/** Longest method. RFC 9112 section 3 wants 501 for methods longer than any that is known. */
export const METHOD_BYTES_MAX = 64

/** Empty lines skipped before a request line (RFC 9112 section 2.2 asks for at least one, for old browsers). */
export const LEADING_EMPTY_LINES_MAX = 4

/** Digits of a Content-Length, leading zeros included: every such number is exact in a double. */
export const CONTENT_LENGTH_DIGITS_MAX = 15

/** Hexadecimal digits of a chunk size, leading zeros included: 52 bits, exact in a double. */
export const CHUNK_SIZE_DIGITS_MAX = 13

/** Longest chunk extension on one chunk; a signature of AWS takes 85 bytes. */
export const CHUNK_EXTENSION_BYTES_MAX = 4 * 1024

/**
 * How far chunk extensions may outweigh the data of a body. Tiny chunks with long extensions make a receiver read
 * many times what it is given (CVE-2023-39326); the rule is that of Go.
 */
export const CHUNK_OVERHEAD_BYTES_MAX = 16 * 1024

/** Longest trailer section of a body. gRPC-Web and checksums need a few hundred bytes. */
export const TRAILER_BYTES_MAX = 64 * 1024
