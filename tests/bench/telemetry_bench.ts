// Telemetry under 500 proxies of 200 series each that report every 10 s: cores, memory, disk, and how long `stat -A` takes
// through the API beside them. Run: bun tests/bench/telemetry_bench.ts [PROXIES] [SECONDS]
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { create } from "@bufbuild/protobuf"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createApiClient, createTelemetryClient, telemetryV1 } from "../../protos/mod.ts"
import { type ControlService, startControlService } from "../lab/control_service.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import { clusterObjects, namespaceOf, podName } from "./simulated_cluster.ts"

const PROXIES = Number(process.argv[2] ?? 500)
const SECONDS = Number(process.argv[3] ?? 60)
const REPORT_MS = 10_000
/** Figures are settled after the first reports and the first windows. */
const WARM_UP_MS = 25_000
/** Streams of one connection. */
const STREAMS = 25
const PEERS = 20
const BUCKETS = 26
const ASK_EVERY_MS = 250
const CLUSTER = { services: Math.ceil(PROXIES / 10), podsPerService: 10, namespaces: 10 }
const TARGETS = { cores: 1, p99Ms: 200 }

const folder = tempFolder("telemetry-bench")
const children: ControlService[] = []
const transports: ReturnType<typeof createGrpcTransport>[] = []
try {
  writeFileSync(
    join(folder, "cluster.yaml"),
    [...clusterObjects(CLUSTER)].map(object => `---\n${JSON.stringify(object)}\n`).join(""),
  )
  const history = { CONDUIT_TELEMETRY_FOLDER: join(folder, "history") }
  const telemetry = await startControlService("telemetry", [], history)
  children.push(telemetry)
  const env = { CONDUIT_TELEMETRY_ADDR: `127.0.0.1:${telemetry.port}` }
  const api = await startControlService("api", ["--manifests", folder], env)
  children.push(api)
  const started = performance.now()
  for (let proxy = 0; proxy < PROXIES; proxy++) void report(proxy, `http://127.0.0.1:${telemetry.port}`)
  await Bun.sleep(WARM_UP_MS)
  const client = createApiClient(createGrpcTransport({ baseUrl: `http://127.0.0.1:${api.port}` }))
  const cpuBefore = cpuSeconds(telemetry.pid)
  const apiBefore = cpuSeconds(api.pid)
  const measuredFrom = performance.now()
  const took: number[] = []
  while (performance.now() - started < WARM_UP_MS + SECONDS * 1000) {
    const began = performance.now()
    const { rows } = await client.stat({ target: { kind: "deployment" } })
    took.push(performance.now() - began)
    if (rows.filter(({ http }) => http !== undefined).length !== CLUSTER.services)
      throw new Error("not every Deployment has figures")
    await Bun.sleep(Math.max(0, ASK_EVERY_MS - (performance.now() - began)))
  }
  const cores = ((cpuSeconds(telemetry.pid) - cpuBefore) * 1000) / (performance.now() - measuredFrom)
  const apiMs = ((cpuSeconds(api.pid) - apiBefore) * 1000) / took.length
  took.sort((a, b) => a - b)
  const at = (share: number): number => took[Math.floor(took.length * share)] ?? Number.NaN
  const metrics = await (await fetch(`http://127.0.0.1:${telemetry.adminPort}/metrics`)).text()
  const longest = Number(/^telemetry_history_write_longest_seconds (.*)$/m.exec(metrics)?.[1])
  const seconds = (performance.now() - started) / 1000
  const over = (figure: number, target: number): string => (figure <= target ? "" : `, over ${target}`)
  console.log(
    `${PROXIES} proxies of ${PEERS * 10} series, reports every ${REPORT_MS / 1000} s, ${seconds.toFixed(0)} s`,
  )
  console.log(
    `cores of telemetry       ${cores.toFixed(2)}, four questions a second included${over(cores, TARGETS.cores)}`,
  )
  console.log(
    `stat -A                  p50 ${at(0.5).toFixed(0)} ms, p99 ${at(0.99).toFixed(0)} ms${over(at(0.99), TARGETS.p99Ms)}`,
  )
  console.log(`processor of the API      ${apiMs.toFixed(0)} ms a question`)
  console.log(`memory of telemetry      ${residentMebibytes(telemetry.pid).toFixed(0)} MiB`)
  console.log(`disk                     ${(bytesIn(join(folder, "history")) / 2 ** 20).toFixed(1)} MiB`)
  console.log(`longest write            ${(longest * 1000).toFixed(0)} ms`)
} finally {
  for (const child of children) await child.stop()
  rmSync(folder, { recursive: true, force: true })
}
process.exit(0)

/** One proxy: twenty peers of ten series, all of which grow from report to report. */
async function report(proxy: number, baseUrl: string): Promise<void> {
  const service = Math.floor(proxy / CLUSTER.podsPerService)
  const about = create(telemetryV1.ReporterSchema, {
    namespace: namespaceOf(CLUSTER, service),
    pod: podName(service, proxy % CLUSTER.podsPerService),
    workloadKind: "deployment",
    workload: `app-${service}`,
    startedAtMs: BigInt(Date.now()),
  })
  const series: { id: number; metric: string; labels: Record<string, string> }[] = []
  for (let peer = 0; peer < PEERS; peer++) {
    // A quarter are callers, the rest are called.
    const labels: Record<string, string> =
      peer < PEERS / 4
        ? { direction: "inbound", tls: "true", client_id: `caller-${peer}.team.serviceaccount` }
        : {
            direction: "outbound",
            tls: "true",
            dst_namespace: "team-1",
            dst_service: `app-${peer}`,
            dst_deployment: `app-${peer}`,
            dst_pod: `app-${peer}-7f6d5c4b8-1`,
          }
    const side = labels.direction === "inbound" ? "src" : "dst"
    const add = (metric: string, more: Record<string, string>): unknown =>
      series.push({ id: series.length, metric, labels: { ...labels, ...more } })
    for (const status of ["200", "201", "404"]) {
      add("response_total", { classification: "success", status_code: status })
      add("response_latency_ms", { status_code: status })
    }
    add("response_total", { classification: "failure", status_code: "500" })
    add("tcp_open_connections", { peer: side })
    add("tcp_read_bytes_total", { peer: side })
    add("tcp_write_bytes_total", { peer: side })
  }
  let round = 0
  const message = (): telemetryV1.ReportRequest => {
    round++
    return create(telemetryV1.ReportRequestSchema, {
      ...(round === 1 ? { reporter: about, series } : {}),
      samples: series.flatMap(({ id, metric }) =>
        metric === "response_latency_ms" ? [] : [{ seriesId: id, value: round * (id + 1) }],
      ),
      histograms: series.flatMap(({ id, metric }) =>
        metric === "response_latency_ms"
          ? [
              {
                seriesId: id,
                counts: Array.from({ length: BUCKETS }, (_, i) => BigInt(i < 8 ? round : 0)),
                sum: 0,
              },
            ]
          : [],
      ),
    })
  }
  async function* reports(): AsyncGenerator<telemetryV1.ReportRequest> {
    await Bun.sleep((REPORT_MS * proxy) / PROXIES)
    for (;;) {
      yield message()
      await Bun.sleep(REPORT_MS)
    }
  }
  await createTelemetryClient(transportOf(Math.floor(proxy / STREAMS), baseUrl)).report(reports())
}

function transportOf(connection: number, baseUrl: string): ReturnType<typeof createGrpcTransport> {
  transports[connection] ??= createGrpcTransport({ baseUrl })
  return transports[connection]
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function residentMebibytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024
}

function bytesIn(path: string): number {
  return readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0)
}
