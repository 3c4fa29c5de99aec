// Routes on a local mesh, with real processes: retries make a failing server look well and never repeat a POST, a canary
// goes from 0 to 100 % under load without a failure, and what takes too long ends on both sides.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { conduit, DevMesh } from "../lab/dev_mesh.ts"

const TEST_MS = 120_000
/** Requests of each step of the canary, and by how much a share of them may be off. */
const CANARY_REQUESTS = 1000
const CANARY_TOLERANCE = 0.01

/** Answers its name; `/fail` answers 503 to three of ten GETs, `/slow` takes 2 s, `/counts` says what was seen. */
const server = (name: string) => `
const counts = { fail: 0, post: 0, cancelled: 0, asked: 0 }
Bun.serve({
  hostname: "0.0.0.0",
  port: 8080,
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === "/counts") return Response.json(counts)
    if (pathname === "/fail") {
      if (request.method === "POST") counts.post++
      return new Response("", { status: counts.fail++ % 10 < 3 ? 503 : 200 })
    }
    if (pathname === "/slow") {
      counts.asked++
      request.signal.addEventListener("abort", () => counts.cancelled++)
      await Bun.sleep(2000)
    }
    return new Response("${name}", { headers: { "x-path": pathname, "x-added": request.headers.get("x-added") ?? "" } })
  },
})`

/** Asks \`count\` times, \`rate\` a second (0: as fast as it goes, 16 at once), and prints how often what came. */
const CLIENT = `
const [url, method, count, rate] = process.argv.slice(1)
const seen = {}
let at = 0
const ask = async () => {
  const started = performance.now()
  const answer = await fetch(url, { method }).catch(error => ({ status: 0, text: async () => String(error) }))
  const text = await answer.text()
  const key = answer.status === 200 && text !== "" ? text : String(answer.status)
  seen[key] = (seen[key] ?? 0) + 1
  times.push(performance.now() - started)
}
const times = []
const start = performance.now()
const worker = async () => { while (at < Number(count)) { at++; await ask() } }
if (Number(rate) === 0) await Promise.all(Array.from({ length: 16 }, worker))
else {
  const asked = []
  for (; at < Number(count); at++) {
    const wait = start + (at * 1000) / Number(rate) - performance.now()
    if (wait > 0) await Bun.sleep(wait)
    asked.push(ask())
  }
  await Promise.all(asked)
}
times.sort((a, b) => a - b)
console.log(JSON.stringify({ seen, p99: times[Math.floor(times.length * 0.99)] }))`

function deployment(name: string, command: readonly string[], port?: number): object {
  const ports = port === undefined ? {} : { ports: [{ name: "http", containerPort: port }] }
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { serviceAccountName: name, containers: [{ name: "app", image: "app", command, ...ports }] },
      },
    },
  }
}

function service(name: string, app: string, annotations: Record<string, string> = {}): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "shop", annotations },
    spec: { selector: { app }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  }
}

function canary(share: number): object {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name: "canary", namespace: "shop" },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "web", port: 80 }],
      rules: [
        {
          name: "split",
          matches: [{ path: { type: "PathPrefix", value: "/app" } }],
          filters: [
            {
              type: "RequestHeaderModifier",
              requestHeaderModifier: { add: [{ name: "X-Added", value: "yes" }] },
            },
            {
              type: "URLRewrite",
              urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/" } },
            },
          ],
          backendRefs: [
            { name: "v1", port: 80, weight: 100 - share },
            { name: "v2", port: 80, weight: share },
          ],
        },
      ],
    },
  }
}

const run = (name: string) => deployment(name, [process.execPath, "-e", server(name)], 8080)
const OBJECTS = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  run("v1"),
  run("v2"),
  deployment("client", ["sleep", "infinity"]),
  service("web", "v1"),
  service("v1", "v1"),
  service("v2", "v2"),
  service("flaky", "v1", {
    "retry.conduit.io/http": "503",
    "retry.conduit.io/limit": "6",
  }),
  service("slow", "v1", { "timeout.conduit.io/request": "100ms" }),
  canary(0),
]

let mesh: DevMesh
let folder = ""

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "conduit-routes-"))
  mesh = await DevMesh.up({ name: "routes", objects: OBJECTS })
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

interface Load {
  readonly seen: Readonly<Record<string, number>>
  readonly p99: number
}

async function load(url: string, count: number, { method = "GET", rate = 0 } = {}): Promise<Load> {
  const command = [process.execPath, "-e", CLIENT, url, method, String(count), String(rate)]
  const { status, stdout, stderr } = await mesh.exec("shop", "client", command)
  if (status !== 0) throw new Error(`the load ended with ${status}: ${stderr}`)
  return JSON.parse(stdout) as Load
}

async function counts(): Promise<Readonly<Record<string, number>>> {
  const { stdout } = await mesh.exec("shop", "v1", ["curl", "-sS", "http://127.0.0.1:8080/counts"])
  return JSON.parse(stdout) as Record<string, number>
}

test(
  "a server that fails three of ten idempotent calls looks well, and a POST reaches it exactly once",
  async () => {
    const before = await counts()
    const { seen } = await load("http://flaky/fail", 300, { rate: 25 })
    expect((seen["200"] ?? 0) / 300).toBeGreaterThanOrEqual(0.995)
    const tries = ((await counts()).fail ?? 0) - (before.fail ?? 0)
    expect(tries).toBeGreaterThan(350)

    const posted = await load("http://flaky/fail", 100, { method: "POST", rate: 50 })
    expect((await counts()).post).toBe(100)
    expect(posted.seen["503"] ?? 0).toBeGreaterThan(20)

    const metrics = await mesh.metrics("shop", "client")
    // A series for each route that was learnt: the GETs, and the POSTs.
    const actual = metrics.matchAll(/^route_actual_request_total\{[^}]*dst_service="flaky"[^}]*\} (\d+)$/gm)
    expect([...actual].reduce((sum, [, count]) => sum + Number(count), 0)).toBe(tries + 100)

    await Bun.sleep(2500)
    const { status, stdout } = await mesh.cli("routes", "svc/flaky", "-n", "shop", "-o", "json", "-t", "60s")
    expect(status).toBe(0)
    const rows = JSON.parse(stdout) as {
      route: string
      success: number
      actual: { success: number }
    }[]
    const of = (method: string) => rows.find(({ route }) => route.startsWith(`${method} `))
    const answered = seen["200"] ?? 0
    expect(of("GET")?.success).toBeCloseTo(answered / 300, 2)
    expect(of("GET")?.actual.success).toBeCloseTo(answered / tries, 2)
    const failed = posted.seen["503"] ?? 0
    expect(of("POST")).toMatchObject({
      success: (100 - failed) / 100,
      actual: { success: (100 - failed) / 100 },
    })
  },
  TEST_MS,
)

test(
  "what takes longer than its Service allows ends with 504, and ends at the server",
  async () => {
    const { seen, p99 } = await load("http://slow/slow", 100, { rate: 50 })
    // A figure, and no promise on a busy machine: on one at rest it is below 115 ms.
    console.log(`  p99 of a timeout of 100 ms: ${p99.toFixed(1)} ms`)
    expect(seen).toEqual({ "504": 100 })
    const { asked, cancelled } = await counts()
    expect([asked, cancelled]).toEqual([100, 100])
  },
  TEST_MS,
)

test(
  "a canary goes from 0 to 100 % in ten steps: no failure, each share what its step says",
  async () => {
    for (let share = 0; share <= 100; share += 10) {
      const file = join(folder, `canary-${share}.json`)
      writeFileSync(file, JSON.stringify(canary(share)))
      const running = load("http://web/app/x", 500, { rate: 500 })
      const { status, stderr } = await conduit(["dev", "apply", "-f", file, "--name", mesh.name])
      expect([status, stderr]).toEqual([0, expect.any(String)])
      const during = await running
      expect((during.seen.v1 ?? 0) + (during.seen.v2 ?? 0)).toBe(500)
      const { seen } = await load("http://web/app/x", CANARY_REQUESTS)
      expect((seen.v1 ?? 0) + (seen.v2 ?? 0)).toBe(CANARY_REQUESTS)
      const got = (seen.v2 ?? 0) / CANARY_REQUESTS
      expect(Math.abs(got - share / 100)).toBeLessThan(share === 0 || share === 100 ? 1e-9 : CANARY_TOLERANCE)
    }
  },
  TEST_MS,
)

test(
  "filters change what the server gets, and what meets no route is 404",
  async () => {
    const { stdout } = await mesh.exec("shop", "client", ["curl", "-sSi", "http://web/app/deep/path?q=1"])
    expect(stdout).toMatch(/^HTTP\/1.1 200 OK/)
    expect(stdout.toLowerCase()).toContain("x-path: /deep/path")
    expect(stdout.toLowerCase()).toContain("x-added: yes")
    const none = await mesh.exec("shop", "client", ["curl", "-sSi", "http://web/elsewhere"])
    expect(none.stdout).toMatch(/^HTTP\/1.1 404 Not Found\r\nconduit-proxy-error: no-route; id=/)
    expect(await mesh.metrics("shop", "client")).toContain('rt_route="split"')
  },
  TEST_MS,
)
