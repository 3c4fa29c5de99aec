// `npm run demo`: the shop in a local mesh, with live figures. All figures come from the mesh's public API; with
// --for the load generator's own counts are put beside them, and the exit code says whether they agree.
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import { createConnectTransport } from "@connectrpc/connect-node"
import {
  type ApiClient,
  createApiClient,
  type EdgesResponse,
  type StatResponse,
} from "../../../protos/mod.ts"
import { type Answers, answersFromLoad, between, compare, shortcoming } from "./compare.ts"
import type { LoadCounts } from "./load.ts"
import { DemoMesh, type LocalMeshOptions, MeshError } from "./local_mesh.ts"
import { Screen } from "./screen.ts"
import { COLOURED, comparisonLines, deploymentLines, edgeLines, type Paint, PLAIN } from "./table.ts"

/** Window of the live table: short, so that what happens is seen at once. */
const LIVE_WINDOW_MS = 10_000
/** Between two redraws. */
const LIVE_INTERVAL_MS = 1000
/** Between two lines of progress on a pipe. */
const PIPE_INTERVAL_MS = 5000
/** The window that holds everything since the start: as long as the API keeps figures. */
const TOTALS_WINDOW_MS = 3_600_000
/** The counts of proxies have all arrived once nothing was added for this long (proxies report every second). */
const SETTLED_MS = 3000
/** Longest wait for that. */
const SETTLING_LIMIT_MS = 20_000
/** Nothing answers the demo later than this. */
const API_TIMEOUT_MS = 5000

const USAGE = `usage: npm run demo [-- --for DURATION] [--name NAME]

Starts a local mesh with the demo shop and shows live traffic until Ctrl-C.
  --for DURATION  ends by itself (20s, 2m), and compares the mesh's figures with the load generator's own
  --name NAME     name of the local mesh (default: demo)`

/** Figures of the mesh at one moment. */
interface Figures {
  readonly stat: StatResponse
  readonly edges: EdgesResponse
}

async function main(): Promise<number> {
  const wanted = readArguments()
  if (wanted === null) return 2
  const { name, forMs } = wanted
  const terminal = process.stdout.isTTY === true
  const paint = terminal && (process.env.NO_COLOR ?? "") === "" ? COLOURED : PLAIN
  const say = (line: string) => process.stderr.write(`${line}\n`)
  const options: LocalMeshOptions = {
    name,
    root: resolve(import.meta.dir, "../../.."),
    manifest: "deploy/local/demo/shop.yaml",
    onProgress: line => say(`  ${line}`),
  }

  const interrupted = new AbortController()
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => interrupted.abort(signal))

  say(`Starting the demo shop in a local mesh "${name}" ...`)
  let status = 1
  let mesh: DemoMesh
  try {
    mesh = DemoMesh.start(options)
  } catch (error) {
    say(`demo: ${reasonOf(error)}`)
    return 1
  }
  try {
    const apiUrl = await mesh.ready(interrupted.signal)
    if (interrupted.signal.aborted) status = 130
    else
      status = await show(mesh, {
        ...{ name, apiUrl, forMs, paint, terminal },
        dashboardUrl: mesh.dashboardUrl,
        signal: interrupted.signal,
      })
  } catch (error) {
    say(`demo: ${reasonOf(error)}`)
  }
  say("Ending the local mesh ...")
  try {
    await mesh.end()
    say("Nothing is left of it.")
  } catch (error) {
    say(`demo: ${reasonOf(error)}; conduit dev down --name ${name} tries again`)
    status = 1
  }
  return status
}

/** What is shown, and how. */
interface Showing {
  /** Name of the local mesh. */
  readonly name: string
  /** `http://HOST:PORT` of the public API. */
  readonly apiUrl: string
  /** `http://HOST:PORT/` of the dashboard. */
  readonly dashboardUrl: string
  /** How long, in milliseconds; null for until interrupted. */
  readonly forMs: number | null
  readonly paint: Paint
  /** Whether to redraw in place. */
  readonly terminal: boolean
  /** Aborted when the person wants it to end. */
  readonly signal: AbortSignal
}

async function show(mesh: DemoMesh, showing: Showing): Promise<number> {
  const { apiUrl, forMs, paint, terminal, signal } = showing
  const api = createApiClient(
    createConnectTransport({ baseUrl: apiUrl, httpVersion: "1.1", defaultTimeoutMs: API_TIMEOUT_MS }),
  )
  // Pause, count, go on: what was sent while pods were still starting is on neither side of the comparison.
  const loadBefore = await load(mesh, "pause")
  const meshBefore = await settledTotals(api)
  await load(mesh, "resume")

  const startMs = performance.now()
  const elapsedMs = () => performance.now() - startMs
  const screen = new Screen(process.stdout)
  const print = (lines: readonly string[]) => process.stdout.write(`${lines.join("\n")}\n`)
  if (!terminal) process.stderr.write(`The dashboard: ${showing.dashboardUrl}\n`)
  let told = ""
  while (!signal.aborted && (forMs === null || elapsedMs() < forMs)) {
    const left = forMs === null ? Number.POSITIVE_INFINITY : forMs - elapsedMs()
    await sleep(Math.min(left, terminal ? LIVE_INTERVAL_MS : PIPE_INTERVAL_MS), signal)
    try {
      const figures = await figuresOf(api, Math.min(LIVE_WINDOW_MS, elapsedMs()))
      if (terminal) {
        const head = `${paint.bold("Conduit demo")}  ${clock(elapsedMs())}  ${paint.dim(`last ${LIVE_WINDOW_MS / 1000} s; Ctrl-C ends`)}`
        screen.draw([head, "", ...tables(figures, paint), "", ...whatToTry(showing)])
      } else process.stderr.write(`${clock(elapsedMs())}  ${progress(figures.stat)}\n`)
      told = ""
    } catch (error) {
      const reason = `figures are not to be had at ${apiUrl}: ${reasonOf(error)}`
      if (reason !== told) process.stderr.write(`demo: ${reason}\n`)
      told = reason
    }
  }
  if (signal.aborted) {
    const last = await figuresOf(api, Math.min(elapsedMs(), TOTALS_WINDOW_MS))
    if (terminal) screen.clear()
    print([paint.bold(`The shop in the mesh, over ${clock(elapsedMs())}`), "", ...tables(last, paint)])
    return 0
  }

  const loadAfter = await load(mesh, "pause")
  const meshAfter = await settledTotals(api)
  const loadMs = loadAfter.runningMs - loadBefore.runningMs
  const last = overPeriod(await figuresOf(api, elapsedMs()), loadMs)
  if (terminal) screen.clear()
  const title = paint.bold(`The shop in the mesh, over ${(loadMs / 1000).toFixed(1)} s`)
  print([title, "", ...tables(last, paint), ""])
  const comparisons = compare(
    between(answersFromLoad(loadBefore), answersFromLoad(loadAfter)),
    between(meshBefore, meshAfter),
  )
  print([
    paint.bold("The load generator's own counts beside the mesh's"),
    "",
    ...comparisonLines(comparisons, paint),
    "",
    ...generatorLines(loadBefore, loadAfter),
  ])
  const reason = shortcoming(comparisons) ?? unmeshed(last.stat)
  if (reason === null) {
    print(["", "All traffic flowed through the mesh, and both counts agree."])
    return 0
  }
  process.stderr.write(`demo: ${reason}\n`)
  return 1
}

/**
 * Figures whose rates are over the time in which calls were sent: the window that they were asked for also holds the
 * moments in which the last calls ended and were reported.
 */
function overPeriod(figures: Figures, periodMs: number): Figures {
  for (const { http } of [...figures.stat.rows, ...figures.edges.edges])
    if (http !== undefined) http.rps = Number(http.responses) / (periodMs / 1000)
  return figures
}

/** What the generator itself saw: calls by kind, failures by reason. */
function generatorLines(before: LoadCounts, after: LoadCounts): string[] {
  return after.calls.map((call, index) => {
    const earlier = before.calls[index]
    const why = Object.entries(call.failures)
      .map(([reason, count]) => [reason, count - (earlier?.failures[reason] ?? 0)] as const)
      .filter(([, count]) => count > 0)
      .map(([reason, count]) => `${count} x ${reason}`)
    const sent = call.sent - (earlier?.sent ?? 0)
    return `  ${call.name} (${call.target}): ${sent} sent${why.length > 0 ? `, ${why.join(", ")}` : ""}`
  })
}

function tables(figures: Figures, paint: Paint): string[] {
  return [
    ...deploymentLines(figures.stat.rows, paint),
    "",
    paint.bold("Who calls whom"),
    ...edgeLines(figures.edges.edges, paint),
  ]
}

function whatToTry({ name, apiUrl, dashboardUrl, paint }: Showing): string[] {
  return [
    `${paint.bold("The dashboard:")} ${dashboardUrl}`,
    paint.dim("In another terminal:"),
    `  npx conduit stat deploy -A --mesh ${name}`,
    `  npx conduit edges deploy -n shop --mesh ${name}`,
    `  npx conduit dev ps --name ${name}`,
    paint.dim(`The public API (Connect, gRPC) is at ${apiUrl}`),
  ]
}

function progress(stat: StatResponse): string {
  const meshed = stat.rows.reduce((sum, row) => sum + row.meshedPods, 0)
  const pods = stat.rows.reduce((sum, row) => sum + row.totalPods, 0)
  const rps = stat.rows.reduce((sum, row) => sum + (row.http?.rps ?? 0), 0)
  return `${meshed}/${pods} pods meshed, ${rps.toFixed(1)} requests/s answered`
}

function unmeshed(stat: StatResponse): string | null {
  const bare = stat.rows.filter(row => row.meshedPods < row.totalPods).map(row => row.resource?.name)
  return bare.length === 0 ? null : `not every pod is meshed: ${bare.join(", ")}`
}

/** Figures of the shop's own namespaces; the control plane is no part of the show. */
async function figuresOf(api: ApiClient, windowMs: number): Promise<Figures> {
  const asked = { target: { kind: "deployment" }, windowMs: Math.max(1000, Math.round(windowMs)) }
  const [stat, edges] = await Promise.all([api.stat(asked), api.edges(asked)])
  stat.rows = stat.rows.filter(row => ours(row.resource?.namespace))
  edges.edges = edges.edges.filter(edge => ours(edge.from?.namespace) && ours(edge.to?.namespace))
  return { stat, edges }
}

function ours(namespace: string | undefined): boolean {
  return namespace === "shop" || namespace === "backend"
}

/** Totals per Deployment once all proxies have reported: the load must be paused. */
async function settledTotals(api: ApiClient): Promise<Map<string, Answers>> {
  const startMs = performance.now()
  let sinceMs = startMs
  let sum = -1
  for (;;) {
    const { stat } = await figuresOf(api, TOTALS_WINDOW_MS)
    const totals = new Map<string, Answers>()
    let now = 0
    for (const { resource, http } of stat.rows) {
      if (http === undefined) continue
      now += Number(http.responses)
      totals.set(`${resource?.namespace}/${resource?.name}`, {
        responses: Number(http.responses),
        failures: Number(http.failures),
      })
    }
    const nowMs = performance.now()
    if (now !== sum) sinceMs = nowMs
    sum = now
    if (nowMs - sinceMs >= SETTLED_MS || nowMs - startMs >= SETTLING_LIMIT_MS) return totals
    await Bun.sleep(250)
  }
}

/** Pauses or resumes the load generator; gives its counts. A pause ends when the last call has. */
async function load(mesh: DemoMesh, what: "pause" | "resume"): Promise<LoadCounts> {
  const request = `console.log(await (await fetch("http://127.0.0.1:8080/${what}", { method: "POST" })).text())`
  return JSON.parse(await mesh.exec("shop", "load", ["bun", "-e", request])) as LoadCounts
}

function readArguments(): { name: string; forMs: number | null } | null {
  try {
    const { values } = parseArgs({
      options: { for: { type: "string" }, name: { type: "string" }, help: { type: "boolean", short: "h" } },
    })
    if (values.help) {
      process.stdout.write(`${USAGE}\n`)
      process.exit(0)
    }
    const amount = /^(\d+(?:\.\d+)?)(s|m)$/.exec(values.for ?? "0s")
    if (amount === null)
      throw new Error(`--for cannot be "${values.for}"; write a duration such as 20s or 2m`)
    const ms = Number(amount[1]) * (amount[2] === "m" ? 60_000 : 1000)
    if (values.for !== undefined && (ms < 1000 || ms > TOTALS_WINDOW_MS / 2))
      throw new Error("--for takes 1s to 30m")
    return { name: values.name ?? "demo", forMs: values.for === undefined ? null : ms }
  } catch (error) {
    process.stderr.write(`demo: ${reasonOf(error)}\n${USAGE}\n`)
    return null
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) return resolve()
    const timer = setTimeout(done, ms)
    signal.addEventListener("abort", done, { once: true })
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
  })
}

function clock(ms: number): string {
  const seconds = Math.round(ms / 1000)
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`
}

function reasonOf(error: unknown): string {
  if (error instanceof MeshError) return error.message
  return error instanceof Error ? error.message : String(error)
}

process.exitCode = await main()
