// The webhook's certificate on a clock that the test drives: known before it is served, renewed before it ends.
import { beforeEach, expect, test } from "bun:test"
import { X509Certificate } from "node:crypto"
import type { SecureContext } from "node:tls"
import { makeServerCertificate } from "../../deploy/identity/mod.ts"
import { SETTLE_MS, ServingCertificate } from "./serving_certificate.ts"
import { bundleWith, MAX_BUNDLE_CERTIFICATES } from "./trusted_bundle.ts"

const HOUR = 3_600_000
const START = Date.parse("2026-01-01T00:00:00Z")
let now = START
let bundle = ""
let away = false
let lines: string[] = []

beforeEach(() => {
  now = START
  bundle = ""
  away = false
  lines = []
})

function make(name: string, lifetimeMs = 24 * HOUR) {
  return makeServerCertificate({ name, dnsNames: ["conduit-injector.conduit.svc"], nowMs: now, lifetimeMs })
}

function injector(name = "injector-1"): ServingCertificate {
  return new ServingCertificate({
    make: () => make(name),
    publish: async own => {
      if (away) throw new Error("the API server is away")
      bundle = bundleWith(bundle, own, now)
    },
    lifetimeMs: 24 * HOUR,
    log: { info: line => lines.push(line), warn: line => lines.push(line) },
    nowMs: () => now,
    random: () => 0,
  })
}

async function lookAfter(certificate: ServingCertificate, ms: number): Promise<SecureContext | null> {
  now += ms
  await certificate.look()
  return certificate.context
}

const count = (): number => bundle.split("BEGIN").length - 1

test("it is served once API servers have known it for a while", async () => {
  const certificate = injector()
  expect(await lookAfter(certificate, 0)).toBeNull()
  expect(count()).toBe(1)
  expect(certificate.notReady()).toContain("API servers do not trust the webhook's certificate yet")
  expect(await lookAfter(certificate, SETTLE_MS - 1)).toBeNull()
  expect(await lookAfter(certificate, 1)).not.toBeNull()
  expect(certificate.notReady()).toBe("")
})

test("at 70 % of its life the next is made known beside it, and then served; nobody ever meets an unknown one", async () => {
  const certificate = injector()
  await lookAfter(certificate, 0)
  const first = await lookAfter(certificate, SETTLE_MS)
  expect(await lookAfter(certificate, 16.7 * HOUR)).toBe(first)
  expect(count()).toBe(1)
  expect(await lookAfter(certificate, 0.1 * HOUR)).toBe(first)
  expect(count()).toBe(2)
  const second = await lookAfter(certificate, SETTLE_MS)
  expect(second).not.toBe(first)
  await lookAfter(certificate, 5_000)
  expect(count()).toBe(1)
  expect(certificate.endMs).toBeGreaterThan(START + 40 * HOUR)
})

test("while the API server is away the old one is served to its end, and the reason is logged once", async () => {
  const certificate = injector()
  await lookAfter(certificate, 0)
  const first = await lookAfter(certificate, SETTLE_MS)
  away = true
  for (let hour = 0; hour < 23; hour++) expect(await lookAfter(certificate, HOUR)).toBe(first)
  expect(lines.filter(line => line.includes("away"))).toHaveLength(1)
  expect(certificate.failures).toBe(23)
  expect(await lookAfter(certificate, HOUR)).toBeNull()
  expect(certificate.notReady()).toContain("the API server is away")
  away = false
  await lookAfter(certificate, 0)
  expect(await lookAfter(certificate, SETTLE_MS)).not.toBeNull()
})

test("a bundle that someone replaced gets it back at the next look", async () => {
  const certificate = injector()
  await lookAfter(certificate, 0)
  await lookAfter(certificate, SETTLE_MS)
  const before = bundle
  bundle = ""
  await lookAfter(certificate, 5_000)
  expect(bundle).toBe(before)
})

test("several injectors keep each other's, and agree on the order, so that none writes for nothing", async () => {
  const [one, two] = [injector("injector-1"), injector("injector-2")]
  await lookAfter(one, 0)
  await lookAfter(two, 1_000)
  const both = bundle
  expect(count()).toBe(2)
  await one.look()
  await two.look()
  expect(bundle).toBe(both)
})

test("what a pod's container made before it was restarted is replaced", async () => {
  await lookAfter(injector(), 0)
  await lookAfter(injector(), 1_000)
  expect(count()).toBe(1)
})

test("what ended is left out, what is no certificate too, and others' stays", async () => {
  const ended = await make("gone", HOUR)
  const other = await make("by-hand", 48 * HOUR)
  const own = await make("injector-1")
  now += 2 * HOUR
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
  const merged = bundleWith(ended.certificate + broken + other.certificate, [own.certificate], now)
  const subjects = merged
    .match(/-----BEGIN[\s\S]*?END CERTIFICATE-----/g)
    ?.map(pem => new X509Certificate(pem).subject)
  expect(subjects).toEqual(["CN=injector-1", "CN=by-hand"])
})

test("a bundle is bounded: those that end first go first, one's own never", async () => {
  const own = await make("injector-1", HOUR)
  let many = ""
  for (let n = 0; n < MAX_BUNDLE_CERTIFICATES + 5; n++)
    many += (await make(`pod-${n}`, (2 + n) * HOUR)).certificate
  const merged = bundleWith(many, [own.certificate], now)
  expect(merged.split("BEGIN").length - 1).toBe(MAX_BUNDLE_CERTIFICATES)
  expect(merged).toContain(own.certificate.trim().split("\n")[1] ?? "?")
  expect(bundleWith(merged, [own.certificate], now)).toBe(merged)
})

test("it names the Service, is good for a server only, and can sign no other", async () => {
  const certificate = new X509Certificate((await make("injector-1")).certificate)
  expect(certificate.subjectAltName).toBe("DNS:conduit-injector.conduit.svc")
  expect(certificate.ca).toBe(false)
  expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"])
})
