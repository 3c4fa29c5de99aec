// What may be dialled, and how, while there is a certificate and while there is none.
import { expect, test } from "bun:test"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { identityV1 } from "../../protos/mod.ts"
import { Endpoint, UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import { createLogger } from "../log.ts"
import { type DialOptions, TimerWheel } from "../net/mod.ts"
import { Registry } from "../telemetry/mod.ts"
import { FIRST_CERTIFICATE_WAIT_MS, Identity } from "./identity.ts"
import { CARRIES_HTTP1, CARRIES_TCP, INBOUND_HANDSHAKES_MAX, MeshTls } from "./mesh_tls.ts"
import { LabCa, names, publicKeyOf } from "./test_ca.ts"

const HOUR_MS = 3_600_000
/** There on every machine, and as good a token as any. */
const TOKEN_FILE = "/etc/hostname"
const WEB = "web.shop.serviceaccount.identity.conduit.cluster.local"

async function fixture(required: boolean, away = false) {
  const clock = { nowMs: 0 }
  const timers = new TimerWheel(clock)
  const ca = await LabCa.create()
  const service = { away }
  const log = createLogger({ sink() {} })
  const wallClock = Date.now
  const identity = new Identity({
    address: "conduit-identity:8080",
    domain: { trustDomain: "cluster.local", controlNamespace: "conduit" },
    namespace: "shop",
    serviceAccount: "cart",
    trustAnchors: ca.pem,
    tokenFile: TOKEN_FILE,
    async call(_target, request) {
      if (service.away) throw new Error("away")
      const { csr } = fromBinary(identityV1.CertifyRequestSchema, request)
      const [notBeforeMs, notAfterMs] = [Date.now() - HOUR_MS, Date.now() + HOUR_MS]
      const signed = await ca.certify({
        publicKey: publicKeyOf(csr),
        ...names("shop", "cart"),
        notBeforeMs,
        notAfterMs,
      })
      const answer = create(identityV1.CertifyResponseSchema, {
        chain: [signed],
        trustAnchors: [ca.certificate],
      })
      return toBinary(identityV1.CertifyResponseSchema, answer)
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
    log,
    random: () => 0.5,
    wallClock,
  })
  const mesh = new MeshTls({ identity, required, registry: new Registry(), clock, log, wallClock })
  identity.start()
  return {
    mesh,
    identity,
    service,
    async pass(ms: number) {
      for (let left = ms; left > 0; left -= 20) {
        clock.nowMs += 20
        timers.advance()
        await new Promise(resolve => setImmediate(resolve))
      }
    },
  }
}

type Fixture = Awaited<ReturnType<typeof fixture>>

function attempt({ mesh }: Fixture, endpoint: Endpoint, encrypted = false) {
  const outcome = { went: null as DialOptions | null, refused: "" }
  mesh.gate(
    endpoint,
    CARRIES_HTTP1,
    1000,
    encrypted,
  )(
    options => {
      outcome.went = options
    },
    code => {
      outcome.refused = code
    },
  )
  return outcome
}

const meshed = () => new Endpoint("10.0.0.1", 80, { ...UNKNOWN_ENDPOINT, identity: WEB, meshed: true })
const bare = () => new Endpoint("10.0.0.2", 80)
const certified = ({ identity }: Fixture) =>
  new Promise<void>(resolve => identity.whenCertified(resolve, false))

test("an endpoint with an identity is dialled in TLS 1.3, by its name, with the own certificate", async () => {
  const one = await fixture(false)
  await certified(one)
  const tls = attempt(one, meshed()).went?.tls?.options
  expect(tls).toMatchObject({
    serverName: WEB,
    minVersion: 0x0304,
    maxVersion: 0x0304,
    rejectUnauthorized: true,
  })
  expect(Buffer.from(tls?.ALPNProtocols ?? []).toString("latin1")).toBe("\rconduit.http1")
  expect(tls?.cert).toContain("BEGIN CERTIFICATE")
  expect(attempt(one, bare()).went?.tls).toBeUndefined()
  one.identity.stop()
})

test("tickets belong to one endpoint and one certificate", async () => {
  const one = await fixture(false)
  await certified(one)
  const [endpoint, other] = [meshed(), meshed()]
  const terms = attempt(one, endpoint).went?.tls
  terms?.keepTicket(Uint8Array.of(1))
  expect(attempt(one, endpoint).went?.tls?.ticket()).toEqual(Uint8Array.of(1))
  expect(attempt(one, other).went?.tls?.ticket()).toBeNull()
  const anchors = create(identityV1.WatchTrustAnchorsResponseSchema, {
    trustAnchors: [(await LabCa.create("other")).certificate],
  })
  one.identity.onMessage(toBinary(identityV1.WatchTrustAnchorsResponseSchema, anchors))
  expect(attempt(one, endpoint).went?.tls?.ticket()).toBeNull()
  one.identity.stop()
})

test("a server must prove the very name, by both names, with a certificate that has not ended", async () => {
  const one = await fixture(false)
  await certified(one)
  const terms = attempt(one, meshed()).went?.tls
  const shown = { notAfterMs: Date.now() + HOUR_MS, protocol: "conduit.http1", resumed: true }
  const id = "spiffe://cluster.local/ns/shop/sa/web"
  expect(terms?.judge({ ...shown, altNames: `DNS:${WEB}, URI:${id}` })).toMatchObject({ spiffeId: id })
  expect(terms?.judge({ ...shown, altNames: `DNS:${WEB}` })).toBe("wrong-identity")
  expect(terms?.judge({ ...shown, altNames: `DNS:${WEB}, URI:${id}x` })).toBe("wrong-identity")
  const cart = names("shop", "cart")
  expect(terms?.judge({ ...shown, altNames: `DNS:${cart.dnsNames}, URI:${cart.uris}` })).toBe(
    "wrong-identity",
  )
  expect(terms?.judge({ ...shown, altNames: `DNS:${WEB}, URI:${id}`, notAfterMs: Date.now() - 1 })).toBe(
    "expired",
  )
  expect(terms?.judge({ ...shown, altNames: `DNS:${WEB}, URI:${id}`, protocol: "" })).toBe("protocol")
  one.identity.stop()
})

test("without a certificate meshed endpoints are waited for, then called in plaintext and labelled so, until there is one", async () => {
  const one = await fixture(false, true)
  const outcome = attempt(one, meshed())
  await one.pass(FIRST_CERTIFICATE_WAIT_MS / 2)
  expect(outcome).toEqual({ went: null, refused: "" })
  const told: boolean[] = []
  one.mesh.onFallback = fallsBack => told.push(fallsBack)
  await one.pass(FIRST_CERTIFICATE_WAIT_MS)
  expect(outcome.went).toEqual({ connectTimeoutMs: 1000 })
  expect(one.mesh.tlsOf(meshed().info)).toBe("disabled")
  one.service.away = false
  const got = certified(one)
  await one.pass(12_000)
  await got
  expect(told).toEqual([true, false])
  expect(one.mesh.tlsOf(meshed().info)).toBe("true")
  expect(attempt(one, meshed()).went?.tls).toBeDefined()
  one.identity.stop()
})

test("where it is required, nothing of the cluster goes in plaintext, and nothing that may be of it", async () => {
  const one = await fixture(true, true)
  const outcome = attempt(one, meshed())
  await one.pass(2 * FIRST_CERTIFICATE_WAIT_MS)
  expect(outcome).toEqual({ went: null, refused: "no-own-certificate" })
  expect(attempt(one, bare()).refused).toBe("mtls-required")
  const outside = bare()
  outside.outside = true
  expect(attempt(one, outside).went).toEqual({ connectTimeoutMs: 1000 })
  // The application's own TLS is no plaintext.
  expect(attempt(one, bare(), true).went).toEqual({ connectTimeoutMs: 1000 })
  one.identity.stop()
})

test("a client must prove an identity, and have agreed upon what it carries", async () => {
  const one = await fixture(false)
  await certified(one)
  const terms = one.mesh.accept
  const { dnsNames, uris } = names("shop", "web")
  const shown = { notAfterMs: Date.now() + HOUR_MS, protocol: CARRIES_TCP, resumed: true }
  const altNames = `DNS:${dnsNames}, URI:${uris}`
  expect(terms?.judge({ ...shown, altNames })).toEqual({
    spiffeId: `${uris}`,
    dnsName: WEB,
    protocol: CARRIES_TCP,
  })
  expect(terms?.judge({ ...shown, altNames, protocol: "" })).toBe("protocol")
  expect(terms?.judge({ ...shown, altNames: "DNS:example.com" })).toBe("no-identity")
  expect(terms?.judge({ ...shown, altNames, notAfterMs: Date.now() - 1 })).toBe("expired")
  one.identity.stop()
})

test("a flood of handshakes is turned away before it takes memory", async () => {
  const one = await fixture(false)
  await certified(one)
  one.mesh.inbound.running = INBOUND_HANDSHAKES_MAX - 1
  expect(one.mesh.accept).not.toBeNull()
  one.mesh.inbound.running++
  expect(one.mesh.accept).toBeNull()
  one.identity.stop()
})
