// Certificates in PEM (RFC 7468), within bounds.
import { X509Certificate } from "node:crypto"

/** Largest PEM file that is read: a bundle of a hundred anchors; more is a mistake or an attack. */
export const MAX_PEM_BYTES = 256 * 1024
/** Most certificates of one file: a handshake with more chains or anchors than this is no mesh's. */
export const MAX_PEM_CERTIFICATES = 64

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g

/**
 * All certificates of a PEM text, in order.
 *
 * @throws Error with what is wrong, to follow the name of the file; nothing of the text is in it
 */
export function pemCertificates(text: string): X509Certificate[] {
  if (text.length > MAX_PEM_BYTES)
    throw new Error(`has ${text.length} bytes, more than the ${MAX_PEM_BYTES} that are read`)
  const blocks = text.match(CERTIFICATE) ?? []
  if (blocks.length !== text.split("-----BEGIN CERTIFICATE-----").length - 1 || blocks.length === 0)
    throw new Error("holds no PEM certificate that can be read")
  if (blocks.length > MAX_PEM_CERTIFICATES)
    throw new Error(`holds ${blocks.length} certificates, more than ${MAX_PEM_CERTIFICATES}`)
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block)
    } catch {
      throw new Error(`holds something that is no certificate (number ${index + 1})`)
    }
  })
}

/** PEM of a DER certificate. */
export function derToPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`
}
