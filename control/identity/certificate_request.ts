// Checks a certificate signing request (RFC 2986): size, key, proof that the caller has it, and names.
import { x509 } from "../../deploy/identity/mod.ts"
import { Refusal } from "./refusal.ts"

/** Largest request that is read: a P-256 key and two names of 253 characters take less than 1 KB. */
export const MAX_CSR_BYTES = 4 * 1024
const SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"

/** Names that a certificate will bear. */
export interface CertificateNames {
  readonly spiffeId: string
  readonly dnsName: string
}

/**
 * The public key of a request.
 *
 * @throws Refusal when it cannot be read, its key is no P-256 one or not proven, or it asks for other names
 */
export async function checkRequest(der: Uint8Array, names: CertificateNames): Promise<x509.PublicKey> {
  if (der.length > MAX_CSR_BYTES)
    throw new Refusal("request", `a CSR has at most ${MAX_CSR_BYTES} bytes, not ${der.length}`)
  const csr = parse(der)
  const algorithm = csr.publicKey.algorithm as { name?: string; namedCurve?: string }
  if (algorithm.name !== "ECDSA" || algorithm.namedCurve !== "P-256")
    throw new Refusal("request", "the CSR's key is no ECDSA P-256 key")
  // A signature that is no DER makes verify throw.
  if (!(await csr.verify().catch(() => false)))
    throw new Refusal("request", "the CSR is not signed by its own key")
  checkNames(csr, names)
  return csr.publicKey
}

function parse(der: Uint8Array): x509.Pkcs10CertificateRequest {
  try {
    const csr = new x509.Pkcs10CertificateRequest(new Uint8Array(der))
    // The library passes over bytes after the request.
    if (sequenceLength(der) !== der.length) throw new Error("not the whole of it")
    void csr.publicKey.algorithm
    return csr
  } catch {
    throw new Refusal("request", "the CSR is no PKCS #10 request in DER")
  }
}

/** Bytes of the SEQUENCE that DER begins with, header included (X.690 section 8.1); -1 for anything else. */
function sequenceLength(der: Uint8Array): number {
  const [tag, first = 0, second = 0, third = 0] = der
  if (tag !== 0x30) return -1
  if (first < 0x80) return 2 + first
  if (first === 0x81) return 3 + second
  return first === 0x82 ? 4 + second * 256 + third : -1
}

function checkNames(csr: x509.Pkcs10CertificateRequest, names: CertificateNames): void {
  let asked: string[]
  try {
    const extensions = csr.extensions.filter(({ type }) => type === SUBJECT_ALTERNATIVE_NAME)
    asked = extensions.flatMap(({ rawData }) =>
      new x509.SubjectAlternativeNameExtension(rawData).names
        .toJSON()
        .map(({ type, value }) => `${type}:${value}`),
    )
    for (const { value } of csr.subjectName.getField("CN").map(value => ({ value })))
      asked.push(`CN:${value}`)
  } catch {
    throw new Refusal("request", "the CSR's names cannot be read")
  }
  if (asked.length === 0) return
  const own = [`url:${names.spiffeId}`, `dns:${names.dnsName}`, `CN:${names.dnsName}`]
  if (asked.some(name => !own.includes(name)))
    throw new Refusal("names", `the CSR asks for other names than the token gives: ${names.spiffeId}`)
}
