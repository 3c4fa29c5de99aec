// The control plane as one program on loopback: manifests in, proxies' reports in, figures out on every transport.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node"
import { type ApiClient, createApiClient, createTelemetryClient, type telemetryV1 } from "../protos/mod.ts"
import { createLog } from "./log.ts"
import { type RunningControlPlane, runControlPlane } from "./run.ts"
import { parseSettings, type Settings } from "./settings.ts"

const ANY_PORTS = {
  CONDUIT_DESTINATION_PORT: "0",
  CONDUIT_TAP_PORT: "0",
  CONDUIT_POLICY_PORT: "0",
  CONDUIT_TELEMETRY_PORT: "0",
  CONDUIT_API_PORT: "0",
  CONDUIT_ADMIN_PORT: "0",
}

let folder = ""
let lines: string[] = []
const cleanups: (() => void)[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-control-"))
  lines = []
})

afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean()
  rmSync(folder, { recursive: true, force: true })
})

async function run(service: string, env: Record<string, string> = {}): Promise<RunningControlPlane> {
  const settings = parseSettings([service, "--manifests", folder, "--listen-host", "127.0.0.1"], {
    ...ANY_PORTS,
    ...env,
  })
  if (typeof settings === "string") throw new Error(settings)
  const log = createLog({ format: "plain", write: line => lines.push(line), now: () => new Date(0) })
  const running = await runControlPlane(settings, log)
  cleanups.push(() => running.stop())
  return running
}

function urlOf(running: RunningControlPlane, service: "api" | "telemetry" | "admin"): string {
  return `http://127.0.0.1:${running.ports.get(service)}`
}

/** Writes as the local cluster does: a hidden temporary name, then a rename. */
function apply(name: string, object: unknown): void {
  writeFileSync(join(folder, `.${name}`), JSON.stringify(object))
  renameSync(join(folder, `.${name}`), join(folder, name))
}

function deployment(name: string, labels: Record<string, string> = {}): unknown {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop", labels },
    spec: { template: {} },
  }
}

function pod(deploymentName: string, ip: string): unknown {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `${deploymentName}-1`,
      namespace: "shop",
      labels: { app: deploymentName, "pod-template-hash": "aa", "conduit.io/control-plane-ns": "conduit" },
      ownerReferences: [{ kind: "ReplicaSet", name: `${deploymentName}-aa`, controller: true }],
    },
    spec: { containers: [{ name: "app" }, { name: "conduit-proxy" }] },
    status: { podIP: ip, phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  }
}

const cartService = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "cart", namespace: "shop" },
  spec: {
    clusterIP: "10.96.0.2",
    selector: { app: "cart" },
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
  },
}

function applyShop(): void {
  apply("web.json", deployment("web", { tier: "front" }))
  apply("cart.json", deployment("cart", { tier: "back" }))
  apply("idle.json", deployment("idle"))
  apply("web-1.json", pod("web", "127.0.0.1"))
  apply("cart-1.json", pod("cart", "127.0.0.2"))
  apply("cart-svc.json", cartService)
}

type Report = MessageInitShape<typeof telemetryV1.ReportRequestSchema>

const counted = { direction: "inbound", tls: "disabled" }
const called = {
  direction: "outbound",
  tls: "disabled",
  dst_service: "cart",
  dst_namespace: "shop",
  dst_deployment: "cart",
  dst_pod: "cart-1",
}

/** Series of a proxy that counted `labels`, 90 successes and 10 failures of 20 ms or less. */
function report(workload: string, labels: Record<string, string>): Report {
  const counts = new Array<bigint>(26).fill(0n)
  counts[6] = 100n
  return {
    reporter: {
      namespace: "shop",
      pod: `${workload}-1`,
      workloadKind: "deployment",
      workload,
      proxyVersion: "0.1.0",
      startedAtMs: BigInt(Date.now()),
    },
    series: [
      { id: 1, metric: "response_total", labels: { ...labels, classification: "success" } },
      { id: 2, metric: "response_total", labels: { ...labels, classification: "failure" } },
      { id: 3, metric: "response_latency_ms", labels },
    ],
    samples: [
      { seriesId: 1, value: 90 },
      { seriesId: 2, value: 10 },
    ],
    histograms: [{ seriesId: 3, counts, sum: 1500 }],
  }
}

/** Keeps a proxy's stream open until the end of the test. */
function push(running: RunningControlPlane, ...reports: Report[]): void {
  const abort = new AbortController()
  cleanups.push(() => abort.abort())
  async function* stream(): AsyncGenerator<Report> {
    yield* reports
    await new Promise<void>(resolve => abort.signal.addEventListener("abort", () => resolve()))
  }
  createTelemetryClient(createGrpcTransport({ baseUrl: urlOf(running, "telemetry") }))
    .report(stream(), { signal: abort.signal })
    .catch(() => {})
}

async function until<T>(ask: () => Promise<T>, ready: (answer: T) => boolean): Promise<T> {
  for (let tries = 0; tries < 300; tries++) {
    const answer = await ask()
    if (ready(answer)) return answer
    await Bun.sleep(10)
  }
  throw new Error("did not come true within 3 s")
}

function apiOf(running: RunningControlPlane, transport?: Transport): ApiClient {
  return createApiClient(
    transport ?? createConnectTransport({ baseUrl: urlOf(running, "api"), httpVersion: "1.1" }),
  )
}

test("figures that proxies report are answered alike over Connect, gRPC-web and gRPC on one port", async () => {
  applyShop()
  const running = await run("all")
  push(running, report("web", counted))
  const baseUrl = urlOf(running, "api")
  const transports = [
    createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    createConnectTransport({ baseUrl, httpVersion: "2" }),
    createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    createGrpcTransport({ baseUrl }),
  ]
  for (const transport of transports) {
    const client = apiOf(running, transport)
    const target = { namespace: "shop", kind: "deployment" }
    const { rows } = await until(
      () => client.stat({ target }),
      answer => answer.rows.some(row => row.http !== undefined),
    )
    expect(rows.map(row => row.resource?.name)).toEqual(["cart", "idle", "web"])
    const [cart, idle, web] = rows
    expect(web).toMatchObject({ meshedPods: 1, totalPods: 1 })
    expect(web?.http).toMatchObject({ success: 0.9, responses: 100n, failures: 10n })
    expect(web?.http?.latencyMs?.p50).toBeCloseTo(15, 6)
    expect([cart?.http, idle?.http, idle?.tcp]).toEqual([undefined, undefined, undefined])
    expect(idle).toMatchObject({ meshedPods: 0, totalPods: 0 })
  }
})

test("the api in a process of its own asks telemetry over the network", async () => {
  applyShop()
  const telemetry = await run("telemetry")
  const running = await run("api", {
    CONDUIT_TELEMETRY_ADDR: `127.0.0.1:${telemetry.ports.get("telemetry")}`,
  })
  push(telemetry, report("web", counted))
  const client = apiOf(running)
  const target = { namespace: "shop", kind: "deployment", name: "web" }
  await until(
    () => client.stat({ target }),
    ({ rows }) => rows[0]?.http?.responses === 100n,
  )
  telemetry.stop()
  const failure = await client.stat({ target }).catch(error => error)
  expect(ConnectError.from(failure).code).toBe(Code.Unavailable)
  expect(failure.message).toContain("telemetry at 127.0.0.1")
})

test("figures between two parties come from the caller's side, and edges say who calls whom and how", async () => {
  applyShop()
  const running = await run("all")
  push(running, report("web", called))
  const client = apiOf(running)
  const web = { namespace: "shop", kind: "deployment", name: "web" }
  const cart = { namespace: "shop", kind: "deployment", name: "cart" }
  const { edges } = await until(
    () => client.edges({ target: web }),
    answer => answer.edges.length > 0,
  )
  expect(edges.length).toBe(1)
  expect(edges[0]).toMatchObject({ from: web, to: cart, secured: false, http: { responses: 100n } })
  expect(edges[0]?.reason).toContain("mutual TLS is off")
  const responses = async (request: Parameters<ApiClient["stat"]>[0]) =>
    (await client.stat(request)).rows.map(row => row.http?.responses)
  expect(await responses({ target: cart, from: web })).toEqual([100n])
  expect(await responses({ target: web, to: cart })).toEqual([100n])
  expect(await responses({ target: web, to: { kind: "service", namespace: "shop", name: "cart" } })).toEqual([
    100n,
  ])
  expect(await responses({ target: cart, from: cart })).toEqual([undefined])
  expect(await responses({ target: { kind: "service", namespace: "shop" } })).toEqual([100n])
  expect(await responses({ target: { kind: "pod", namespace: "shop", name: "cart-1" }, from: web })).toEqual([
    100n,
  ])
  expect(await responses({ target: cart })).toEqual([undefined])
})

test("selectors choose by label, and say plainly what they do not know", async () => {
  applyShop()
  const client = apiOf(await run("all"))
  const names = async (target: Record<string, string>) =>
    (await client.stat({ target })).rows.map(row => row.resource?.name)
  expect(await names({ kind: "deployment", labelSelector: "tier in (front, back),tier!=back" })).toEqual([
    "web",
  ])
  expect(await names({ kind: "deployment", labelSelector: "!tier" })).toEqual(["idle"])
  expect(await names({ kind: "namespace" })).toEqual(["shop"])
  expect(await names({ kind: "statefulset" })).toEqual([])
  const failure = async (target: Record<string, string>) => {
    const error = ConnectError.from(await client.stat({ target }).catch(reason => reason))
    return [error.code, error.rawMessage]
  }
  expect(await failure({ kind: "deploy" })).toEqual([
    Code.InvalidArgument,
    expect.stringContaining('unknown kind "deploy"'),
  ])
  expect(await failure({ kind: "deployment", namespace: "shop", name: "nope" })).toEqual([
    Code.NotFound,
    'deployment "nope" is not known in namespace "shop"',
  ])
  for (const labelSelector of ["a b c", "a=("]) {
    expect(await failure({ kind: "pod", labelSelector })).toEqual([
      Code.InvalidArgument,
      expect.stringContaining(`the label selector "${labelSelector}" cannot be read`),
    ])
  }
})

test("endpoints are those that proxies get", async () => {
  applyShop()
  const client = apiOf(await run("all"))
  const { services } = await client.endpoints({ namespace: "shop", service: "cart" })
  expect(services).toMatchObject([
    {
      service: "cart",
      port: 80,
      portName: "http",
      endpoints: [
        {
          ip: "127.0.0.2",
          port: 8080,
          pod: "cart-1",
          workload: { kind: "deployment", name: "cart" },
          meshed: true,
        },
      ],
    },
  ])
  const failure = await client.endpoints({ service: "cart", port: 81 }).catch(error => error)
  expect(ConnectError.from(failure).rawMessage).toBe('service "cart" has no TCP port 81; its ports: 80')
})

test("raw metrics come from each proxy's admin port, and a proxy that is gone is told as such", async () => {
  applyShop()
  const { serveApi } = await import("./api/mod.ts")
  const { ManifestsSource } = await import("./cluster/mod.ts")
  const { localQueries, TelemetryStore } = await import("./telemetry/mod.ts")
  const admin = createServer((_request, response) => response.end("request_total 1\n"))
  await new Promise<void>(resolve => admin.listen(0, "127.0.0.1", resolve))
  cleanups.push(() => admin.close())
  const source = new ManifestsSource(folder)
  source.start()
  cleanups.push(() => source.stop())
  const { port: adminPort } = admin.address() as AddressInfo
  const options = { host: "127.0.0.1", port: 0, version: "1.2.3", proxies: { adminPort, timeoutMs: 500 } }
  const api = await serveApi(source.store, localQueries(new TelemetryStore(0), Date.now), options)
  cleanups.push(() => api.close())
  const client = createApiClient(createGrpcTransport({ baseUrl: `http://127.0.0.1:${api.port}` }))
  const answers = []
  for await (const answer of client.proxyMetrics({ target: { kind: "deployment" } })) answers.push(answer)
  expect(answers).toMatchObject([
    { pod: "cart-1", text: "", error: expect.stringContaining("cannot ask 127.0.0.2") },
    { pod: "web-1", text: "request_total 1\n", error: "" },
  ])
})

test("what is wrong with a route is logged once, counted, and gone when what it names comes", async () => {
  const service = (name: string): object => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "shop" },
    spec: { clusterIP: "10.96.0.1", ports: [{ port: 80 }] },
  })
  apply("web.json", service("web"))
  apply("route.json", {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name: "r", namespace: "shop" },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "web" }],
      rules: [{ backendRefs: [{ name: "late", port: 80 }] }],
    },
  })
  const running = await run("destination")
  const problems = async (): Promise<string | undefined> => {
    const metrics = await (await fetch(`${urlOf(running, "admin")}/metrics`)).text()
    return /\ndestination_route_problems (\d+)/.exec(metrics)?.[1]
  }
  await until(problems, count => count === "1")
  apply("other.json", service("other"))
  apply("late.json", service("late"))
  await until(problems, count => count === "0")
  const told = 'HTTPRoute "shop/r": BackendNotFound: spec.rules[0].backendRefs[0]: there is no Service "late"'
  expect(lines.filter(line => line.includes(told)).length).toBe(1)
})

test("the admin port tells when the cluster is read, and what is wrong with it", async () => {
  rmSync(folder, { recursive: true })
  const running = await run("destination")
  const admin = urlOf(running, "admin")
  expect((await fetch(`${admin}/ready`)).status).toBe(503)
  expect((await fetch(`${admin}/live`)).status).toBe(200)
  mkdirSync(folder)
  apply("bad.json", {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "bad" },
    spec: { ports: [{ port: 0 }] },
  })
  await until(
    () => fetch(`${admin}/ready`),
    response => response.status === 200,
  )
  expect(await (await fetch(`${admin}/metrics`)).text()).toContain("\ncluster_problems 1\n")
  expect(lines.join("")).toContain("bad.json, document 1, line 1: spec.ports[0].port must be a port")
  expect((await fetch(`${admin}/ready`, { method: "POST" })).status).toBe(405)
})

test.each([
  [[], {}, "usage"],
  [["nope"], {}, 'unknown service "nope"'],
  [["destination"], {}, "destination needs --kubernetes"],
  [["all", "--kubernetes", "--manifests", "x"], {}, "--manifests and --kubernetes exclude each other"],
  [["all", "--context", "x"], {}, "add --kubernetes"],
  [["api", "--manifests", "x"], {}, "api needs CONDUIT_TELEMETRY_ADDR"],
  [["telemetry"], { CONDUIT_TELEMETRY_PORT: "70000" }, "CONDUIT_TELEMETRY_PORT must be a port"],
  [["telemetry", "--what"], {}, "--what"],
] as const)("bad settings are one sentence: %j", (args, env, sentence) => {
  expect(parseSettings(args, env)).toContain(sentence)
})

test("a taken port is one sentence, and nothing goes on running", async () => {
  const first = await run("all")
  const taken = first.ports.get("api") ?? 0
  const settings = parseSettings(["all", "--manifests", folder, "--listen-host", "127.0.0.1"], {
    ...ANY_PORTS,
    CONDUIT_API_PORT: String(taken),
  }) as Settings
  const log = createLog({ format: "json", write: () => {}, now: () => new Date(0) })
  expect(await runControlPlane(settings, log).catch(String)).toContain(
    `cannot listen on 127.0.0.1:${taken}: another process listens there already`,
  )
})
