// The issuer with its chain and key, and the trust anchors: read from PEM, and checked as a whole before they are
// in force.
import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto"
import type { AuthorityPem } from "./make_authority.ts"
import { MAX_PEM_BYTES, pemCertificates } from "./pem.ts"
import { x509 } from "./x509.ts"

/** An issuer that may sign. */
export interface Issuer {
  /** Its certificate, then its intermediates, without an anchor. */
  readonly chain: readonly X509Certificate[]
  readonly certificate: X509Certificate
  readonly key: KeyObject
  /** End of the first of the chain that ends, milliseconds since 1970. */
  readonly notAfterMs: number
}

/** Text of `tls.crt` and `tls.key` (cert-manager.io: Certificate resource, target secret). */
export interface IssuerText {
  readonly certificate: string
  readonly key: string
}

/**
 * Reads an issuer.
 *
 * @throws Error with a sentence that names the file and holds nothing of it
 */
export function parseIssuer(text: IssuerText, nowMs: number): Issuer {
  const chain = parseIssuerChain(text.certificate, nowMs)
  const [certificate] = chain
  if (certificate === undefined) throw new Error("tls.crt holds no certificate")
  const key = parseKey(text.key)
  if (!certificate.checkPrivateKey(key))
    throw new Error("tls.key does not belong to the certificate in tls.crt")
  return { chain, certificate, key, notAfterMs: Math.min(...chain.map(endMs)) }
}

/**
 * Reads an issuer's certificate and those above it.
 *
 * @throws Error with a sentence that names the file and holds nothing of it
 */
export function parseIssuerChain(text: string, nowMs: number): X509Certificate[] {
  const chain = named("tls.crt", () => pemCertificates(text))
  for (const one of chain) checkSigner("tls.crt", one, nowMs)
  for (const [index, one] of chain.entries()) {
    if (pathLength(one) < index)
      throw new Error(`tls.crt: "${nameOf(one)}" does not let the ${index} below it sign (path length)`)
    const above = chain[index + 1]
    if (above !== undefined && !isSignedBy(one, above))
      throw new Error(
        `tls.crt: certificate ${index + 1} is not signed by the one after it; a chain begins at the issuer`,
      )
  }
  return chain
}

/**
 * Reads trust anchors; those that ended are left out.
 *
 * @throws Error with a sentence that names `what`
 */
export function parseTrustAnchors(
  text: string,
  nowMs: number,
  what = "the trust anchors' file",
): X509Certificate[] {
  const all = named(what, () => pemCertificates(text))
  for (const one of all)
    if (!one.ca) throw new Error(`${what}: "${nameOf(one)}" is no CA certificate (CA:TRUE)`)
  const alive = all.filter(one => endMs(one) > nowMs)
  if (alive.length === 0) throw new Error(`${what}: every certificate has expired`)
  return [...new Map(alive.map(one => [one.fingerprint256, one])).values()]
}

/** The anchor that an issuer chains to; null when there is none. */
export function anchorOf(
  issuer: Pick<Issuer, "chain">,
  anchors: readonly X509Certificate[],
): X509Certificate | null {
  return anchorsAbove(issuer, anchors).find(({ fits }) => fits)?.anchor ?? null
}

/** Why there is no anchor that an issuer chains to, to follow the name of the issuer's file. */
export function whyNoAnchor(issuer: Pick<Issuer, "chain">, anchors: readonly X509Certificate[]): string {
  const [short] = anchorsAbove(issuer, anchors)
  return short === undefined
    ? "chains to none of the trust anchors"
    : `chains to the trust anchor "${nameOf(short.anchor)}", which does not let it sign (path length)`
}

/** Anchors that signed one of a chain, or are one of it, and whether their path length lets all below them sign. */
function anchorsAbove({ chain }: Pick<Issuer, "chain">, anchors: readonly X509Certificate[]) {
  return chain.flatMap((one, index) =>
    anchors.flatMap(anchor => {
      const isOne = anchor.fingerprint256 === one.fingerprint256
      if (!isOne && !isSignedBy(one, anchor)) return []
      return [{ anchor, fits: pathLength(anchor) >= (isOne ? index : index + 1) }]
    }),
  )
}

/** What the parts of an authority are called in sentences. */
export interface AuthorityNames {
  readonly anchor: string
  readonly issuer: string
  readonly issuerKey: string
}

/**
 * Checks that anchors, issuer and key are good, and belong together.
 *
 * @throws Error with a sentence that names the part and holds nothing of it
 */
export function checkAuthority(pem: AuthorityPem, names: AuthorityNames, nowMs: number): void {
  const anchors = parseTrustAnchors(pem.anchor, nowMs, names.anchor)
  let issuer: Issuer
  try {
    issuer = parseIssuer({ certificate: pem.issuer, key: pem.issuerKey }, nowMs)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new Error(
      message.replaceAll(/tls\.(crt|key)/g, (_all, kind) =>
        kind === "crt" ? names.issuer : names.issuerKey,
      ),
    )
  }
  if (anchorOf(issuer, anchors) === null)
    throw new Error(`${names.issuer} ${whyNoAnchor(issuer, anchors)} (of ${names.anchor})`)
}

/** What goes to a caller after its own certificate: the chain up to, but without, the anchor. */
export function intermediates(issuer: Issuer, anchor: X509Certificate): X509Certificate[] {
  const end = issuer.chain.findIndex(one => one.fingerprint256 === anchor.fingerprint256)
  return issuer.chain.slice(0, end === -1 ? undefined : end)
}

/** End of a certificate, milliseconds since 1970. */
export function endMs(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo)
}

function checkSigner(what: string, certificate: X509Certificate, nowMs: number): void {
  const name = nameOf(certificate)
  // Before CA:TRUE: a certificate whose key usage forbids signing counts as no CA's either.
  const usage = decoded(certificate).getExtension(x509.KeyUsagesExtension)
  if (usage !== null && usage !== undefined && (usage.usages & x509.KeyUsageFlags.keyCertSign) === 0)
    throw new Error(`${what}: "${name}" may not sign certificates (key usage)`)
  if (!certificate.ca) throw new Error(`${what}: "${name}" is no CA certificate (CA:TRUE)`)
  if (endMs(certificate) <= nowMs) throw new Error(`${what}: "${name}" expired on ${certificate.validTo}`)
  if (Date.parse(certificate.validFrom) > nowMs)
    throw new Error(`${what}: "${name}" is not valid before ${certificate.validFrom}`)
}

/** How many authorities one allows between itself and a leaf (RFC 5280 section 4.2.1.9). */
function pathLength(certificate: X509Certificate): number {
  return decoded(certificate).getExtension(x509.BasicConstraintsExtension)?.pathLength ?? Infinity
}

function decoded(certificate: X509Certificate): x509.X509Certificate {
  return new x509.X509Certificate(new Uint8Array(certificate.raw))
}

function parseKey(text: string): KeyObject {
  if (text.length > MAX_PEM_BYTES) throw new Error(`tls.key has more than ${MAX_PEM_BYTES} bytes`)
  let key: KeyObject
  try {
    key = createPrivateKey(text)
  } catch {
    // What the library says may hold a part of the key.
    throw new Error("tls.key holds no private key in PEM that can be read")
  }
  const curve = key.asymmetricKeyType === "ec" ? key.asymmetricKeyDetails?.namedCurve : undefined
  if (curve !== "prime256v1" && curve !== "P-256") throw new Error("tls.key is no ECDSA P-256 key")
  return key
}

function isSignedBy(certificate: X509Certificate, by: X509Certificate): boolean {
  try {
    return certificate.checkIssued(by) && certificate.verify(by.publicKey)
  } catch {
    return false
  }
}

function named<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new Error(`${what} ${error instanceof Error ? error.message : String(error)}`)
  }
}

function nameOf(certificate: X509Certificate): string {
  return certificate.subject.replaceAll("\n", ", ") || `serial ${certificate.serialNumber}`
}
