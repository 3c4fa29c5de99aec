// A slow reader slows its writer through both proxies, and nothing piles up in between: anonymous memory of the
// bundled proxies, run as pods run them, stays bounded while 1 GiB waits for a peer that takes 10 KB/s.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Mesh, type MeshedPod } from "../lab/mod.ts"
import { anonymousBytes, BundledProxy } from "../lab/proxy_memory.ts"

const PEER = new URL("./bulk_peer.mjs", import.meta.url).pathname
const BULK = "10.96.2.1"

/** What a proxy may hold at most, whatever passes it. */
const ANONYMOUS_LIMIT_BYTES = 64_000_000
/**
 * What a writer may get rid of before it is held back: its own buffers, the kernel's of three connections (up to
 * 30 MB each on some machines), and what the proxies hold. Far below the body.
 */
const SENT_LIMIT_BYTES = 200_000_000
const SAMPLE_EVERY_MS = 250

let bundle: BundledProxy
let mesh: Mesh
let client: MeshedPod
let server: MeshedPod

beforeAll(async () => {
  bundle = await BundledProxy.build()
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client", bundle.options)
  server = await mesh.meshedPod("server", bundle.options)
  const at = (port: number) => [
    { ip: server.pod.ipv4, port, pod: "server", workload: "server", meshed: true },
  ]
  await mesh.setTable({
    outbound: Object.fromEntries(
      [
        [80, 8081],
        [82, 8080],
        [70, 7000],
        [71, 7001],
      ].map(([port = 0, target = 0]) => [
        `${BULK}:${port}`,
        { service: "bulk", port, endpoints: at(target) },
      ]),
    ),
  })
}, 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  bundle?.[Symbol.dispose]()
})

interface Progress {
  readonly sent: number
  readonly received: number
}

function progress(stdout: string): Progress {
  const lines = stdout.trim().split("\n")
  const last = lines.findLast(line => line.startsWith("{") && line.endsWith("}")) ?? "{}"
  const { sent = 0, received = 0, error } = JSON.parse(last) as Partial<Progress> & { error?: string }
  if (error !== undefined) throw new Error(`the peer says: ${error}`)
  return { sent, received }
}

/** Highest anonymous memory of either proxy over a time. */
async function highest(forMs: number): Promise<{ client: number; server: number }> {
  const peak = { client: 0, server: 0 }
  const end = performance.now() + forMs
  while (performance.now() < end) {
    peak.client = Math.max(peak.client, anonymousBytes(client.proxy.process.pid))
    peak.server = Math.max(peak.server, anonymousBytes(server.proxy.process.pid))
    await Bun.sleep(SAMPLE_EVERY_MS)
  }
  return peak
}

const ALL = [
  "http1 down",
  "http1 up",
  "http2 down",
  "http2 down with huge windows",
  "http2 up",
  "tcp down",
  "tcp up",
]

async function hold(cases: readonly string[], forMs: number): Promise<void> {
  const node = Bun.which("node") ?? "node"
  const bulk = server.pod.start([node, PEER, "serve"])
  await bulk.saw("listening")
  const clients = cases.map(name => client.pod.start([node, PEER, name, BULK]))
  const peak = await highest(forMs)
  const quick = await client.pod.run(["curl", "-s", "--max-time", "5", `http://${BULK}/quick`])
  const ends = [...clients, bulk].map(one => progress(one.stdout))
  const sent = ends.reduce((sum, one) => sum + one.sent, 0)
  const received = ends.reduce((sum, one) => sum + one.received, 0)
  console.log(
    `  ${cases.length === 1 ? cases[0] : "all at once"}: anonymous at most ${megabytes(peak.client)} MB (client's proxy), ` +
      `${megabytes(peak.server)} MB (server's); ${megabytes(sent)} MB sent, ${megabytes(received)} MB read`,
  )
  for (const one of [...clients, bulk]) await one.stop("SIGKILL")
  expect(quick.stdout).toBe("quick\n")
  expect(received).toBeGreaterThan(0)
  expect(sent).toBeLessThan(SENT_LIMIT_BYTES * cases.length)
  expect(peak.client).toBeLessThan(ANONYMOUS_LIMIT_BYTES)
  expect(peak.server).toBeLessThan(ANONYMOUS_LIMIT_BYTES)
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}

test.each(ALL)(
  "1 GiB over %s at 10 KB/s: the writer is held back, both proxies stay small",
  async name => {
    await hold([name], 6_000)
  },
  60_000,
)

test("all of these at once: the writers are held back, both proxies stay small", async () => {
  await hold(ALL, 20_000)
}, 60_000)
