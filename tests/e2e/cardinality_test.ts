// Callers who invent names: whatever they send, the proxy's metrics and memory stay bounded, and every request counts.
import { expect, test } from "bun:test"
import { Mesh } from "../lab/mod.ts"
import { anonymousBytes, BundledProxy } from "../lab/proxy_memory.ts"

const PEER = new URL("../lab/http_peer.ts", import.meta.url).pathname
const SERVICE = "10.96.9.1"
const NAMES = 5_000
/** What a proxy tells apart, and `other`. */
const AUTHORITIES_LIMIT = 201
/** Per proxy. Each name kept would cost some 20 KB of series, 100 MB in all. */
const GROWTH_LIMIT_BYTES = 40_000_000

test("thousands of authorities become a bounded number of series and `other`, on both sides", async () => {
  using bundle = await BundledProxy.build()
  await using mesh = await Mesh.create()
  const client = await mesh.meshedPod("client", bundle.options)
  const server = await mesh.meshedPod("server", bundle.options)
  await mesh.setTable({
    outbound: {
      [`${SERVICE}:80`]: {
        service: "web",
        port: 80,
        endpoints: [{ ip: server.pod.ipv4, port: 8081, pod: "server", workload: "server", meshed: true }],
      },
    },
  })
  await server.pod.start([process.execPath, PEER, "web"]).saw("listening")
  const pids = [client, server].map(({ proxy }) => proxy.process.pid)
  const before = pids.map(anonymousBytes)
  const { stdout, stderr } = await client.pod.script(`
    for (let i = 0; i < ${NAMES}; i++) {
      const response = await fetch("http://${SERVICE}/", { headers: { host: "name-" + i + ".example" } })
      await response.text()
      if (response.status !== 200) throw new Error(response.status)
    }
    console.log("done")
    process.exit(0)`)
  expect(stdout + stderr).toBe("done\n")
  for (const { pod } of [client, server]) {
    const { stdout: text } = await pod.run(["curl", "-s", "http://127.0.0.1:4191/metrics"])
    const requests = text.split("\n").filter(line => line.startsWith("request_total{"))
    const authorities = new Set(requests.map(line => /authority="([^"]*)"/.exec(line)?.[1]))
    expect(authorities.size).toBeLessThanOrEqual(AUTHORITIES_LIMIT)
    expect(authorities).toContain("other")
    const counted = requests.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0)
    expect(counted).toBe(NAMES)
  }
  const grown = pids.map((pid, i) => anonymousBytes(pid) - (before[i] ?? 0))
  console.log(
    `  ${NAMES} names: anonymous memory grew by ${grown.map(bytes => (bytes / 1e6).toFixed(1)).join(" and ")} MB`,
  )
  for (const bytes of grown) expect(bytes).toBeLessThan(GROWTH_LIMIT_BYTES)
}, 60_000)
