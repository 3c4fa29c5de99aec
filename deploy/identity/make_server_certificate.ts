// Makes a certificate that a server signs for itself, for clients that are told of it: ECDSA P-256, RFC 5280.
import { BACKDATE_MS, newKeys, SIGNING, serialNumber } from "./make_authority.ts"
import { x509 } from "./x509.ts"

/** A certificate and its key, PEM. */
export interface ServerCertificatePem {
  readonly certificate: string
  readonly key: string
}

/** What is made. */
export interface MakeServerCertificateOptions {
  /** Common name: who made it, for people; no client looks at it. */
  readonly name: string
  /** Names that clients call the server by. */
  readonly dnsNames: readonly string[]
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: number
  readonly lifetimeMs: number
}

/** Makes one. It can be trusted as what it is, but cannot sign others. */
export async function makeServerCertificate(
  options: MakeServerCertificateOptions,
): Promise<ServerCertificatePem> {
  const { name, dnsNames, nowMs, lifetimeMs } = options
  const keys = await newKeys()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [name] }],
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + lifetimeMs),
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(dnsNames.map(value => ({ type: "dns" as const, value }))),
    ],
  })
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey)
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: `${x509.PemConverter.encode(key, "PRIVATE KEY")}\n`,
  }
}
