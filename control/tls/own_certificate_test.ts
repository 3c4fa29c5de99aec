// A process's own certificate from the first to the last, on a clock that the test drives.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { X509Certificate } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type AuthorityPem, pemCertificates, x509 } from "../../deploy/identity/mod.ts"
import { Authority } from "../identity/authority.ts"
import { LAB_NAMES, newAuthority } from "../identity/lab.ts"
import { createLog } from "../log.ts"
import { MAX_RETRY_MS, MIN_RETRY_MS, OwnCertificate, RENEW_AT, RENEW_JITTER } from "./own_certificate.ts"
import { spiffeId, workloadDnsName } from "./workload_name.ts"

const LIFETIME_MS = 3_600_000
const WORKLOAD = { namespace: "conduit", serviceAccount: "conduit-api" }
const NAMES = { spiffeId: spiffeId(WORKLOAD, LAB_NAMES), dnsName: workloadDnsName(WORKLOAD, LAB_NAMES) }

let folder = ""
let lines: string[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-own-certificate-"))
  writeFileSync(join(folder, "token"), "token-1\n")
  lines = []
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A certificate of a real authority; time passes when the test says so. */
function fixture(pem: AuthorityPem, random = 0) {
  const clock = { nowMs: Date.now() }
  const log = createLog({ format: "plain", write: line => lines.push(line), now: () => new Date(0) })
  const authority = new Authority({ lifetimeMs: LIFETIME_MS, clockSkewMs: 0, log, nowMs: () => clock.nowMs })
  authority.load({ anchors: pem.anchor, issuer: { certificate: pem.issuer, key: pem.issuerKey } })
  const service = { away: false, tokens: [] as string[] }
  const waits: number[] = []
  let due: (() => void) | null = null
  let cancelled = 0
  const own = new OwnCertificate({
    async certify(token, csr) {
      service.tokens.push(token)
      if (service.away) throw new Error("the identity service is away")
      const { publicKey } = new x509.Pkcs10CertificateRequest(new Uint8Array(csr))
      return await authority.sign(publicKey, NAMES)
    },
    tokenFile: join(folder, "token"),
    log,
    nowMs: () => clock.nowMs,
    random: () => random,
    after(ms, call) {
      waits.push(ms)
      due = call
      return () => {
        due = null
        cancelled++
      }
    },
  })
  /** Keys are made on another thread, in their own time; the clock stands still meanwhile. */
  const attempts = async (count: number) => {
    while (waits.length < count) await new Promise(resolve => setImmediate(resolve))
  }
  return {
    own,
    clock,
    authority,
    service,
    waits,
    attempts,
    cancelled: () => cancelled,
    /** Lets time pass until the next attempt, and waits for what comes of it. */
    async untilDue(): Promise<void> {
      const call = due
      const made = waits.length
      clock.nowMs += waits.at(-1) ?? 0
      due = null
      call?.()
      await attempts(made + 1)
    },
  }
}

test("it is renewed at 70 % of its life with a fresh key and the token of then, and connections begin anew", async () => {
  const { own, service, waits, attempts, untilDue } = fixture(await newAuthority())
  expect(own.notReady()).toContain("no certificate")
  own.start()
  await attempts(1)
  expect(own.notReady()).toBe("")
  // Its end is a whole second.
  expect(Math.abs((waits[0] ?? 0) - LIFETIME_MS * RENEW_AT)).toBeLessThan(1_000)
  const before = { ...own.pem, version: own.version, context: own.context }
  writeFileSync(join(folder, "token"), "token-2\n")
  await untilDue()
  expect(service.tokens).toEqual(["token-1", "token-2"])
  expect(own.version).toBe(before.version + 1)
  expect(own.pem?.key).not.toBe(before.key)
  expect(own.context).not.toBe(before.context)
  expect(new X509Certificate(own.pem?.cert ?? "").subjectAltName).toContain(NAMES.spiffeId)
  own.close()
})

test("renewals of many processes are spread over 5 % of the life", async () => {
  const pem = await newAuthority()
  const waits = await Promise.all(
    [0, 1].map(async random => {
      const made = fixture(pem, random)
      made.own.start()
      await made.attempts(1)
      made.own.close()
      return made.waits[0] ?? 0
    }),
  )
  const [latest = 0, earliest = 0] = waits
  expect(Math.abs(latest - earliest - LIFETIME_MS * RENEW_JITTER)).toBeLessThan(1_000)
})

test("while identity is away attempts go on at growing pauses, and the certificate serves to its end", async () => {
  const { own, clock, service, waits, attempts, untilDue } = fixture(await newAuthority(), 1)
  own.start()
  await attempts(1)
  service.away = true
  for (let attempt = 0; attempt < 8; attempt++) await untilDue()
  expect(waits.slice(1)).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000])
  expect([waits[1], waits.at(-1)]).toEqual([MIN_RETRY_MS, MAX_RETRY_MS])
  expect(own.failures).toBe(8)
  expect(lines.at(-1)).toContain("the identity service is away; trying again")
  clock.nowMs = own.notAfterMs - 1
  expect([own.notReady(), own.context === null, own.pem === null]).toEqual(["", false, false])
  clock.nowMs = own.notAfterMs
  expect(own.notReady()).toContain("no certificate")
  expect([own.context, own.pem]).toEqual([null, null])
  service.away = false
  await untilDue()
  expect(own.notReady()).toBe("")
  service.away = true
  await untilDue()
  // Once it has answered, pauses begin anew.
  expect(waits.at(-1)).toBe(MIN_RETRY_MS)
  own.close()
})

test("a token that cannot be read is an attempt that failed, and says so without the token", async () => {
  const { own, attempts } = fixture(await newAuthority())
  rmSync(join(folder, "token"))
  own.start()
  await attempts(1)
  expect(own.failures).toBe(1)
  expect(lines.join("")).toContain("ENOENT")
  own.close()
})

test("an issuer that ends in a moment is not asked in a loop", async () => {
  const { own, clock, authority, waits, attempts, untilDue } = fixture(
    await newAuthority({ issuerLifetimeMs: 600_000 }),
  )
  clock.nowMs = authority.issuerEndMs - 100
  own.start()
  await attempts(1)
  await untilDue()
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(MIN_RETRY_MS / 2)
  expect(own.notReady()).toContain("no certificate")
  own.close()
})

test("trust anchors that change are in force at once, with the same certificate", async () => {
  const { own, attempts } = fixture(await newAuthority())
  const other = pemCertificates((await newAuthority()).anchor)
  own.setTrustAnchors(other.map(({ raw }) => new Uint8Array(raw)))
  expect(own.pem).toBeNull()
  own.start()
  await attempts(1)
  const before = { ...own.pem, version: own.version }
  own.setTrustAnchors(other.map(({ raw }) => new Uint8Array(raw)))
  expect(pemCertificates(own.pem?.ca.join("") ?? "")[0]?.fingerprint256).toBe(other[0]?.fingerprint256)
  expect([own.pem?.key, own.pem?.cert]).toEqual([before.key, before.cert])
  expect(own.version).toBe(before.version + 1)
  own.close()
})

test("once closed it asks no more", async () => {
  const { own, service, attempts, cancelled } = fixture(await newAuthority())
  own.start()
  await attempts(1)
  own.close()
  expect(cancelled()).toBe(1)
  expect(service.tokens).toHaveLength(1)
})
