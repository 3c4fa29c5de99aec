// What a proxy costs that has nothing to do: anonymous memory of the bundled proxy, run as pods run it, after 100,000
// requests of either version, and with 10,000 connections open on which nothing happens.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { Mesh, type MeshedPod, metric } from "../lab/mod.ts"
import { anonymousBytes, BundledProxy } from "../lab/proxy_memory.ts"

const HTTP_PEER = new URL("../lab/http_peer.ts", import.meta.url).pathname
const HOLD_PEER = new URL("./hold_connections.mjs", import.meta.url).pathname
const WEB = "10.96.3.1"

const REQUESTS = 100_000
/** What an idle proxy may hold after them. 16 MB were asked for; it is 8 since it collects garbage when traffic stops. */
const IDLE_LIMIT_BYTES = 12_000_000
/** How long memory may take to come back once the load is over: kept connections end, then garbage is collected. */
const REST_MS = 10_000

const CONNECTIONS = 10_000
/** What a proxy keeps for itself of the descriptors that it may have, and a little. */
const SPARE_DESCRIPTORS = 100
/** What an open idle connection may cost in a proxy, both its sockets: twice what it costs, 4 KiB, or 12 KiB for HTTP/2. */
const CONNECTION_LIMIT_BYTES = 24 * 1024
/** What a proxy may hold some seconds after they have closed. */
const AFTERWARDS_LIMIT_BYTES = 20_000_000

let bundle: BundledProxy
let mesh: Mesh
let client: MeshedPod
let server: MeshedPod

beforeAll(async () => {
  bundle = await BundledProxy.build()
})

beforeEach(async () => {
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client", bundle.options)
  server = await mesh.meshedPod("server", bundle.options)
  const at = (port: number) => [
    { ip: server.pod.ipv4, port, pod: "server", workload: "server", meshed: true },
  ]
  await mesh.setTable({
    outbound: {
      [`${WEB}:80`]: { service: "web", port: 80, endpoints: at(8081) },
      [`${WEB}:82`]: { service: "web", port: 82, endpoints: at(8080) },
      [`${WEB}:70`]: { service: "web", port: 70, endpoints: at(7000) },
    },
  })
}, 60_000)

afterEach(async () => {
  await mesh?.[Symbol.asyncDispose]()
}, 60_000)

afterAll(() => {
  bundle?.[Symbol.dispose]()
})

/** Connections that a proxy may carry here if each takes two sockets; the limit of open files bounds them. */
function relayedConnections(): number {
  const [, files = "0"] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? []
  return Math.min(CONNECTIONS, Math.floor(Number(files) / 2) - SPARE_DESCRIPTORS)
}

/** Anonymous memory of both proxies. */
function anonymous(): { client: number; server: number } {
  return {
    client: anonymousBytes(client.proxy.process.pid),
    server: anonymousBytes(server.proxy.process.pid),
  }
}

/** What both hold once the load has been over for a while. */
async function rested(): Promise<{ client: number; server: number }> {
  await Bun.sleep(REST_MS)
  return anonymous()
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

test.each([
  ["HTTP/1.1", ["--h1", "-c", "256"], 80],
  ["HTTP/2", ["-c", "8", "-m", "20"], 82],
] as const)(
  `after ${REQUESTS} requests of %s an idle proxy holds at most 12 MB`,
  async (version, how, port) => {
    await server.pod.start([process.execPath, HTTP_PEER, "web"]).saw("listening")
    const fresh = anonymous()
    const load = await client.pod.run(["h2load", ...how, "-n", `${REQUESTS}`, `http://${WEB}:${port}/`])
    expect(load.stdout).toContain(`${REQUESTS} succeeded, 0 failed`)
    const after = anonymous()
    const idle = await rested()
    console.log(
      `  ${version}: client's proxy ${megabytes(fresh.client)} at first, ${megabytes(after.client)} right after ` +
        `${REQUESTS} requests, ${megabytes(idle.client)} idle; server's ${megabytes(fresh.server)}, ` +
        `${megabytes(after.server)}, ${megabytes(idle.server)}`,
    )
    expect(idle.client).toBeLessThanOrEqual(IDLE_LIMIT_BYTES)
    expect(idle.server).toBeLessThanOrEqual(IDLE_LIMIT_BYTES)
  },
  180_000,
)

test.each([
  ["raw TCP", "tcp", 70, 7000],
  ["HTTP/1.1, one request served", "http1", 80, 8081],
  ["HTTP/2, one request served", "http2", 82, 8080],
] as const)(
  `${CONNECTIONS} open idle connections of %s cost little, and give it back when they close`,
  async (kind, protocol, port, serverPort) => {
    const count = protocol === "tcp" ? relayedConnections() : CONNECTIONS
    const node = Bun.which("node") ?? "node"
    const serve =
      protocol === "http2"
        ? [process.execPath, HTTP_PEER, "web"]
        : [node, HOLD_PEER, "serve", `${serverPort}`]
    await server.pod.start(serve).saw("listening")
    const before = anonymous()
    const holder = client.pod.start([node, HOLD_PEER, protocol, WEB, `${port}`, `${count}`])
    await holder.saw("all up", 60_000)
    // So long that what their opening left has been collected: then what they leave has to be noticed by itself.
    await Bun.sleep(REST_MS)
    const open = anonymous()
    const counted = await metric(server.pod, "tcp_open_connections", 'direction="inbound"', 'peer="src"')
    await holder.stop("SIGKILL")
    const closed = await rested()
    const each = {
      client: (open.client - before.client) / count,
      server: (open.server - before.server) / count,
    }
    console.log(
      `  ${count} of ${kind}: client's proxy ${megabytes(before.client)} before, ${megabytes(open.client)} open ` +
        `(${each.client.toFixed(0)} bytes each), ${megabytes(closed.client)} after; server's ${megabytes(before.server)}, ` +
        `${megabytes(open.server)} (${each.server.toFixed(0)} bytes each), ${megabytes(closed.server)}; ` +
        `${counted} open at the server's proxy`,
    )
    expect(each.client).toBeLessThan(CONNECTION_LIMIT_BYTES)
    expect(each.server).toBeLessThan(CONNECTION_LIMIT_BYTES)
    expect(closed.client).toBeLessThan(AFTERWARDS_LIMIT_BYTES)
    expect(closed.server).toBeLessThan(AFTERWARDS_LIMIT_BYTES)
  },
  180_000,
)
