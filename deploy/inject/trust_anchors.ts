// The mesh's trust anchors as a person gives them: a PEM file that ends up in every proxy's environment.
import { X509Certificate } from "node:crypto"

/** The largest file of trust anchors; they are copied into every pod, and a process's environment is bounded. */
export const MAX_TRUST_ANCHORS_BYTES = 64 * 1024

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g

/** A file that is of no use as trust anchors; the message says what is wrong with it. */
export class TrustAnchorError extends Error {
  override readonly name = "TrustAnchorError"
}

/**
 * The certificates of a PEM text, without anything that stands between them.
 *
 * @param nowMs time by which they must be valid, milliseconds of the epoch
 * @throws TrustAnchorError for a text without certificates, one that is broken, is no authority's or has expired, or
 * one that holds a private key
 */
export function trustAnchors(pem: string, nowMs: number): string {
  if (pem.length > MAX_TRUST_ANCHORS_BYTES) {
    throw new TrustAnchorError(`it is larger than ${MAX_TRUST_ANCHORS_BYTES / 1024} KiB`)
  }
  const blocks = [...pem.matchAll(BLOCK)]
  if (blocks.some(block => block[1]?.includes("PRIVATE KEY"))) {
    throw new TrustAnchorError(
      "it holds a private key, which would end up in every pod; give the certificates only",
    )
  }
  const certificates = blocks.filter(block => block[1] === "CERTIFICATE").map(block => block[0])
  if (certificates.length === 0) throw new TrustAnchorError("it holds no PEM certificate (BEGIN CERTIFICATE)")
  for (const [index, text] of certificates.entries()) checkAnchor(text, `certificate ${index + 1}`, nowMs)
  return `${certificates.map(text => text.replaceAll("\r\n", "\n")).join("\n")}\n`
}

function checkAnchor(pem: string, which: string, nowMs: number): void {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(pem)
  } catch (error) {
    throw new TrustAnchorError(`its ${which} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  if (!certificate.ca) throw new TrustAnchorError(`its ${which} is not of a certificate authority`)
  if (Date.parse(certificate.validTo) <= nowMs) {
    throw new TrustAnchorError(`its ${which} expired on ${certificate.validTo}`)
  }
}
