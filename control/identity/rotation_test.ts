// What changes while the service runs: issuer and trust anchors, good and bad, and anchors that are still needed.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { type AuthorityPem, x509 } from "../../deploy/identity/mod.ts"
import { createLog } from "../log.ts"
import { Authority } from "./authority.ts"
import { newAuthority, newKeys } from "./lab.ts"

const HOUR_MS = 3_600_000
const NAMES = { spiffeId: "spiffe://cluster.local/ns/a/sa/b", dnsName: "b.a.serviceaccount.identity.c.d" }
let now = Date.now()
let lines: string[] = []
let old: AuthorityPem
let fresh: AuthorityPem
let authority: Authority

beforeEach(async () => {
  now = Date.now()
  lines = []
  const log = createLog({ format: "plain", write: line => lines.push(line), now: () => new Date(0) })
  authority = new Authority({ lifetimeMs: HOUR_MS, clockSkewMs: 20_000, log, nowMs: () => now })
  ;[old, fresh] = await Promise.all([newAuthority(), newAuthority()])
})
afterEach(() => {
  expect(lines.join("")).not.toContain("PRIVATE KEY")
})

function load(anchors: string, { issuer, issuerKey }: AuthorityPem): void {
  authority.load({ anchors, issuer: { certificate: issuer, key: issuerKey } })
}

async function signed() {
  const { publicKey } = await newKeys()
  return await authority.sign(new x509.PublicKey(await crypto.subtle.exportKey("spki", publicKey)), NAMES)
}

test("anchors and issuer are exchanged: old, both, new; the old anchor stays until its last certificate ended", async () => {
  load(old.anchor, old)
  await signed()
  load(old.anchor + fresh.anchor, old)
  load(old.anchor + fresh.anchor, fresh)
  expect(authority.anchors).toHaveLength(2)
  load(fresh.anchor, fresh)
  expect([authority.anchors.length, authority.retainedCount]).toEqual([2, 1])
  expect(lines.join("")).toContain("stays in force")
  expect((await signed()).trustAnchors).toHaveLength(2)
  now += HOUR_MS - 1000
  authority.sweep()
  expect(authority.retainedCount).toBe(1)
  now += 22_000
  authority.sweep()
  expect([authority.anchors.length, authority.retainedCount]).toEqual([1, 0])
})

test("an anchor that nothing was signed under goes at once", () => {
  load(old.anchor + fresh.anchor, fresh)
  load(fresh.anchor, fresh)
  expect(authority.anchors).toHaveLength(1)
})

test("an issuer that chains to no anchor is not taken, and the one before signs on", async () => {
  load(old.anchor, old)
  load(old.anchor, fresh)
  expect(authority.complaint).toContain("chains to none of the trust anchors")
  expect(authority.failedLoads).toBe(1)
  expect((await signed()).chain).toHaveLength(2)
  load(old.anchor, old)
  expect(authority.complaint).toBe("")
})

test("a removal that would leave the issuer without its anchor is not taken", () => {
  load(old.anchor, old)
  load(fresh.anchor, old)
  expect(authority.complaint).toContain("chains to none")
  expect(authority.notReady()).toBe("")
})

test("files that cannot be used leave the last good ones in force, each with what is wrong", async () => {
  load(old.anchor, old)
  const cases: readonly (readonly [string, AuthorityPem, string])[] = [
    [old.anchor, { ...old, issuerKey: fresh.issuerKey }, "does not belong"],
    [old.anchor, { ...old, issuerKey: "no key" }, "no private key"],
    [old.anchor, { ...old, issuer: "no certificate" }, "no PEM certificate"],
    [old.anchor, { ...old, issuer: old.issuer.slice(0, 300) }, "no PEM certificate"],
    ["", old, "no PEM certificate"],
    [old.anchor.replaceAll("A", "B"), old, "no PEM certificate"],
    ["x".repeat(300_000), old, "more than"],
  ]
  for (const [anchors, issuer, reason] of cases) {
    load(anchors, issuer)
    expect(authority.complaint).toContain(reason)
    expect((await signed()).chain).toHaveLength(2)
  }
})

test("an expired issuer is not taken, a leaf never outlives its issuer, and none is signed after that", async () => {
  const short = await newAuthority({ issuerLifetimeMs: 600_000 })
  load(short.anchor, short)
  const issuerEndMs = new x509.X509Certificate(short.issuer).notAfter.getTime()
  expect((await signed()).notAfterMs).toBe(issuerEndMs)
  now = issuerEndMs + 1_000
  await expect(signed()).rejects.toThrow("expired")
  load(short.anchor + old.anchor, short)
  expect(authority.complaint).toContain("expired on")
})
