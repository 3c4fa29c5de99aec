// Certificates of 20 s rotate 20 times under load, then the trust anchor is exchanged for another: old, both, new. Not
// one request fails, on HTTP/1 and HTTP/2 at once.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { anchorOf, LabCa, Mesh, type MeshedPod, metric, ready } from "../lab/mod.ts"

const LOAD = new URL("./mtls_rotation_load.mjs", import.meta.url).pathname
const PEER = new URL("../lab/http_peer.ts", import.meta.url).pathname
const SERVICE = "10.96.0.50"
const LIFETIME_MS = 20_000
const ROTATIONS = 20
/** Between the steps of the exchange: all proxies have heard, and every certificate has been renewed. */
const STEP_MS = 20_000
const RATE_PER_VERSION = 150

let mesh: Mesh
let client: MeshedPod
let server: MeshedPod

beforeAll(async () => {
  mesh = await Mesh.createWithIdentity(LIFETIME_MS)
  client = await mesh.meshedPod("client")
  server = await mesh.meshedPod("server")
  await server.pod.start([process.execPath, PEER, "server"]).saw("listening")
  const at = (port: number) => [
    { ip: server.pod.ipv4, port, pod: "server", workload: "server", meshed: true, serviceAccount: "server" },
  ]
  await mesh.setTable({
    outbound: {
      [`${SERVICE}:80`]: { service: "server", port: 80, endpoints: at(8081) },
      [`${SERVICE}:82`]: { service: "server", port: 82, endpoints: at(8080) },
    },
  })
  await Promise.all([ready(client.pod), ready(server.pod)])
}, 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

interface LoadReport {
  readonly http1: number
  readonly http2: number
  readonly failures: readonly string[]
}

/** Requests at a rate until `during` is over. */
async function underLoad(during: () => Promise<void>): Promise<LoadReport> {
  const node = Bun.which("node") ?? "node"
  const load = client.pod.start([node, LOAD, SERVICE, String(RATE_PER_VERSION)])
  await load.saw("begun")
  await during()
  load.process.stdin.end()
  await load.process.exited
  await Bun.sleep(20)
  return JSON.parse(load.stdout.trim().split("\n").at(-1) ?? "{}")
}

const refreshes = (pod: MeshedPod) => metric(pod.pod, "identity_cert_refresh_count")

test(`certificates of ${LIFETIME_MS / 1000} s rotate ${ROTATIONS} times under load without a failure`, async () => {
  const startedMs = performance.now()
  const report = await underLoad(async () => {
    while ((await refreshes(client)) < ROTATIONS + 1 || (await refreshes(server)) < ROTATIONS + 1) {
      await Bun.sleep(500)
    }
  })
  const seconds = (performance.now() - startedMs) / 1000
  const [full, resumed] = [
    await metric(client.pod, "tls_handshakes_total", `direction="outbound"`, `resumed="false"`),
    await metric(client.pod, "tls_handshakes_total", `direction="outbound"`, `resumed="true"`),
  ]
  console.log(
    `  ${report.http1} + ${report.http2} requests in ${seconds.toFixed(0)} s, ${full} full and ${resumed} resumed handshakes`,
  )
  expect(report.failures).toEqual([])
  expect(report.http1 + report.http2).toBeGreaterThan(seconds * 2 * RATE_PER_VERSION * 0.9)
}, 400_000)

test("the trust anchor is exchanged under load without a failure", async () => {
  const old = mesh.ca as LabCa
  const next = await LabCa.create("next root")
  const report = await underLoad(async () => {
    await mesh.setIdentity({ anchors: [anchorOf(old), anchorOf(next)] })
    await Bun.sleep(STEP_MS)
    await mesh.setIdentity({ issuer: await next.toText() })
    await Bun.sleep(STEP_MS)
    await mesh.setIdentity({ anchors: [anchorOf(next)] })
    await Bun.sleep(STEP_MS)
  })
  expect(report.failures).toEqual([])
  expect(report.http1 + report.http2).toBeGreaterThan(((3 * STEP_MS) / 1000) * 2 * RATE_PER_VERSION * 0.9)
  const shown = JSON.parse((await client.pod.run(["curl", "-s", "http://127.0.0.1:4191/identity"])).stdout)
  expect(shown).toMatchObject({ issuer: "CN=next root", trustAnchors: 1 })
}, 120_000)
