// The identity service over real TLS with a real client: what is signed, and everything that is not.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { createHmac, X509Certificate } from "node:crypto"
import { writeFileSync } from "node:fs"
import { connect } from "node:http2"
import { join } from "node:path"
import { Code, ConnectError } from "@connectrpc/connect"
import { derToPem, TokenIssuer } from "../../deploy/identity/mod.ts"
import { MAX_CSR_BYTES } from "./certificate_request.ts"
import { IdentityLab, LAB_ISSUER, newAuthority, newCsr, newKeys } from "./lab.ts"

const SPIFFE = "spiffe://cluster.local/ns/shop/sa/web"
const DNS = "web.shop.serviceaccount.identity.conduit.cluster.local"
const lab = new IdentityLab()
let keys: CryptoKeyPair
let csr: Uint8Array

beforeAll(async () => {
  await lab.prepare()
  await lab.run()
  keys = await newKeys()
  csr = await newCsr(keys)
})
afterAll(() => lab.close())

async function refusal(token: string, request: Uint8Array): Promise<ConnectError> {
  try {
    await lab.client().certify({ token, csr: request })
  } catch (error) {
    return ConnectError.from(error)
  }
  throw new Error("it was signed")
}

test("a workload gets a certificate with the names of its token, for its key, that openssl verifies", async () => {
  const { chain, notAfterMs, notBeforeMs, trustAnchors } = await lab
    .client()
    .certify({ token: lab.token(), csr })
  const leaf = new X509Certificate(chain[0] ?? new Uint8Array())
  expect(leaf.subjectAltName).toBe(`URI:${SPIFFE}, DNS:${DNS}`)
  expect(leaf.ca).toBe(false)
  const spki = await crypto.subtle.exportKey("spki", keys.publicKey)
  expect(leaf.publicKey.export({ format: "der", type: "spki" }).equals(Buffer.from(spki))).toBe(true)
  expect(Date.parse(leaf.validTo)).toBe(Number(notAfterMs))
  expect(Number(notAfterMs - notBeforeMs) / 1000).toBe(24 * 3600 + 40)
  expect(leaf.serialNumber).toHaveLength(32)
  writeFileSync(join(lab.folder, "leaf.pem"), derToPem(chain[0] ?? new Uint8Array()))
  writeFileSync(join(lab.folder, "chain.pem"), chain.slice(1).map(derToPem).join(""))
  writeFileSync(join(lab.folder, "ca.pem"), trustAnchors.map(derToPem).join(""))
  for (const purpose of ["sslclient", "sslserver"]) {
    const args = [
      "-x509_strict",
      "-purpose",
      purpose,
      "-CAfile",
      "ca.pem",
      "-untrusted",
      "chain.pem",
      "leaf.pem",
    ]
    const verify = Bun.spawnSync(["openssl", "verify", ...args], { cwd: lab.folder })
    expect(`${verify.stdout}${verify.stderr}`.trim()).toBe("leaf.pem: OK")
  }
})

test("a CSR with exactly the names of the token is signed", async () => {
  const own = await newCsr(keys, [
    { type: "url", value: SPIFFE },
    { type: "dns", value: DNS },
  ])
  expect((await lab.client().certify({ token: lab.token(), csr: own })).chain).toHaveLength(2)
})

test("a CSR that asks for other names is refused, whatever their kind", async () => {
  const foreign = [
    { type: "url", value: "spiffe://cluster.local/ns/bank/sa/ledger" },
    { type: "url", value: SPIFFE.replace("cluster.local", "other.domain") },
    { type: "dns", value: "ledger.bank.serviceaccount.identity.conduit.cluster.local" },
    { type: "ip", value: "10.0.0.1" },
    { type: "email", value: "a@b.c" },
  ] as const
  for (const name of foreign) {
    const refused = await refusal(lab.token(), await newCsr(keys, [{ type: "url", value: SPIFFE }, name]))
    expect(refused.code).toBe(Code.InvalidArgument)
    expect(refused.rawMessage).toContain("other names")
  }
  expect((await refusal(lab.token(), await newCsr(keys, [], "CN=ledger"))).rawMessage).toContain(
    "other names",
  )
})

test("tokens that do not hold are refused, each with what does not", async () => {
  const other = new TokenIssuer("https://elsewhere", Date.now)
  const impostor = new TokenIssuer(LAB_ISSUER, Date.now)
  const expired = new TokenIssuer(LAB_ISSUER, () => Date.now() - 7200_000)
  const early = new TokenIssuer(LAB_ISSUER, () => Date.now() + 7200_000)
  lab.write("jwks.json", JSON.stringify({ keys: [lab.tokens, expired, early, other].flatMap(keysOf) }))
  await Bun.sleep(1_300)
  const [head = "", body = "", signature = ""] = lab.token().split(".")
  const bent = Buffer.from(
    JSON.stringify({ ...JSON.parse(decode(body)), sub: "system:serviceaccount:bank:ledger" }),
  )
  const cases: readonly (readonly [string, string])[] = [
    ["", "missing"],
    ["a.b.c", "cannot be read"],
    ["x".repeat(9000), "at most"],
    [lab.token({ audience: "api" }), 'claim "aud"'],
    [lab.token({}, expired), "expired"],
    [lab.token({}, early), 'claim "nbf"'],
    [lab.token({}, other), 'claim "iss"'],
    [lab.token({}, impostor), "not signed by this cluster's issuer"],
    [`${head}.${bent.toString("base64url")}.${signature}`, "not signed by this cluster's issuer"],
    [`${encode({ alg: "none" })}.${body}.`, "not signed with ES256"],
    [hmacToken(body), "not signed with ES256"],
    [lab.token({ namespace: "Shop/../x" }), "cannot be a service account"],
  ]
  for (const [token, reason] of cases) {
    const refused = await refusal(token, csr)
    expect([refused.rawMessage, refused.code]).toEqual([
      expect.stringContaining(reason),
      Code.Unauthenticated,
    ])
    if (token !== "") expect(refused.rawMessage).not.toContain(token.slice(0, 40))
  }
})

test("requests that are none are refused: empty, huge, cut, followed by more, foreign curve, foreign signature", async () => {
  const swapped = Uint8Array.from(csr)
  swapped[swapped.length - 1] = (swapped.at(-1) ?? 0) ^ 1
  const p384 = await newCsr(await newKeys("P-384"))
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [new Uint8Array(), "PKCS #10"],
    [csr.subarray(0, csr.length - 9), "PKCS #10"],
    [Uint8Array.from([...csr, 0]), "PKCS #10"],
    [crypto.getRandomValues(new Uint8Array(300)), "PKCS #10"],
    [new Uint8Array(MAX_CSR_BYTES + 1), "at most"],
    [p384, "P-256"],
    [swapped, "not signed by its own key"],
  ]
  for (const [request, reason] of cases) {
    const refused = await refusal(lab.token(), request)
    expect([refused.rawMessage, refused.code]).toEqual([
      expect.stringContaining(reason),
      Code.InvalidArgument,
    ])
  }
  expect((await refusal(lab.token(), new Uint8Array(1024 * 1024))).code).toBe(Code.ResourceExhausted)
})

test("plaintext, TLS 1.2 and a service of a foreign anchor are turned away", async () => {
  const port = lab.portOf("identity")
  const plain = connect(`http://127.0.0.1:${port}`)
  await expect(
    new Promise((_, reject) => {
      plain.on("error", reject)
      plain.on("close", () => reject(new Error("closed")))
      plain.request({ ":path": "/" }).on("error", reject)
    }),
  ).rejects.toThrow()
  const old = Bun.spawn(["openssl", "s_client", "-tls1_2", "-connect", `127.0.0.1:${port}`], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  })
  expect(await old.exited).not.toBe(0)
  const foreign = (await newAuthority()).anchor
  await expect(lab.client(foreign).certify({ token: lab.token(), csr })).rejects.toThrow()
  expect(await lab.metrics()).toMatch(/connections_refused_total\{reason="plaintext"\} [1-9]/)
})

test("of 1,000 requests at once each gets an honest answer, and the service stays up", async () => {
  const client = lab.client()
  const outcomes = await Promise.all(
    Array.from({ length: 1000 }, (_, index) =>
      client.certify({ token: lab.token({ serviceAccount: `web-${index % 10}` }), csr }).then(
        ({ chain }) => (chain.length === 2 ? "signed" : "empty"),
        error => `${Code[ConnectError.from(error).code]}: ${ConnectError.from(error).rawMessage}`,
      ),
    ),
  )
  const signed = outcomes.filter(outcome => outcome === "signed").length
  const told = outcomes.filter(outcome => /^ResourceExhausted: .*try again later$/.test(outcome)).length
  expect(signed).toBeGreaterThan(100)
  expect(signed + told).toBe(1000)
  expect(await lab.metrics()).toContain("identity_issued_total")
}, 30_000)

test("no key and no token is in the log or in the figures", async () => {
  const said = `${lab.lines.join("")}${await lab.metrics()}`
  expect(said).toContain("issuer in force")
  const secret = lab.authority.issuerKey.split("\n").slice(1, -2)
  const tokens = lab.token().split(".")
  for (const piece of [...secret, ...tokens.map(part => part.slice(0, 30))]) expect(said).not.toContain(piece)
  expect(said).not.toContain("PRIVATE KEY")
})

function keysOf(issuer: TokenIssuer): unknown[] {
  return (JSON.parse(issuer.jwks) as { keys: unknown[] }).keys
}

function decode(part: string): string {
  return Buffer.from(part, "base64url").toString()
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url")
}

/** The public key taken for a shared secret (RFC 8725 section 2.1). */
function hmacToken(body: string): string {
  const { kid } = keysOf(lab.tokens)[0] as { kid: string }
  const signed = `${encode({ alg: "HS256", kid })}.${body}`
  return `${signed}.${createHmac("sha256", lab.tokens.jwks).update(signed).digest("base64url")}`
}
