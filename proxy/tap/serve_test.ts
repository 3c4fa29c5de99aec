// The tap port over real sockets and TLS, asked by the runtime's own HTTP/2 client: who is let in, and what is told.
import { afterAll, expect, test } from "bun:test"
import { ConnectError } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createProxyTapClient, type tapV1 } from "../../protos/mod.ts"
import { provenIdentity, readAltNames } from "../identity/names.ts"
import { LabCa } from "../identity/test_ca.ts"
import { loop, protocolNames, TLS_1_3, type TlsTerms } from "../net/mod.ts"
import { serveTaps } from "./serve.ts"
import { TapPoint } from "./tap_point.ts"

const DOMAIN = { trustDomain: "cluster.local", controlNamespace: "conduit" }
const NAME = "web.shop.serviceaccount.identity.conduit.cluster.local"
const TAP = "conduit-tap.conduit.serviceaccount.identity.conduit.cluster.local"
const HOUR_MS = 3_600_000
const ca = await LabCa.create()
const own = await ca.issue("shop", "web", Date.now() + HOUR_MS)
const refused: string[] = []

/** As the mesh's terms for one client. */
const terms: TlsTerms = {
  options: {
    key: own.keyPem,
    cert: own.certPem,
    ca: ca.pem,
    ALPNProtocols: protocolNames("h2"),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: TLS_1_3,
    maxVersion: TLS_1_3,
  },
  handshakeTimeoutMs: 3000,
  ticket: () => null,
  keepTicket() {},
  judge(certificate) {
    const proven = provenIdentity(DOMAIN, readAltNames(certificate.altNames))
    if (proven?.dnsName !== TAP) return "not-allowed"
    return { ...proven, protocol: certificate.protocol }
  },
  succeeded() {},
  failed(reason) {
    refused.push(reason)
  },
}
const { clock, timers } = loop
const taps = new TapPoint(clock)
const listener = serveTaps({ address: "127.0.0.1", port: 0, taps, clock, timers, terms: () => terms })
afterAll(() => listener.close())

async function client(serviceAccount: string, namespace = "conduit") {
  const { certPem, keyPem } = await ca.issue(namespace, serviceAccount, Date.now() + HOUR_MS)
  return createProxyTapClient(
    createGrpcTransport({
      baseUrl: `https://127.0.0.1:${listener.port}`,
      idleConnectionTimeoutMs: 10,
      nodeOptions: { key: keyPem, cert: certPem, ca: ca.pem, servername: NAME },
    }),
  )
}

const LABELS = {
  direction: 0,
  dstService: "",
  dstNamespace: "",
  tls: "true",
  clientId: "",
  route: "",
} as const
const SOURCE = { peer: "10.0.0.1:1", destination: "10.0.0.2:80" }

function pass(path: string): void {
  const head = { method: "GET", authority: "web", path, header: () => undefined }
  taps.begin(SOURCE, LABELS, head, clock.nowMs)?.ended(200, -1, false, "", 0, clock.nowMs)
}

async function* asking(
  ended: Promise<void>,
  ...requests: readonly { readonly inbound: boolean; readonly pathPrefix?: string }[]
): AsyncGenerator<{ readonly inbound: boolean; readonly pathPrefix?: string }> {
  for (const request of requests) yield request
  await ended
}

test("the control plane's tap service is told of requests until it says that it has heard enough", async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const heard: string[] = []
  for await (const { events } of (await client("conduit-tap")).watch(asking(promise, { inbound: true }))) {
    if (events.length === 0) {
      pass("/a")
      pass("/b")
    }
    for (const { moment } of events) if (moment.case === "begun") heard.push(moment.value.path)
    if (heard.length === 2) resolve()
  }
  expect(heard).toEqual(["/a", "/b"])
  expect(taps.on).toBe(false)
}, 10_000)

test("nobody else is let in: no workload, no other service of the control plane", async () => {
  for (const [serviceAccount, namespace] of [
    ["web", "shop"],
    ["conduit-api", "conduit"],
    ["conduit-tap", "shop"],
  ] as const) {
    refused.length = 0
    const answers: tapV1.WatchResponse[] = []
    const asked = async () => {
      for await (const answer of (await client(serviceAccount, namespace)).watch(
        asking(new Promise(() => {}), { inbound: true }),
      ))
        answers.push(answer)
    }
    expect(await asked().catch(ConnectError.from)).toBeInstanceOf(ConnectError)
    expect(answers).toEqual([])
    expect(refused).toEqual(["not-allowed"])
    expect(taps.on).toBe(false)
  }
}, 20_000)

test("a match that cannot be used is refused with the reason, and a tap ends with its connection", async () => {
  const ending = new AbortController()
  const one = await client("conduit-tap")
  const wrong = async () => {
    for await (const _ of one.watch(
      asking(new Promise(() => {}), { inbound: true, pathRegex: "(" } as never),
    ))
      break
  }
  expect((await wrong().catch(ConnectError.from))?.rawMessage).toContain("(")
  try {
    for await (const _ of one.watch(asking(new Promise(() => {}), { inbound: true }), {
      signal: ending.signal,
    })) {
      expect(taps.on).toBe(true)
      ending.abort()
    }
  } catch {
    // Our own doing.
  }
  for (let i = 0; i < 200 && taps.on; i++) await Bun.sleep(10)
  expect(taps.on).toBe(false)
}, 10_000)
