// What an X.509 certificate (RFC 5280) says in public: read from our own, to show it and to check what we were given.
import {
  DER_GENERALIZED_TIME,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DER_SEQUENCE,
  DER_SET,
  DER_UTC_TIME,
  DerError,
  DerReader,
} from "./der.ts"

/** A certificate's public data. */
export interface Certificate {
  /** Hexadecimal, upper case. */
  readonly serialNumber: string
  /** Distinguished name as `CN=a, O=b`. */
  readonly issuer: string
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number
  /** Milliseconds since 1970. */
  readonly notAfterMs: number
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array
  /** DNS names of the subject alternative name. */
  readonly dnsNames: readonly string[]
  /** URIs of the subject alternative name. */
  readonly uris: readonly string[]
}

/** Names of attribute types by their object identifier, hexadecimal. */
const ATTRIBUTE_NAMES: Readonly<Record<string, string>> = {
  "550403": "CN",
  "550406": "C",
  "550407": "L",
  "550408": "ST",
  "55040a": "O",
  "55040b": "OU",
}

const SUBJECT_ALT_NAME = "551d11"
const VERSION = 0xa0
const EXTENSIONS = 0xa3
const NAME_DNS = 0x82
const NAME_URI = 0x86

/**
 * Reads a certificate.
 *
 * @throws DerError when it is none
 */
export function readCertificate(bytes: Uint8Array): Certificate {
  const body = new DerReader(bytes).enter(DER_SEQUENCE).enter(DER_SEQUENCE)
  if (body.nextTag === VERSION) body.next()
  const serial = Buffer.from(body.next(DER_INTEGER).content).toString("hex").toUpperCase()
  body.next(DER_SEQUENCE)
  const issuer = readName(body.enter(DER_SEQUENCE))
  const validity = body.enter(DER_SEQUENCE)
  const notBeforeMs = readTime(validity)
  const notAfterMs = readTime(validity)
  body.next(DER_SEQUENCE)
  const { tag, content } = body.next(DER_SEQUENCE)
  // The key's element is at the end of what was read so far, head included.
  const end = content.byteOffset + content.length
  const publicKey = elementEndingAt(bytes, end, tag, content.length)
  const dnsNames: string[] = []
  const uris: string[] = []
  while (!body.atEnd) {
    const part = body.next()
    if (part.tag === EXTENSIONS) readAltNames(new DerReader(part.content), dnsNames, uris)
  }
  return {
    serialNumber: serial.replace(/^00(?=.)/, ""),
    issuer,
    notBeforeMs,
    notAfterMs,
    publicKey,
    dnsNames,
    uris,
  }
}

function elementEndingAt(bytes: Uint8Array, end: number, tag: number, length: number): Uint8Array {
  const head = length < 0x80 ? 2 : length < 0x100 ? 3 : 4
  const stop = end - bytes.byteOffset
  const element = bytes.subarray(stop - length - head, stop)
  if (element[0] !== tag) throw new DerError("the public key is encoded in another way than DER's")
  return element
}

function readName(name: DerReader): string {
  const parts: string[] = []
  while (!name.atEnd) {
    const set = name.enter(DER_SET)
    while (!set.atEnd) {
      const attribute = set.enter(DER_SEQUENCE)
      const oid = Buffer.from(attribute.next(DER_OID).content).toString("hex")
      const value = Buffer.from(attribute.next().content).toString("utf8")
      parts.push(`${ATTRIBUTE_NAMES[oid] ?? oid}=${value}`)
    }
  }
  return parts.join(", ")
}

function readTime(validity: DerReader): number {
  const { tag, content } = validity.next()
  const text = Buffer.from(content).toString("latin1")
  const match = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
  const isTime =
    (tag === DER_UTC_TIME && text.length === 13) || (tag === DER_GENERALIZED_TIME && text.length === 15)
  if (match === null || !isTime) throw new DerError(`${JSON.stringify(text)} is no time`)
  const [year = 0, month = 0, day, hour, minute, second] = match.slice(1).map(Number)
  // RFC 5280 section 4.1.2.5.1: two digits from 50 on are of the last century.
  const fullYear = tag === DER_GENERALIZED_TIME ? year : year < 50 ? 2000 + year : 1900 + year
  return Date.UTC(fullYear, month - 1, day, hour, minute, second)
}

function readAltNames(extensions: DerReader, dnsNames: string[], uris: string[]): void {
  const list = extensions.enter(DER_SEQUENCE)
  while (!list.atEnd) {
    const extension = list.enter(DER_SEQUENCE)
    if (Buffer.from(extension.next(DER_OID).content).toString("hex") !== SUBJECT_ALT_NAME) continue
    let value = extension.next()
    if (value.tag !== DER_OCTET_STRING) value = extension.next(DER_OCTET_STRING)
    const names = new DerReader(value.content).enter(DER_SEQUENCE)
    while (!names.atEnd) {
      const { tag, content } = names.next()
      const text = Buffer.from(content).toString("latin1")
      if (tag === NAME_DNS) dnsNames.push(text)
      else if (tag === NAME_URI) uris.push(text)
    }
  }
}
