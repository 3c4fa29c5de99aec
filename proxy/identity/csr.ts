// A certificate signing request (RFC 2986) for an ECDSA P-256 key that never leaves the process.
import { DER_BIT_STRING, DER_INTEGER, DER_OID, DER_SEQUENCE, der, derUnsigned } from "./der.ts"

/** A fresh key, and the request to have it signed. */
export interface KeyAndRequest {
  /** PKCS #8, PEM: for the runtime's TLS only. */
  readonly keyPem: string
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array
  /** Request, DER; it bears no names, for those come from the token. */
  readonly csr: Uint8Array
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" }

/** 1.2.840.10045.4.3.2 */
const ECDSA_WITH_SHA256 = Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)

/** Tag of the attributes, `[0]`; there are none. */
const ATTRIBUTES = 0xa0

/** Makes a key and signs a request with it. */
export async function makeKeyAndRequest(): Promise<KeyAndRequest> {
  const { publicKey, privateKey } = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey))
  const info = der(DER_SEQUENCE, der(DER_INTEGER, Uint8Array.of(0)), der(DER_SEQUENCE), spki, der(ATTRIBUTES))
  const signature = new Uint8Array(
    await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, info as Uint8Array<ArrayBuffer>),
  )
  const half = signature.length / 2
  const csr = der(
    DER_SEQUENCE,
    info,
    der(DER_SEQUENCE, der(DER_OID, ECDSA_WITH_SHA256)),
    der(
      DER_BIT_STRING,
      Uint8Array.of(0),
      // WebCrypto gives r and s side by side; X.509 wants two integers.
      der(DER_SEQUENCE, derUnsigned(signature.subarray(0, half)), derUnsigned(signature.subarray(half))),
    ),
  )
  const key = new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey))
  return { keyPem: pem("PRIVATE KEY", key), publicKey: spki, csr }
}

/** PEM text (RFC 7468). */
export function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`
}
