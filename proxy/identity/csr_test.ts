// Requests and certificates, held to what openssl reads and writes.
import { expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readCertificate } from "./certificate.ts"
import { makeKeyAndRequest } from "./csr.ts"
import { DerError } from "./der.ts"

async function openssl(...args: string[]): Promise<string> {
  const child = Bun.spawn(["openssl", ...args], { stdout: "pipe", stderr: "pipe" })
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return out + err
}

async function inFolder(body: (at: (name: string) => string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "conduit-csr-"))
  try {
    await body(name => join(folder, name))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test("openssl verifies requests, whatever the numbers of a signature look like", async () => {
  await inFolder(async at => {
    // Half of all numbers need a zero before them, and one in 256 is short: several requests meet the first kind surely.
    for (let i = 0; i < 8; i++) {
      const { csr } = await makeKeyAndRequest()
      writeFileSync(at("csr"), csr)
      const text = await openssl("req", "-inform", "DER", "-in", at("csr"), "-noout", "-verify", "-text")
      expect(text).toContain("verify OK")
      expect(text).toContain("prime256v1")
      expect(text).toContain("ecdsa-with-SHA256")
    }
  })
})

test("the key that TLS uses is the one of the request, and every request has another", async () => {
  await inFolder(async at => {
    const [one, other] = [await makeKeyAndRequest(), await makeKeyAndRequest()]
    writeFileSync(at("key"), one.keyPem)
    await openssl("pkey", "-in", at("key"), "-pubout", "-outform", "DER", "-out", at("public"))
    expect(Buffer.compare(readFileSync(at("public")), one.publicKey)).toBe(0)
    expect(other.keyPem).not.toBe(one.keyPem)
  })
})

test("a certificate of openssl's is read: serial, issuer, validity, names and key", async () => {
  await inFolder(async at => {
    const { keyPem, publicKey } = await makeKeyAndRequest()
    writeFileSync(at("key"), keyPem)
    const names = "subjectAltName=DNS:web.shop,DNS:b,URI:spiffe://cluster.local/ns/shop/sa/web"
    const flags = ["-days", "2", "-set_serial", "0x00f1", "-addext", names, "-outform", "DER"]
    const subject = "/C=DE/O=Shop/CN=issuer"
    await openssl("req", "-x509", "-new", "-key", at("key"), "-subj", subject, ...flags, "-out", at("cert"))
    const certificate = readCertificate(readFileSync(at("cert")))
    expect(certificate).toMatchObject({
      serialNumber: "F1",
      issuer: "C=DE, O=Shop, CN=issuer",
      dnsNames: ["web.shop", "b"],
      uris: ["spiffe://cluster.local/ns/shop/sa/web"],
    })
    expect(Buffer.compare(certificate.publicKey, publicKey)).toBe(0)
    const dates = await openssl(
      "x509",
      "-inform",
      "DER",
      "-in",
      at("cert"),
      "-noout",
      "-startdate",
      "-enddate",
    )
    const [, start = "", end = ""] = /notBefore=(.*)\nnotAfter=(.*)/.exec(dates) ?? []
    expect(certificate.notBeforeMs).toBe(Date.parse(start))
    expect(certificate.notAfterMs).toBe(Date.parse(end))
  })
})

test("what is no certificate is refused, cut anywhere", async () => {
  await inFolder(async at => {
    const { keyPem } = await makeKeyAndRequest()
    writeFileSync(at("key"), keyPem)
    const out = ["-outform", "DER", "-out", at("cert")]
    await openssl("req", "-x509", "-new", "-key", at("key"), "-subj", "/CN=a", ...out)
    const whole = readFileSync(at("cert"))
    for (let length = 0; length < whole.length; length += 7) {
      expect(() => readCertificate(whole.subarray(0, length))).toThrow(DerError)
    }
  })
})
