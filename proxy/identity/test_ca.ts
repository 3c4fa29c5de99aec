// A certificate authority for tests only: real X.509 certificates (RFC 5280) of any validity, names and issuer.
import {
  DER_BIT_STRING,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DER_SEQUENCE,
  DER_SET,
  DerReader,
  der,
  derUnsigned,
} from "./der.ts"

/** A certificate and its key, PEM. */
export interface KeyPair {
  readonly certPem: string
  readonly keyPem: string
}

/** What a certificate says. */
export interface CertificateRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array
  readonly dnsNames: readonly string[]
  readonly uris: readonly string[]
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** An authority as text, to be handed to another process of the test. */
export interface CaText {
  readonly key: string
  readonly certificate: string
  readonly name: string
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" }
const oid = (hex: string) => der(DER_OID, Buffer.from(hex, "hex"))
const ECDSA_WITH_SHA256 = der(DER_SEQUENCE, oid("2a8648ce3d040302"))
const TRUE = Uint8Array.of(1, 1, 255)
const HOUR_MS = 3_600_000

/** DNS name and SPIFFE id of a service account. */
export function names(namespace: string, serviceAccount: string, trustDomain = "cluster.local") {
  return {
    dnsNames: [`${serviceAccount}.${namespace}.serviceaccount.identity.conduit.${trustDomain}`],
    uris: [`spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`],
  }
}

/** An authority. */
export class LabCa {
  /** Own certificate, DER. */
  readonly certificate: Uint8Array
  private readonly key: CryptoKey
  private readonly name: string

  private constructor(key: CryptoKey, certificate: Uint8Array, name: string) {
    this.key = key
    this.certificate = certificate
    this.name = name
  }

  /** Makes an authority with a certificate signed by itself. */
  static async create(name = "lab root"): Promise<LabCa> {
    const { publicKey, privateKey } = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])
    const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey))
    const now = Date.now()
    const extensions = [
      extension("551d13", TRUE, der(DER_SEQUENCE, TRUE)),
      extension("551d0f", TRUE, Uint8Array.of(3, 2, 2, 4)),
    ]
    const subject = nameOf(name)
    const certificate = await sign(
      privateKey,
      subject,
      subject,
      spki,
      now - HOUR_MS,
      now + 240 * HOUR_MS,
      extensions,
    )
    return new LabCa(privateKey, certificate, name)
  }

  /** Reads what `toText` gave. */
  static async fromText({ key, certificate, name }: CaText): Promise<LabCa> {
    const pkcs8 = Buffer.from(key, "base64")
    const imported = await crypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, true, ["sign"])
    return new LabCa(imported, Buffer.from(certificate, "base64"), name)
  }

  async toText(): Promise<CaText> {
    const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", this.key)).toString("base64")
    return { key, certificate: Buffer.from(this.certificate).toString("base64"), name: this.name }
  }

  /** Own certificate, PEM. */
  get pem(): string {
    return toPem("CERTIFICATE", this.certificate)
  }

  /** Signs a key; DER. */
  async certify(request: CertificateRequest): Promise<Uint8Array> {
    const { publicKey, dnsNames, uris, notBeforeMs, notAfterMs } = request
    const altNames = [
      ...dnsNames.map(one => der(0x82, Buffer.from(one))),
      ...uris.map(one => der(0x86, Buffer.from(one))),
    ]
    return await sign(this.key, nameOf(this.name), der(DER_SEQUENCE), publicKey, notBeforeMs, notAfterMs, [
      extension("551d11", TRUE, der(DER_SEQUENCE, ...altNames)),
      extension("551d0f", TRUE, Uint8Array.of(3, 2, 7, 128)),
      extension(
        "551d25",
        new Uint8Array(0),
        der(DER_SEQUENCE, oid("2b06010505070301"), oid("2b06010505070302")),
      ),
    ])
  }

  /** A fresh key with a certificate for a service account. Default validity: an hour from now. */
  async issue(
    namespace: string,
    serviceAccount: string,
    notAfterMs = Date.now() + HOUR_MS,
    trustDomain = "cluster.local",
  ): Promise<KeyPair> {
    const { publicKey, privateKey } = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])
    const spki = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey))
    const key = new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey))
    const notBeforeMs = Math.min(Date.now(), notAfterMs) - HOUR_MS
    const cert = await this.certify({
      publicKey: spki,
      ...names(namespace, serviceAccount, trustDomain),
      notBeforeMs,
      notAfterMs,
    })
    return { certPem: toPem("CERTIFICATE", cert), keyPem: toPem("PRIVATE KEY", key) }
  }
}

/** The public key of a signing request. */
export function publicKeyOf(csr: Uint8Array): Uint8Array {
  const info = new DerReader(csr).enter(DER_SEQUENCE).enter(DER_SEQUENCE)
  info.next(DER_INTEGER)
  info.next(DER_SEQUENCE)
  return der(DER_SEQUENCE, info.next(DER_SEQUENCE).content)
}

function nameOf(commonName: string): Uint8Array {
  const value = der(0x0c, Buffer.from(commonName))
  return der(DER_SEQUENCE, der(DER_SET, der(DER_SEQUENCE, oid("550403"), value)))
}

function extension(id: string, critical: Uint8Array, value: Uint8Array): Uint8Array {
  return der(DER_SEQUENCE, oid(id), critical, der(DER_OCTET_STRING, value))
}

function time(ms: number): Uint8Array {
  return der(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replace(/[-T:]/g, "")}Z`))
}

async function sign(
  key: CryptoKey,
  issuer: Uint8Array,
  subject: Uint8Array,
  publicKey: Uint8Array,
  notBeforeMs: number,
  notAfterMs: number,
  extensions: readonly Uint8Array[],
): Promise<Uint8Array> {
  const body = der(
    DER_SEQUENCE,
    der(0xa0, der(DER_INTEGER, Uint8Array.of(2))),
    derUnsigned(crypto.getRandomValues(new Uint8Array(16))),
    ECDSA_WITH_SHA256,
    issuer,
    der(DER_SEQUENCE, time(notBeforeMs), time(notAfterMs)),
    subject,
    publicKey,
    der(0xa3, der(DER_SEQUENCE, ...extensions)),
  )
  const algorithm = { name: "ECDSA", hash: "SHA-256" }
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm, key, body as Uint8Array<ArrayBuffer>))
  const pair = der(DER_SEQUENCE, derUnsigned(signature.subarray(0, 32)), derUnsigned(signature.subarray(32)))
  return der(DER_SEQUENCE, body, ECDSA_WITH_SHA256, der(DER_BIT_STRING, Uint8Array.of(0), pair))
}

/** PEM text. */
export function toPem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`
}
