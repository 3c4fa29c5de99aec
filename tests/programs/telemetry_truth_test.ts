// A generator that knows what it did, over HTTP/1 and HTTP/2, in a real mesh: Stat, Routes, Edges and TimeSeries agree with it,
// also when telemetry is killed meanwhile, and so does a Prometheus that has scraped the proxies.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { createConnectTransport } from "@connectrpc/connect-node"
import { BEGIN_MS, fullQuestion } from "../../control/history/history_cases.ts"
import { PrometheusHistory } from "../../control/history/mod.ts"
import { quantile } from "../../control/telemetry/mod.ts"
import { findLocalMesh } from "../../deploy/local/mod.ts"
import { type ApiClient, createApiClient } from "../../protos/mod.ts"
import { DevMesh } from "../lab/dev_mesh.ts"
import { sumOf } from "../lab/prometheus_text.ts"
import { RunningPrometheus } from "./prometheus.ts"

const TEST_MS = 120_000
const WAIT_MS = 45_000
const WINDOW_MS = 600_000
/** What one run of the generator does. */
const RUN = { fine: 700, failures: 100, slow: 50 }
const RESPONSES = RUN.fine + RUN.failures + RUN.slow

/** `/fail` fails, `/slow` takes 60 ms; HTTP/1 on 8080, HTTP/2 on 8081. */
const SERVER = `
const { createServer } = require("node:http2")
const statusOf = path => (path === "/fail" ? 500 : 200)
const waitOf = path => (path === "/slow" ? 60 : 0)
Bun.serve({ hostname: "0.0.0.0", port: 8080, async fetch(request) {
  const { pathname } = new URL(request.url)
  await Bun.sleep(waitOf(pathname))
  return new Response("", { status: statusOf(pathname) })
} })
createServer((request, response) => setTimeout(() => { response.writeHead(statusOf(request.url)); response.end() }, waitOf(request.url)))
  .listen(8081, "0.0.0.0")`

/** Half of each kind over HTTP/1, half over HTTP/2; prints what was answered. */
const GENERATOR = `
const { connect } = require("node:http2")
const counts = { fine: 0, failures: 0 }
const note = status => { counts[status === 200 ? "fine" : "failures"]++ }
const session = connect("http://server.shop:81")
const overHttp2 = path => new Promise((resolve, reject) => {
  const stream = session.request({ ":path": path })
  stream.on("response", headers => note(headers[":status"])).on("error", reject).on("end", resolve).resume()
})
const overHttp1 = async path => { const answer = await fetch("http://server.shop" + path); await answer.text(); note(answer.status) }
for (const [path, count] of [["/", ${RUN.fine}], ["/fail", ${RUN.failures}], ["/slow", ${RUN.slow}]]) {
  for (const ask of [overHttp1, overHttp2]) {
    let left = count / 2
    await Promise.all(Array.from({ length: 10 }, async () => { while (left-- > 0) await ask(path) }))
  }
}
session.close()
console.log(JSON.stringify(counts))`

function deployment(name: string, command: readonly string[]): object {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "app", image: "app", command }] },
      },
    },
  }
}

let mesh: DevMesh
let api: ApiClient
/** The proxies' metrics before anything was asked. */
let before: string
let runs = 0

beforeAll(async () => {
  mesh = await DevMesh.up({
    name: "truth",
    objects: [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
      deployment("server", [process.execPath, "-e", SERVER]),
      deployment("client", ["sleep", "infinity"]),
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "server", namespace: "shop" },
        spec: {
          selector: { app: "server" },
          ports: [
            { name: "http", port: 80, targetPort: 8080 },
            { name: "http2", port: 81, targetPort: 8081, appProtocol: "kubernetes.io/h2c" },
          ],
        },
      },
    ],
  })
  const address = findLocalMesh(mesh.name)?.apiAddr
  api = createApiClient(createConnectTransport({ baseUrl: `http://${address}`, httpVersion: "1.1" }))
  before = await mesh.metrics("shop", "server")
}, 150_000)
afterAll(async () => await mesh?.[Symbol.asyncDispose](), 60_000)

async function generate(): Promise<void> {
  const { stdout, stderr, status } = await mesh.exec("shop", "client", [process.execPath, "-e", GENERATOR])
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
  expect(JSON.parse(stdout)).toEqual({ fine: RUN.fine + RUN.slow, failures: RUN.failures })
  runs++
}

const server = { namespace: "shop", kind: "deployment", name: "server" }
const service = { namespace: "shop", kind: "service", name: "server" }

/** Everything that the API says of the responses of the server, from wherever it is counted. */
async function told(): Promise<Record<string, readonly [responses: number, failures: number]>> {
  const [stat, routes, edges, series, callers] = await Promise.all([
    api.stat({ target: server, windowMs: WINDOW_MS }),
    api.routes({ target: service, windowMs: WINDOW_MS }),
    api.edges({ target: server, windowMs: WINDOW_MS }),
    api.timeSeries({ target: server, rangeMs: WINDOW_MS }),
    api.timeSeries({ target: service, rangeMs: WINDOW_MS }),
  ])
  const sum = (figures: readonly ({ responses: bigint; failures: bigint } | undefined)[]) =>
    [
      figures.reduce((all, one) => all + Number(one?.responses ?? 0), 0),
      figures.reduce((all, one) => all + Number(one?.failures ?? 0), 0),
    ] as const
  return {
    stat: sum(stat.rows.map(({ http }) => http)),
    routes: sum(routes.rows.map(({ http }) => http)),
    edges: sum(edges.edges.map(({ http }) => http)),
    timeSeries: sum(series.series.flatMap(({ points }) => points)),
    timeSeriesOfCallers: sum(callers.series.flatMap(({ points }) => points)),
  }
}

/** Waits until every answer is within a hundredth of the truth. */
async function expectTruth(): Promise<void> {
  const truth = [RESPONSES * runs, RUN.failures * runs] as const
  const isTrue = (counts: readonly number[]) =>
    counts.every((count, index) => Math.abs(count - (truth[index] ?? 0)) <= (truth[index] ?? 0) / 100)
  let last: unknown = null
  for (const deadline = performance.now() + WAIT_MS; performance.now() < deadline; await Bun.sleep(500)) {
    last = await told().catch(String)
    if (typeof last === "object" && Object.values(last ?? {}).every(counts => isTrue(counts as number[])))
      return
  }
  const log = await mesh.logs("conduit", "conduit-telemetry")
  expect({ truth, last, log }).toEqual({ truth, last: "the same", log: "" })
}

async function windowsWritten(): Promise<number> {
  const command = ["curl", "-sS", "http://127.0.0.1:9990/metrics"]
  const { stdout } = await mesh.exec("conduit", "conduit-telemetry", command)
  return sumOf(stdout, "telemetry_history_windows_total")
}

test(
  "counts, failures and latencies are those of the generator",
  async () => {
    await generate()
    await expectTruth()
    const { rows } = await api.stat({ target: server, windowMs: WINDOW_MS })
    const { p50 = 0, p99 = 0 } = rows[0]?.http?.latencyMs ?? {}
    // One of seventeen is slow: the 99th percentile is theirs.
    expect(p50).toBeLessThan(50)
    expect(p99).toBeGreaterThan(50)
  },
  TEST_MS,
)

test(
  "telemetry that is killed, twice, is told what proxies counted meanwhile",
  async () => {
    const windows = await windowsWritten()
    await generate()
    // A proxy of which nothing is written yet would begin anew.
    for (const deadline = performance.now() + WAIT_MS; (await windowsWritten()) < windows + 2; ) {
      if (performance.now() > deadline)
        throw new Error(`no window was written: ${await mesh.logs("conduit", "conduit-telemetry")}`)
      await Bun.sleep(500)
    }
    for (let kill = 0; kill < 2; kill++) {
      const pods = await mesh.pods()
      const telemetry = pods.find(({ deployment: name }) => name === "conduit-telemetry")
      expect(telemetry?.pid).toBeGreaterThan(1)
      process.kill(telemetry?.pid ?? Number.NaN, "SIGKILL")
      await generate()
      await expectTruth()
    }
  },
  2 * TEST_MS,
)

test(
  "a Prometheus that scraped the proxy agrees",
  async () => {
    const after = await mesh.metrics("shop", "server")
    const samples = [...scraped(before, BEGIN_MS - 1000), ...scraped(after, BEGIN_MS + 30_000)].sort()
    const prometheus = await RunningPrometheus.withSamples(`${samples.join("\n")}\n# EOF\n`)
    try {
      const history = new PrometheusHistory(prometheus.url)
      const [row] = await history.read(fullQuestion({ about: "all", stepMs: 60_000 }))
      const { successes = 0, failures = 0, latency = [] } = row?.points[0] ?? {}
      expect(row?.reporter).toMatchObject({
        namespace: "shop",
        workloadKind: "deployment",
        workload: "server",
      })
      expect({ successes, failures }).toEqual({
        successes: (RESPONSES - RUN.failures) * runs,
        failures: RUN.failures * runs,
      })
      expect(quantile(latency, 0.99)).toBeGreaterThan(50)
    } finally {
      await prometheus.stop()
    }
  },
  TEST_MS,
)

/** Samples of a proxy's metrics at a time, with the labels that the scrape configuration gives them. */
function scraped(text: string, timeMs: number): string[] {
  const target = `namespace="shop",pod="server-1",deployment="server"`
  return text
    .split("\n")
    .filter(line => line !== "" && !line.startsWith("#"))
    .map(line => {
      const at = line.lastIndexOf(" ")
      const [series, value] = [line.slice(0, at), line.slice(at + 1)]
      const name = series.split("{")[0] ?? ""
      const own = series.slice(name.length + 1, -1)
      const labels = own === "" ? target : `${own},${target}`
      return `${name}{${labels}} ${name === "process_start_time_seconds" ? timeMs / 1000 - 60 : value} ${timeMs / 1000}`
    })
}
