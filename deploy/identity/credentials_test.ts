// An authority as a whole: its parts belong together, and no length of a path forbids what it is for.
import { beforeAll, expect, test } from "bun:test"
import { checkAuthority } from "./credentials.ts"
import { x509 } from "./x509.ts"

const NOW = Date.parse("2026-06-01T00:00:00Z")
const NAMES = { anchor: "ca.crt", issuer: "issuer.crt", issuerKey: "issuer.key" }
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const

/** A certificate authority with its key. */
interface Ca {
  readonly name: string
  readonly pem: string
  readonly keys: CryptoKeyPair
}

interface CaOptions {
  readonly by?: Ca
  /** Path length; none where it is missing. */
  readonly length?: number
  readonly ca?: boolean
  readonly usages?: number
  readonly notAfter?: string
}

async function authority(name: string, options: CaOptions = {}): Promise<Ca> {
  const { by, length, ca = true, notAfter = "2027-01-01" } = options
  const { usages = x509.KeyUsageFlags.keyCertSign } = options
  const keys = (await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ])) as CryptoKeyPair
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: `CN=${by?.name ?? name}`,
    notBefore: new Date("2026-01-01"),
    notAfter: new Date(notAfter),
    publicKey: keys.publicKey,
    signingKey: (by?.keys ?? keys).privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(ca, length, true),
      new x509.KeyUsagesExtension(usages, true),
    ],
  })
  return { name, pem: `${certificate.toString("pem")}\n`, keys }
}

/** What is wrong with an anchor, a chain from the issuer upwards, and the key of the first of it. */
async function complaint(anchors: readonly Ca[], chain: readonly Ca[], holder = chain[0]): Promise<string> {
  const key = await crypto.subtle.exportKey("pkcs8", (holder as Ca).keys.privateKey)
  const pem = {
    anchor: anchors.map(one => one.pem).join(""),
    issuer: chain.map(one => one.pem).join(""),
    issuerKey: x509.PemConverter.encode(key, "PRIVATE KEY"),
  }
  try {
    checkAuthority(pem, NAMES, NOW)
    return ""
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

let root: Ca
beforeAll(async () => {
  root = await authority("root")
})

test("an issuer under an anchor, under an intermediate, and an anchor itself are good", async () => {
  const issuer = await authority("issuer", { by: root, length: 0 })
  const between = await authority("between", { by: root, length: 1 })
  const below = await authority("below", { by: between, length: 0 })
  expect(await complaint([root], [issuer])).toBe("")
  expect(await complaint([root], [below, between])).toBe("")
  expect(await complaint([root], [root])).toBe("")
  const bounded = await authority("bounded", { length: 0 })
  expect(await complaint([bounded], [bounded])).toBe("")
})

test("an anchor that lets nobody below it sign is refused for an issuer below it", async () => {
  const short = await authority("short", { length: 0 })
  const issuer = await authority("issuer", { by: short })
  expect(await complaint([short], [issuer])).toBe(
    'issuer.crt chains to the trust anchor "CN=short", which does not let it sign (path length) (of ca.crt)',
  )
})

test("the length counts every authority between anchor and leaf", async () => {
  const one = await authority("one", { length: 1 })
  const between = await authority("between", { by: one })
  const below = await authority("below", { by: between })
  expect(await complaint([one], [below, between])).toContain("(path length)")
  const two = await authority("two", { length: 2 })
  const middle = await authority("middle", { by: two })
  expect(await complaint([two], [await authority("deep", { by: middle }), middle])).toBe("")
})

test("an intermediate that lets nobody below it sign is refused", async () => {
  const between = await authority("between", { by: root, length: 0 })
  const below = await authority("below", { by: between })
  expect(await complaint([root], [below, between])).toBe(
    'issuer.crt: "CN=between" does not let the 1 below it sign (path length)',
  )
})

test("of two anchors with one key the one that lets the issuer sign is taken", async () => {
  const short = await authority("same", { length: 0 })
  const issuer = await authority("issuer", { by: short })
  const long = await x509.X509CertificateGenerator.create({
    subject: "CN=same",
    issuer: "CN=same",
    notBefore: new Date("2026-01-01"),
    notAfter: new Date("2027-01-01"),
    publicKey: short.keys.publicKey,
    signingKey: short.keys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  })
  expect(await complaint([short, { ...short, pem: `${long.toString("pem")}\n` }], [issuer])).toBe("")
})

test("what is no authority, may not sign, has expired, or belongs to another is refused by its name", async () => {
  const leaf = await authority("leaf", { by: root, ca: false })
  expect(await complaint([root], [leaf])).toBe('issuer.crt: "CN=leaf" is no CA certificate (CA:TRUE)')
  const useless = await authority("useless", { by: root, usages: x509.KeyUsageFlags.digitalSignature })
  expect(await complaint([root], [useless])).toContain("may not sign certificates (key usage)")
  const old = await authority("old", { by: root, notAfter: "2026-02-01" })
  expect(await complaint([root], [old])).toContain('issuer.crt: "CN=old" expired on')
  const issuer = await authority("issuer", { by: root })
  expect(await complaint([root], [issuer], root)).toBe(
    "issuer.key does not belong to the certificate in issuer.crt",
  )
  expect(await complaint([await authority("other")], [issuer])).toBe(
    "issuer.crt chains to none of the trust anchors (of ca.crt)",
  )
  expect(await complaint([old], [issuer])).toBe("ca.crt: every certificate has expired")
})
