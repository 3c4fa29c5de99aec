// A generator that knows what it did, over HTTP/1, HTTP/2, gRPC and raw TCP, in a real mesh: Stat, Routes, Edges, TimeSeries and
// `conduit top` agree with it, also across a proxy that is killed, reports that are lost and a control plane that is killed
// meanwhile; and so does a control plane that asks a Prometheus. What needs a clock that is set, and more loss than this, is in
// the table of control/history/history_cases.ts, which memory, file and Prometheus are held to.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { createConnectTransport } from "@connectrpc/connect-node"
import { EDGES_MS } from "../../control/telemetry/mod.ts"
import { findLocalMesh } from "../../deploy/local/mod.ts"
import { type ApiClient, createApiClient } from "../../protos/mod.ts"
import { conduitProcess, DevMesh } from "../lab/dev_mesh.ts"
import { sumOf } from "../lab/prometheus_text.ts"
import { PrometheusPlane } from "./prometheus_plane.ts"
import {
  type Counted,
  DATABASE,
  FAILURES,
  GENERATOR,
  type Generated,
  REQUESTS,
  RESPONSES,
  SERVER,
  TCP,
} from "./truth_workload.ts"

const TEST_MS = 120_000
const WAIT_MS = 45_000
/** A call that a control plane which is killed took along is made again. */
const CALL_MS = 5_000
const WINDOW_MS = 600_000
/** Of time series; as far back as `PrometheusPlane` has samples. */
const RANGE_MS = 900_000
const NAMESPACE = "shop"
const QUANTILES = ["p50", "p95", "p99"] as const

function workload(name: string, script: readonly string[], ports: readonly object[]): object[] {
  const command = script.length === 1 ? [process.execPath, "-e", ...script] : script
  return [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace: NAMESPACE },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name } },
          spec: { containers: [{ name: "app", image: "app", command }] },
        },
      },
    },
    ...(ports.length === 0
      ? []
      : [
          {
            apiVersion: "v1",
            kind: "Service",
            metadata: { name, namespace: NAMESPACE },
            spec: { selector: { app: name }, ports },
          },
        ]),
  ]
}

const OBJECTS = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
  ...workload(
    "server",
    [SERVER],
    [
      { name: "http", port: 80, targetPort: 8080 },
      { name: "http2", port: 81, targetPort: 8081, appProtocol: "kubernetes.io/h2c" },
    ],
  ),
  ...workload("db", [DATABASE], [{ name: "mysql", port: 3306 }]),
  ...workload("client", ["sleep", "infinity"], []),
]

const PODS = ["server", "db", "client"] as const

let mesh: DevMesh
let api: ApiClient
let runs = 0
/** All that the generator did, by route. */
const truth = new Map<string, { responses: number; failures: number; took: number[]; waited: number[] }>()
/** Metrics of the proxies, at some moments. */
const scrapes: Record<(typeof PODS)[number], string>[] = []

beforeAll(async () => {
  mesh = await DevMesh.up({ name: "truth", objects: OBJECTS })
  const address = findLocalMesh(mesh.name)?.apiAddr
  const baseUrl = `http://${address}`
  const transport = createConnectTransport({ baseUrl, httpVersion: "1.1", defaultTimeoutMs: CALL_MS })
  api = createApiClient(transport)
  await scrape()
}, 150_000)
afterAll(async () => await mesh?.[Symbol.asyncDispose](), 60_000)

async function scrape(): Promise<void> {
  const [server, db, client] = await Promise.all(PODS.map(name => mesh.metrics(NAMESPACE, name)))
  scrapes.push({ server: server ?? "", db: db ?? "", client: client ?? "" })
}

async function generate(): Promise<void> {
  const { stdout, stderr, status } = await mesh.exec(NAMESPACE, "client", [process.execPath, "-e", GENERATOR])
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
  const { routes, tcp } = JSON.parse(stdout) as Generated
  expect(tcp).toMatchObject({ connections: TCP.connections, bytes: TCP.connections * TCP.bytes })
  for (const [name, { responses, failures, took, waited }] of Object.entries(routes)) {
    const all = truth.get(name) ?? { responses: 0, failures: 0, took: [], waited: [] }
    truth.set(name, all)
    all.responses += responses
    all.failures += failures
    all.took.push(...took)
    all.waited.push(...waited)
  }
  runs++
  const all = everything()
  expect([all.responses, all.failures]).toEqual([RESPONSES * runs, FAILURES * runs])
}

/** All routes as one. */
function everything(): Counted {
  const all = [...truth.values()]
  return {
    responses: all.reduce((sum, { responses }) => sum + responses, 0),
    failures: all.reduce((sum, { failures }) => sum + failures, 0),
    took: all.flatMap(({ took }) => took),
    waited: all.flatMap(({ waited }) => waited),
  }
}

const server = { namespace: NAMESPACE, kind: "deployment", name: "server" }
const db = { namespace: NAMESPACE, kind: "deployment", name: "db" }
const service = { namespace: NAMESPACE, kind: "service", name: "server" }

interface Told {
  readonly responses: bigint
  readonly failures: bigint
  readonly latencyMs?: { readonly p50: number; readonly p95: number; readonly p99: number } | undefined
}

/** What is wrong with figures; empty where they are the truth within a hundredth and, of latencies, a bucket. */
function wrongWith(what: string, told: Told | undefined, counted: Counted | undefined): string[] {
  if (told === undefined || counted === undefined) return [`${what}: no figures`]
  const wrong: string[] = []
  for (const key of ["responses", "failures"] as const) {
    const is = Number(told[key])
    if (Math.abs(is - counted[key]) > counted[key] / 100)
      wrong.push(`${what}: ${is} ${key}, not ${counted[key]}`)
  }
  if (told.latencyMs === undefined) return wrong
  const [took, waited] = [sorted(counted.took), sorted(counted.waited)]
  for (const key of QUANTILES) {
    // Proxies stand between the two: more than the server took, less than the client waited.
    const at = Math.floor((took.length * Number(key.slice(1))) / 100)
    const [least, most] = [bucketOf(took[at] ?? 0) - 1, bucketOf(waited[at] ?? 0) + 1]
    const bucket = bucketOf(told.latencyMs[key])
    if (bucket < least || bucket > most)
      wrong.push(`${what}: ${key} is ${told.latencyMs[key]} ms, not ${took[at]} to ${waited[at]}`)
  }
  return wrong
}

function sorted(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b)
}

function bucketOf(ms: number): number {
  const index = EDGES_MS.findIndex(edge => ms <= edge)
  return index < 0 ? EDGES_MS.length : index
}

/** What is wrong with what the API says now. */
async function wrongNow(): Promise<string[]> {
  const [stat, routes, edges] = await Promise.all([
    api.stat({ target: server, windowMs: WINDOW_MS }),
    api.routes({ target: service, windowMs: WINDOW_MS }),
    api.edges({ target: server, windowMs: WINDOW_MS }),
  ])
  const all = everything()
  return [
    ...wrongWith("stat", stat.rows[0]?.http, all),
    ...[...truth].flatMap(([name, counted]) =>
      wrongWith(`route ${name}`, routes.rows.find(({ route }) => route === name)?.http, counted),
    ),
    ...wrongWith("edges", edges.edges.length === 1 ? edges.edges[0]?.http : undefined, all),
  ]
}

/** What is wrong with what an API says of the time that was: by the server's proxy, by the caller's, and of bytes. */
async function wrongOverTime(of: ApiClient): Promise<string[]> {
  const ask = (target: object) => of.timeSeries({ target, rangeMs: RANGE_MS, stepMs: 10_000 })
  const [own, callers, bytes] = await Promise.all([ask(server), ask(service), ask(db)])
  const wrong: string[] = []
  for (const [what, { series }] of Object.entries({ own, callers })) {
    const points = series.flatMap(({ points }) => points)
    const counts = EDGES_MS.map((_, bucket) =>
      points.reduce((sum, { latencyCounts }) => sum + Number(latencyCounts[bucket] ?? 0n), 0),
    )
    const figures = {
      responses: points.reduce((sum, { responses }) => sum + responses, 0n),
      failures: points.reduce((sum, { failures }) => sum + failures, 0n),
      latencyMs: { p50: edgeAt(counts, 0.5), p95: edgeAt(counts, 0.95), p99: edgeAt(counts, 0.99) },
    }
    wrong.push(...wrongWith(`time series of ${what}`, figures, everything()))
  }
  const sent = TCP.connections * TCP.bytes * runs
  for (const key of ["readBytesPerSec", "writeBytesPerSec"] as const) {
    const seconds = bytes.stepMs / 1000
    const passed = bytes.series
      .flatMap(({ points }) => points)
      .reduce((sum, one) => sum + one[key] * seconds, 0)
    if (Math.abs(passed - sent) > sent / 100) wrong.push(`bytes of db: ${key} are ${passed}, not ${sent}`)
  }
  return wrong
}

/** Upper edge of the bucket of a quantile. */
function edgeAt(counts: readonly number[], quantile: number): number {
  let left = counts.reduce((sum, count) => sum + count, 0) * quantile
  for (const [bucket, count] of counts.entries()) {
    left -= count
    if (left < 0) return EDGES_MS[bucket] ?? Number.POSITIVE_INFINITY
  }
  return Number.POSITIVE_INFINITY
}

/** Waits until nothing is wrong. */
async function expectTruth(wrong: () => Promise<string[]>): Promise<void> {
  let last: unknown = null
  for (const deadline = performance.now() + WAIT_MS; performance.now() < deadline; await Bun.sleep(500)) {
    last = await wrong().catch(String)
    if (Array.isArray(last) && last.length === 0) return
  }
  const log = await mesh.logs("conduit", "conduit-telemetry")
  expect({ wrong: last, log }).toEqual({ wrong: [], log: "" })
}

async function windowsWritten(): Promise<number> {
  const command = ["curl", "-sS", "http://127.0.0.1:9990/metrics"]
  const { stdout } = await mesh.exec("conduit", "conduit-telemetry", command)
  return sumOf(stdout, "telemetry_history_windows_total")
}

/** Process of the proxy beside an application. */
async function proxyOf(deployment: string): Promise<number> {
  const { pid } = (await mesh.pods()).find(pod => pod.deployment === deployment) ?? {}
  const network = readlinkSync(`/proc/${pid}/ns/net`)
  const found = readdirSync("/proc").filter(entry => {
    try {
      return (
        /^\d+$/.test(entry) &&
        readlinkSync(`/proc/${entry}/ns/net`) === network &&
        /\/build\/proxy\.js/.test(readFileSync(`/proc/${entry}/cmdline`, "utf8"))
      )
    } catch {
      // It is over.
      return false
    }
  })
  expect(found).toHaveLength(1)
  return Number(found[0])
}

test(
  "counts, failures and latencies are those of the generator, route by route, and live in top",
  async () => {
    const top = conduitProcess(
      ...["top", "deploy/server", "-n", NAMESPACE, "--for", "100s", "--max-rps", "10000", "-o", "json"],
      ...["--mesh", mesh.name],
    )
    const tap = conduitProcess(
      ...["tap", "deploy/db", "-n", NAMESPACE, "--max", String(TCP.connections), "-o", "json"],
      ...["--mesh", mesh.name],
    )
    await Promise.all([top.saw("looking at 1 proxy", 30_000), tap.saw("tapping 1 proxy", 30_000)])
    await generate()
    await expectTruth(wrongNow)
    expect(await tap.process.exited).toBe(0)
    const connections = tap.stdout
      .trim()
      .split("\n")
      .map(line => JSON.parse(line))
    expect(connections).toEqual(
      connections.map(() =>
        expect.objectContaining({
          ...{ protocol: "tcp", tls: true, clientBytes: TCP.bytes, serverBytes: TCP.bytes, error: null },
          from: expect.objectContaining({ name: "client" }),
        }),
      ),
    )
    expect(connections).toHaveLength(TCP.connections)
    top.process.kill("SIGINT")
    expect(await top.process.exited).toBe(0)
    const rows = JSON.parse(top.stdout) as { path: string; count: number; success: number; worstMs: number }[]
    const all = everything()
    for (const [name, count] of Object.entries(REQUESTS)) {
      for (const [path, protocols] of [
        [`/${name}`, 2],
        [`/truth.Server/${name}`, 1],
      ] as const) {
        const [row, ...more] = rows.filter(row => row.path === path)
        expect({ path, row, more }).toMatchObject({
          path,
          row: { count: count * protocols, success: name === "fail" ? 0 : 1 },
          more: [],
        })
      }
    }
    expect(Math.max(...rows.map(({ worstMs }) => worstMs))).toBeLessThanOrEqual(Math.max(...all.waited))
    expect(top.stderr).not.toMatch(/dropped|left out/)
  },
  TEST_MS,
)

test(
  "a proxy that is killed and begins anew at zero takes nothing away",
  async () => {
    await scrape()
    const proxy = await proxyOf("server")
    process.kill(proxy, "SIGKILL")
    const begun = async (): Promise<string[]> => {
      const { status } = await mesh.exec(NAMESPACE, "server", [
        ...["curl", "-sS", "--fail", "-o", "/dev/null", "http://127.0.0.1:4191/ready"],
      ])
      return status === 0 ? [] : ["the proxy is not ready"]
    }
    await expectTruth(begun)
    expect(await proxyOf("server")).not.toBe(proxy)
    await scrape()
    await generate()
    await expectTruth(wrongNow)
  },
  TEST_MS,
)

test(
  "a control plane that is killed, with reports that it had taken and not read, is told again what proxies counted",
  async () => {
    const windows = await windowsWritten()
    // A proxy of which nothing is written yet would begin anew.
    const written = async (): Promise<string[]> =>
      (await windowsWritten()) >= windows + 2 ? [] : ["no window was written"]
    await expectTruth(written)
    const pods = (await mesh.pods()).filter(({ namespace }) => namespace === "conduit")
    const telemetry = pods.find(({ deployment }) => deployment === "conduit-telemetry")?.pid
    if (telemetry === undefined) throw new Error("telemetry does not run")
    process.kill(telemetry, "SIGSTOP")
    await generate()
    for (const { pid } of pods) process.kill(pid, "SIGKILL")
    await generate()
    await expectTruth(wrongNow)
    await expectTruth(() => wrongOverTime(api))
  },
  2 * TEST_MS,
)

test(
  "a control plane that asks a Prometheus agrees",
  async () => {
    await scrape()
    await using plane = await PrometheusPlane.of(OBJECTS, NAMESPACE, scrapes)
    await expectTruth(() => wrongOverTime(plane.api))
  },
  TEST_MS,
)
