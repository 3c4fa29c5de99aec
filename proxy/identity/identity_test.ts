// An identity from first certificate to last, against a service in the test's hands, on a clock that it drives.
import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { identityV1 } from "../../protos/mod.ts"
import { createLogger } from "../log.ts"
import { TimerWheel } from "../net/mod.ts"
import { CERTIFY_RETRY_MAX_MS, FIRST_CERTIFICATE_WAIT_MS, Identity } from "./identity.ts"
import { LabCa, names, publicKeyOf, toPem } from "./test_ca.ts"

const folder = mkdtempSync(join(tmpdir(), "conduit-identity-"))
afterAll(() => rmSync(folder, { recursive: true }))
const LIFETIME_MS = 86_400_000
const START_MS = Math.floor(Date.now() / 1000) * 1000

async function fixture() {
  const clock = { nowMs: 0 }
  const delays: number[] = []
  const timers = new (class extends TimerWheel {
    override schedule(...what: Parameters<TimerWheel["schedule"]>): void {
      delays.push(what[1])
      super.schedule(...what)
    }
  })(clock)
  const ca = await LabCa.create()
  const tokenFile = join(folder, crypto.randomUUID())
  writeFileSync(tokenFile, "token-1\n")
  const tokens: string[] = []
  const lines: string[] = []
  const service = {
    away: false,
    serviceAccount: "web",
    anchors: [ca.certificate],
    key: null as Uint8Array | null,
  }
  const wallClock = () => START_MS + clock.nowMs
  let calls = 0
  let settled = 0
  const identity = new Identity({
    address: "conduit-identity:8080",
    domain: { trustDomain: "cluster.local", controlNamespace: "conduit" },
    namespace: "shop",
    serviceAccount: "web",
    trustAnchors: ca.pem,
    tokenFile,
    async call(_target, request) {
      calls++
      const { token, csr } = fromBinary(identityV1.CertifyRequestSchema, request)
      tokens.push(token)
      if (service.away) {
        settled++
        throw new Error("no issuer")
      }
      const notAfterMs = wallClock() + LIFETIME_MS
      const publicKey = service.key ?? publicKeyOf(csr)
      const request2 = {
        publicKey,
        ...names("shop", service.serviceAccount),
        notBeforeMs: wallClock(),
        notAfterMs,
      }
      const chain = [await ca.certify(request2)]
      settled++
      return toBinary(
        identityV1.CertifyResponseSchema,
        create(identityV1.CertifyResponseSchema, { chain, trustAnchors: service.anchors }),
      )
    },
    openLink: () => ({
      up: false,
      queuedBytes: 0,
      counts: { attempted: 0, opened: 0, failed: 0, received: 0, sent: 0 },
      start() {},
      hurry() {},
      stop() {},
      finish() {},
      send() {},
    }),
    timers,
    log: createLogger({ sink: line => lines.push(line) }),
    random: () => 0.5,
    wallClock,
  })
  const quiet = async () => {
    // Keys are made on another thread; nothing tells when they are there.
    for (let i = 0; i < 200; i++) {
      await new Promise(resolve => setImmediate(resolve))
      if (identity.refreshes + identity.refreshErrors >= settled && settled === calls && i > 20) return
    }
  }
  return {
    identity,
    ca,
    service,
    tokens,
    tokenFile,
    lines,
    quiet,
    delays,
    /** Lets time pass until what was scheduled last is due, and waits for what comes of it. */
    async untilDue() {
      const scheduled = delays.length
      const left = delays.at(-1) ?? 0
      for (const end = clock.nowMs + left; clock.nowMs < end; ) {
        clock.nowMs = Math.min(end, clock.nowMs + left / 1000)
        timers.advance()
      }
      clock.nowMs += 100
      timers.advance()
      // Keys are made on another thread, in their own time; the clock stands still meanwhile.
      while (delays.length === scheduled) await new Promise(resolve => setImmediate(resolve))
    },
    async pass(ms: number) {
      for (let left = ms; left > 0; left -= 50) {
        clock.nowMs += 50
        timers.advance()
      }
      await quiet()
    },
  }
}

async function certified(identity: Identity): Promise<void> {
  identity.start()
  await new Promise<void>(resolve => identity.whenCertified(resolve, false))
}

test("a certificate is asked for with the token, and is what TLS is made with", async () => {
  const { identity, tokens, ca } = await fixture()
  await certified(identity)
  expect(tokens).toEqual(["token-1"])
  expect(identity.credentials).toMatchObject({ anchorsPem: ca.pem })
  expect(identity.credentials?.keyPem).toContain("PRIVATE KEY")
  expect(JSON.parse(identity.describe())).toMatchObject({
    identity: "web.shop.serviceaccount.identity.conduit.cluster.local",
    spiffeId: "spiffe://cluster.local/ns/shop/sa/web",
    issuer: "CN=lab root",
    trustAnchors: 1,
  })
  expect(identity.describe()).not.toContain("PRIVATE")
  identity.stop()
})

test.each([
  ["another workload", { serviceAccount: "admin" }, /names spiffe:.*admin, not spiffe:.*web/],
  ["another key", { key: "foreign" }, /another key than ours/],
])("a certificate for %s is refused", async (_what, change, expected) => {
  const { identity, service, lines, quiet } = await fixture()
  if ("key" in change) {
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
      "sign",
      "verify",
    ])
    service.key = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey))
  } else service.serviceAccount = change.serviceAccount ?? ""
  identity.start()
  while (identity.refreshErrors === 0) await quiet()
  expect(identity.credentials).toBeNull()
  expect(lines.join("")).toMatch(expected)
  identity.stop()
})

test("it is renewed before 70 % of its life are over, with the token of then and a fresh key", async () => {
  const { identity, tokens, tokenFile, untilDue, delays } = await fixture()
  await certified(identity)
  while (delays.length < 2) await new Promise(resolve => setImmediate(resolve))
  const [, delayMs = 0] = delays
  const before = identity.credentials?.keyPem
  writeFileSync(tokenFile, "token-2\n")
  await untilDue()
  expect(tokens).toEqual(["token-1", "token-2"])
  expect(delayMs).toBeLessThanOrEqual(LIFETIME_MS * 0.7)
  expect(delayMs).toBeGreaterThan(LIFETIME_MS * 0.7 * 0.85)
  expect(identity.credentials?.keyPem).not.toBe(before)
  identity.stop()
})

test("while the service is away the certificate serves to its end, attempts go on, and the log says so", async () => {
  const { identity, service, lines, untilDue, delays } = await fixture()
  await certified(identity)
  while (delays.length < 2) await new Promise(resolve => setImmediate(resolve))
  service.away = true
  await untilDue()
  expect(identity.credentials).not.toBeNull()
  expect(lines.join("")).toContain("certificate_ends_in_s=")
  const { refreshErrors } = identity
  expect(delays.at(-1)).toBeLessThanOrEqual(CERTIFY_RETRY_MAX_MS)
  await untilDue()
  expect(identity.refreshErrors).toBeGreaterThan(refreshErrors)
  expect(identity.credentials).not.toBeNull()
  identity.stop()
})

test("once it has ended, nobody is kept waiting for another", async () => {
  const { identity, service, pass } = await fixture()
  await certified(identity)
  service.away = true
  await pass(LIFETIME_MS + 1_000)
  expect(identity.credentials).toBeNull()
  let heard = false
  identity.whenCertified(() => {
    heard = true
  }, true)
  expect(heard).toBe(true)
  identity.stop()
})

test("who waits for the first certificate hears when there is none in time, unless it can wait for ever", async () => {
  const { identity, service, pass } = await fixture()
  service.away = true
  identity.start()
  const heard: string[] = []
  identity.whenCertified(() => heard.push("bounded"), true)
  identity.whenCertified(() => heard.push("patient"), false)
  await pass(FIRST_CERTIFICATE_WAIT_MS / 2)
  expect(heard).toEqual([])
  await pass(FIRST_CERTIFICATE_WAIT_MS)
  expect(heard).toEqual(["bounded"])
  identity.stop()
})

test("new trust anchors are in force at once, and none at all are not believed", async () => {
  const { identity, ca } = await fixture()
  await certified(identity)
  const other = await LabCa.create("other")
  const watched = (trustAnchors: Uint8Array[]) =>
    toBinary(
      identityV1.WatchTrustAnchorsResponseSchema,
      create(identityV1.WatchTrustAnchorsResponseSchema, { trustAnchors }),
    )
  let changes = 0
  identity.onChange = () => changes++
  identity.onMessage(watched([ca.certificate, other.certificate]))
  expect(identity.credentials?.anchorsPem).toBe(ca.pem + toPem("CERTIFICATE", other.certificate))
  identity.onMessage(watched([]))
  identity.onMessage(watched([Uint8Array.of(1, 2, 3)]))
  expect(identity.credentials?.anchorsPem).toBe(ca.pem + toPem("CERTIFICATE", other.certificate))
  expect(changes).toBe(1)
  identity.stop()
})
