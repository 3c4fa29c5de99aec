// Makes a trust anchor and an issuer below it, for a mesh that was given none: ECDSA P-256, RFC 5280.
import { x509 } from "./x509.ts"

/** Life of an anchor that is made: longer than any local mesh, so that nobody has to think of it. */
export const ANCHOR_LIFETIME_MS = 10 * 365 * 24 * 3_600_000
/** Life of an issuer that is made; Linkerd's value. */
export const ISSUER_LIFETIME_MS = 365 * 24 * 3_600_000
/** Clocks may differ by this. */
export const BACKDATE_MS = 60_000
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const
/** How certificates are signed that are made here. */
export const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const

/** A trust anchor and an issuer, PEM. The anchor's key is not kept: it signs once. */
export interface AuthorityPem {
  readonly anchor: string
  readonly issuer: string
  readonly issuerKey: string
}

/** What is made. */
export interface MakeAuthorityOptions {
  /** Domain that certificates are for. */
  readonly trustDomain: string
  /** Namespace of the control plane. */
  readonly controlNamespace: string
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: number
  /** Default ANCHOR_LIFETIME_MS. */
  readonly anchorLifetimeMs?: number
  /** Default ISSUER_LIFETIME_MS. */
  readonly issuerLifetimeMs?: number
}

/** Makes both. */
export async function makeAuthority(options: MakeAuthorityOptions): Promise<AuthorityPem> {
  const { trustDomain, controlNamespace, nowMs } = options
  const { anchorLifetimeMs = ANCHOR_LIFETIME_MS, issuerLifetimeMs = ISSUER_LIFETIME_MS } = options
  const [root, below] = await Promise.all([newKeys(), newKeys()])
  const anchorName = `CN=root.${controlNamespace}.${trustDomain}`
  const usages = new x509.KeyUsagesExtension(
    x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
    true,
  )
  const notBefore = new Date(nowMs - BACKDATE_MS)
  const anchor = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: anchorName,
    issuer: anchorName,
    notBefore,
    notAfter: new Date(nowMs + anchorLifetimeMs),
    publicKey: root.publicKey,
    signingKey: root.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      usages,
      await x509.SubjectKeyIdentifierExtension.create(root.publicKey),
    ],
  })
  const issuer = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=identity.${controlNamespace}.${trustDomain}`,
    issuer: anchorName,
    notBefore,
    notAfter: new Date(nowMs + Math.min(issuerLifetimeMs, anchorLifetimeMs)),
    publicKey: below.publicKey,
    signingKey: root.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      usages,
      await x509.SubjectKeyIdentifierExtension.create(below.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(root.publicKey),
    ],
  })
  const key = await crypto.subtle.exportKey("pkcs8", below.privateKey)
  return {
    anchor: `${anchor.toString("pem")}\n`,
    issuer: `${issuer.toString("pem")}\n`,
    issuerKey: `${x509.PemConverter.encode(key, "PRIVATE KEY")}\n`,
  }
}

/** A new key pair, ECDSA P-256. */
export async function newKeys(): Promise<CryptoKeyPair> {
  return await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])
}

/** 126 random bits, positive and never short (RFC 5280 section 4.1.2.2). */
export function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return Buffer.from(bytes).toString("hex")
}
