// HTTP through both proxies with the real redirect: who answers, what the proxies answer by themselves, and what a
// drain looks like from outside.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Mesh, type MeshedPod, metric, type Pod } from "../lab/mod.ts"

const PEER = new URL("../lab/http_peer.ts", import.meta.url).pathname
const WEB = "10.96.1.1"
const WEB_V6 = "fd96:0:0:1::1"
const EMPTY = "10.96.1.2"
const DOWN = "10.96.1.3"

let mesh: Mesh
let client: MeshedPod
let first: MeshedPod
let second: MeshedPod
let outside: Pod

beforeAll(async () => {
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client", { env: { CONDUIT_PROXY_ACCESS_LOG: "json" } })
  first = await mesh.meshedPod("first", { workload: "web" })
  second = await mesh.meshedPod("second", { workload: "web" })
  outside = mesh.lab.pod("outside")
  const endpoints = (port: number, family: "ipv4" | "ipv6" = "ipv4") =>
    [first, second].map(({ pod }) => ({
      ip: pod[family],
      port,
      pod: pod.name,
      workload: "web",
      meshed: true,
    }))
  await mesh.setTable({
    outbound: {
      [`${WEB}:80`]: { service: "web", port: 80, endpoints: endpoints(8081) },
      [`${WEB}:82`]: { service: "web", port: 82, endpoints: endpoints(8080) },
      "[fd96:0:0:1::1]:80": { service: "web", port: 80, endpoints: endpoints(8081, "ipv6") },
      [`${EMPTY}:80`]: { service: "empty", port: 80, endpoints: [] },
      [`${DOWN}:80`]: { service: "down", port: 80, endpoints: [{ ip: outside.ipv4, port: 1 }] },
    },
  })
  for (const { pod } of [first, second]) await pod.start([process.execPath, PEER, pod.name]).saw("listening")
}, 30_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

async function curl(pod: Pod, ...args: string[]): Promise<string> {
  return (await pod.run(["curl", "-s", "-g", "--max-time", "10", ...args])).stdout
}

test("requests on one kept HTTP/1 connection arrive in order, and not all at one endpoint", async () => {
  const urls = Array.from({ length: 40 }, (_, i) => `http://${WEB}/${i}`)
  const lines = (await curl(client.pod, ...urls)).trim().split("\n")
  expect(lines).toHaveLength(40)
  expect(new Set(lines.map(line => line.split(" ")[0]))).toEqual(new Set(["first", "second"]))
  expect(lines.map(line => line.split(" ")[2])).toEqual(urls.map((_, i) => `/${i}`))
})

test("HTTP/1 over IPv6 arrives", async () => {
  expect(await curl(client.pod, `http://[${WEB_V6}]/six`)).toContain("GET /six")
})

test("HTTP/2 with prior knowledge arrives as HTTP/2, the streams of one connection spread over the endpoints", async () => {
  const version = await curl(
    client.pod,
    "--http2-prior-knowledge",
    "-w",
    "%{http_version}",
    `http://${WEB}:82/two`,
  )
  expect(version).toMatch(/GET \/two 0\n2$/)
  const load = await client.pod.run(["h2load", "-n", "400", "-c", "1", "-m", "20", `http://${WEB}:82/`])
  expect(load.stdout).toContain("400 succeeded, 0 failed")
  for (const pod of ["first", "second"]) {
    const sent = await metric(client.pod, "request_total", `dst_pod="${pod}"`, `authority="${WEB}:82"`)
    // The one whose first answer was slow (cold code) is asked less for a while, never not at all.
    expect(sent).toBeGreaterThan(5)
  }
})

test("a body of 5 MB arrives whole, also after 100-continue", async () => {
  await client.pod.run(["sh", "-c", "head -c 5000000 /dev/zero > /tmp/cdlab-body"])
  expect(await curl(client.pod, "--data-binary", "@/tmp/cdlab-body", `http://${WEB}/up`)).toContain(
    "POST /up 5000000",
  )
  await client.pod.run(["rm", "/tmp/cdlab-body"])
})

test("64 MiB come down whole", async () => {
  expect(await curl(client.pod, "-o", "/dev/null", "-w", "%{size_download}", `http://${WEB}/huge`)).toBe(
    "67108864",
  )
})

test("a WebSocket is upgraded and relayed", async () => {
  const { stdout, stderr } = await client.pod.script(`
    const ws = new WebSocket("ws://${WEB}/socket")
    ws.onopen = () => ws.send("ping over the mesh")
    ws.onmessage = event => { console.log(event.data); process.exit(0) }
    ws.onerror = event => { console.log("error", event.message); process.exit(1) }`)
  expect(stdout + stderr).toContain("ping over the mesh")
})

test("a service without endpoints gives 503 with the reason and an id that the log has too", async () => {
  const text = await curl(client.pod, "-i", `http://${EMPTY}/`)
  expect(text).toStartWith("HTTP/1.1 503 ")
  const [, id] = /conduit-proxy-error: no-endpoint; id=(\w+)/i.exec(text) ?? []
  expect(id).toBeString()
  expect(client.proxy.stderr).toContain(`id=${id}`)
})

test("an endpoint that refuses gives 502", async () => {
  const text = await curl(client.pod, "-i", `http://${DOWN}/`)
  expect(text).toStartWith("HTTP/1.1 502 ")
  expect(text).toContain("connect-failed")
})

test("an application that is not there gives 502 from its own proxy, not a hang", async () => {
  const text = await curl(outside, "-i", `http://${first.pod.ipv4}:8099/`)
  // Nothing has spoken HTTP on that port before, but the client begins at once.
  expect(text).toStartWith("HTTP/1.1 502 ")
})

test("both sides count requests, with workload and status", async () => {
  await curl(client.pod, `http://${WEB}/status/500`)
  expect(
    await metric(
      client.pod,
      "response_total",
      'direction="outbound"',
      'dst_deployment="web"',
      'status_code="500"',
      'classification="failure"',
    ),
  ).toBe(1)
  const inbound = await Promise.all(
    [first, second].map(({ pod }) =>
      metric(pod, "response_total", 'direction="inbound"', 'status_code="500"'),
    ),
  )
  expect(inbound.reduce((a, b) => a + b)).toBe(1)
})

test("the access log has a line per request", async () => {
  const answer = await curl(client.pod, `http://${WEB}/logged`)
  await client.proxy.saw('"uri":"/logged"')
  const line = client.proxy.stdout.split("\n").find(one => one.includes('"uri":"/logged"')) ?? "{}"
  expect(JSON.parse(line)).toMatchObject({
    direction: "outbound",
    host: WEB,
    method: "GET",
    status: 200,
    request_bytes: 0,
    response_bytes: Buffer.byteLength(answer),
    version: "HTTP/1.1",
  })
})

test("a draining pod finishes what runs, says Connection: close and GOAWAY inbound, and serves outbound as ever", async () => {
  const slow = curl(outside, "-i", `http://${second.pod.ipv4}:8081/slow`)
  const slow2 = outside.run(["nghttp", "-v", `http://${second.pod.ipv4}:8080/slow`])
  const held = outside.start([
    process.execPath,
    "-e",
    `await Bun.connect({ hostname: "${second.pod.ipv4}", port: 8081, socket: {
       open(s) { s.write("GET /held HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n") },
       data() { process.stdout.write("answered\\n") },
       close() { process.stdout.write("closed\\n"); process.exit(0) } } })`,
  ])
  await held.saw("answered")
  await Bun.sleep(200)
  second.proxy.process.kill("SIGTERM")
  await second.proxy.saw("draining")
  expect(await slow).toMatch(/^HTTP\/1\.1 200 [\s\S]*connection: close[\s\S]*second GET \/slow/i)
  const transcript = (await slow2).stdout
  expect(transcript).toContain("recv GOAWAY")
  expect(transcript).toContain("second GET /slow")
  expect(await curl(outside, "-i", `http://${second.pod.ipv4}:8081/late`)).toMatch(
    /^HTTP\/1\.1 200 [\s\S]*connection: close/i,
  )
  expect(await curl(second.pod, "-i", `http://${WEB}/out`)).not.toMatch(/connection: close/i)
  // The kept connection on which nothing runs is closed once the window is over, so the proxy can leave.
  await held.saw("closed", 8_000)
  expect(await second.proxy.process.exited).toBe(0)
}, 30_000)
