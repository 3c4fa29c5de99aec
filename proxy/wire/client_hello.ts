// SNI and ALPN out of a TLS ClientHello, without decrypting: how the application's own TLS is routed.
// RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3 (server_name), RFC 7301 section 3.1 (ALPN).

/** The ClientHello goes on in bytes not yet here. */
export const CLIENT_HELLO_NEED_MORE = 0
/** Read to its end; `serverName` and `protocols` are set. */
export const CLIENT_HELLO_COMPLETE = 1
/** Not a ClientHello, or its lengths contradict each other. */
export const CLIENT_HELLO_MALFORMED = 2

/**
 * Longest handshake message accepted. RFC 8446 allows 2^24; real ones stay below 4 KiB with post-quantum key shares,
 * and nobody may make the proxy hold megabytes before it knows where they go.
 */
export const CLIENT_HELLO_BYTES_MAX = 65_536

/** Most ALPN protocols reported; the rest is ignored. Browsers send two. */
export const CLIENT_HELLO_PROTOCOLS_MAX = 64

/** What a ClientHello asks for. */
export interface ClientHello {
  /** One of the CLIENT_HELLO_ constants. */
  readonly state: 0 | 1 | 2
  /** SNI host name in lower case, "" if none was sent. */
  readonly serverName: string
  /** ALPN protocol names in the client's order. */
  readonly protocols: readonly string[]
}

/** RFC 1035 section 2.3.4. */
const HOST_NAME_BYTES_MAX = 253
const HOST_LABEL_BYTES_MAX = 63

/**
 * Whether a server name is a DNS host name in lower case: letters, digits, `-` and the `_` that people use, in labels
 * of 1 to 63 bytes. RFC 6066 section 3 allows nothing else, no address and no final dot.
 */
export function isHostName(name: string): boolean {
  if (name.length === 0 || name.length > HOST_NAME_BYTES_MAX) return false
  let label = 0
  let isNumeric = true
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (code === 0x2e) {
      if (label === 0) return false
      label = 0
      isNumeric = true
      continue
    }
    const isDigit = code >= 0x30 && code <= 0x39
    if (!isDigit && !(code >= 0x61 && code <= 0x7a) && code !== 0x2d && code !== 0x5f) return false
    if (!isDigit) isNumeric = false
    if (++label > HOST_LABEL_BYTES_MAX) return false
  }
  // A last label of digits alone is an address.
  return label > 0 && !isNumeric
}

const NEED_MORE: ClientHello = { state: CLIENT_HELLO_NEED_MORE, serverName: "", protocols: [] }
const MALFORMED: ClientHello = { state: CLIENT_HELLO_MALFORMED, serverName: "", protocols: [] }

const RECORD_HANDSHAKE = 22
const RECORD_HEADER_BYTES = 5
const RECORD_BYTES_MAX = 16_384
const MESSAGE_CLIENT_HELLO = 1
const MESSAGE_HEADER_BYTES = 4
const EXTENSION_SERVER_NAME = 0
const EXTENSION_ALPN = 16
const NAME_TYPE_HOST = 0

/** Reads big-endian numbers within bounds; `ok` turns false once, and then stays so. */
class Reader {
  readonly bytes: Uint8Array
  at: number
  readonly end: number
  ok = true

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes
    this.at = start
    this.end = end
  }

  number(width: number): number {
    if (this.end - this.at < width) this.ok = false
    if (!this.ok) return 0
    let value = 0
    for (let i = 0; i < width; i++) value = value * 256 + (this.bytes[this.at++] as number)
    return value
  }

  skip(count: number): void {
    if (this.end - this.at < count) this.ok = false
    else this.at += count
  }

  /** A vector with a length of `width` bytes before it. */
  vector(width: number): Reader {
    const length = this.number(width)
    if (this.end - this.at < length) this.ok = false
    if (!this.ok) return new Reader(this.bytes, this.at, this.at)
    this.at += length
    return new Reader(this.bytes, this.at - length, this.at)
  }

  text(): string {
    let text = ""
    for (let i = this.at; i < this.end; i++) text += String.fromCharCode(this.bytes[i] as number)
    return text
  }
}

/** Joins the handshake fragments of consecutive records. Null: malformed; a short array: the rest is missing. */
function unwrapRecords(bytes: Uint8Array, length: number): Uint8Array | null {
  const message = new Uint8Array(length)
  let filled = 0
  let at = 0
  while (at < length) {
    if (bytes[at] !== RECORD_HANDSHAKE) return null
    if (at + 1 < length && bytes[at + 1] !== 3) return null
    if (length - at < RECORD_HEADER_BYTES) break
    const recordLength = ((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number)
    if (recordLength === 0 || recordLength > RECORD_BYTES_MAX) return null
    const start = at + RECORD_HEADER_BYTES
    const end = Math.min(start + recordLength, length)
    message.set(bytes.subarray(start, end), filled)
    filled += end - start
    if (filled >= MESSAGE_HEADER_BYTES) {
      const total =
        MESSAGE_HEADER_BYTES +
        (((message[1] as number) << 16) | ((message[2] as number) << 8) | (message[3] as number))
      // What follows the ClientHello (early data) is not ours to read.
      if (filled >= total) return message.subarray(0, total)
    }
    at = start + recordLength
  }
  return message.subarray(0, filled)
}

function readServerName(extension: Reader): string | null {
  const list = extension.vector(2)
  if (!extension.ok) return null
  while (list.at < list.end) {
    const type = list.number(1)
    const name = list.vector(2)
    if (!list.ok) return null
    if (type === NAME_TYPE_HOST) return name.at === name.end ? null : name.text().toLowerCase()
  }
  return ""
}

function readProtocols(extension: Reader): string[] | null {
  const list = extension.vector(2)
  if (!extension.ok) return null
  const protocols: string[] = []
  while (list.at < list.end) {
    const name = list.vector(1)
    if (!list.ok || name.at === name.end) return null
    if (protocols.length < CLIENT_HELLO_PROTOCOLS_MAX) protocols.push(name.text())
  }
  return protocols
}

/**
 * Reads the ClientHello that the first `length` bytes of a connection hold, also one split over records.
 * Never throws; every length is checked against what surrounds it.
 */
export function readClientHello(bytes: Uint8Array, length: number): ClientHello {
  const message = unwrapRecords(bytes, length)
  if (message === null) return MALFORMED
  if (message.length > 0 && message[0] !== MESSAGE_CLIENT_HELLO) return MALFORMED
  if (message.length < MESSAGE_HEADER_BYTES) return NEED_MORE
  const reader = new Reader(message, 1, message.length)
  const bodyLength = reader.number(3)
  if (bodyLength > CLIENT_HELLO_BYTES_MAX) return MALFORMED
  if (message.length < MESSAGE_HEADER_BYTES + bodyLength) return NEED_MORE

  reader.number(2) // legacy_version
  reader.skip(32) // random
  reader.vector(1) // legacy_session_id
  reader.vector(2) // cipher_suites
  reader.vector(1) // legacy_compression_methods
  if (!reader.ok || reader.at > reader.end) return MALFORMED
  // TLS 1.2 allows a ClientHello without extensions.
  if (reader.at === reader.end) return { state: CLIENT_HELLO_COMPLETE, serverName: "", protocols: [] }

  const extensions = reader.vector(2)
  if (!reader.ok || reader.at !== reader.end) return MALFORMED
  let serverName = ""
  let protocols: readonly string[] = []
  while (extensions.at < extensions.end) {
    const type = extensions.number(2)
    const extension = extensions.vector(2)
    if (!extensions.ok) return MALFORMED
    if (type === EXTENSION_SERVER_NAME) {
      const name = readServerName(extension)
      if (name === null) return MALFORMED
      serverName = name
    } else if (type === EXTENSION_ALPN) {
      const names = readProtocols(extension)
      if (names === null) return MALFORMED
      protocols = names
    }
  }
  return { state: CLIENT_HELLO_COMPLETE, serverName, protocols }
}
