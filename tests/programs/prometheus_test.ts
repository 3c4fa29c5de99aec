// A real Prometheus as the history of telemetry: filled with known counts as it would have scraped them from proxies, and held to
// the table that memory and file are held to. Then what is said when it cannot answer.
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import {
  BEGIN_MS,
  type CountedSeries,
  Counters,
  fullQuestion,
  HISTORY_CASES,
  type HistoryCase,
  LENGTH_MS,
  wrongWith,
} from "../../control/history/history_cases.ts"
import { PrometheusHistory } from "../../control/history/mod.ts"
import { EDGES_MS } from "../../control/telemetry/mod.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const SCRAPE_MS = 10_000
/** Time of a scrape within ten seconds. */
const PHASE_MS = 3_000

for (const one of HISTORY_CASES) {
  // Nothing restarts where Prometheus keeps the figures, and it has a clock of its own.
  if (one.restart !== undefined || one.doubled !== undefined) continue
  describe(`Prometheus: ${one.name}`, () => {
    let prometheus: RunningPrometheus
    beforeAll(async () => {
      prometheus = await RunningPrometheus.withSamples(openMetrics(one))
    }, 60_000)
    afterAll(() => prometheus?.stop())
    for (const question of one.questions) {
      test(question.about, async () => {
        const history = new PrometheusHistory(prometheus.url)
        expect(await wrongWith(history, one, question)).toEqual([])
      }, 30_000)
    }
  })
}

test("a Prometheus that cannot answer is named, with what it said", async () => {
  const question = fullQuestion({ about: "all" })
  const server = Bun.serve({ port: 0, fetch: () => new Response("no quorum\n", { status: 503 }) })
  const busy = new PrometheusHistory(`http://user:secret@127.0.0.1:${server.port}`)
  const refusal = await busy.read(question).catch(String)
  expect(refusal).toBe(`Error: Prometheus at http://127.0.0.1:${server.port} answered 503: no quorum`)
  await server.stop(true)
  expect(await busy.read(question).catch(String)).toMatch(
    /Prometheus at http:\/\/127\.0\.0\.1:\d+ could not be asked: .*; check telemetry\.prometheusUrl and that it runs/,
  )
})

/** What Prometheus would have scraped, in the text format with times. */
function openMetrics({ processes, lost = [] }: HistoryCase): string {
  const lines = new Map<string, string[]>()
  const add = (metric: string, labels: string, value: number, timeMs: number): void => {
    const known = lines.get(metric) ?? []
    lines.set(metric, known)
    known.push(`${metric}{${labels}} ${value} ${(BEGIN_MS + timeMs) / 1000}`)
  }
  for (const process of processes) {
    const counters = new Counters(process)
    for (let timeMs = PHASE_MS; timeMs <= LENGTH_MS; timeMs += SCRAPE_MS) {
      if (timeMs < process.startedMs || timeMs >= (process.endsMs ?? LENGTH_MS + 1)) continue
      if (lost.some(([from, until]) => timeMs >= from && timeMs < until)) continue
      counters.countUntil(timeMs)
      const target = {
        namespace: process.namespace ?? "shop",
        pod: process.pod,
        deployment: process.workload,
      }
      add("process_start_time_seconds", text(target), (BEGIN_MS + process.startedMs) / 1000, timeMs)
      for (const series of counters.series) addSeries(series, target, (...sample) => add(...sample, timeMs))
    }
  }
  return `${[...lines.values()].flat().join("\n")}\n# EOF\n`
}

function addSeries(
  { metric, labels, values }: CountedSeries,
  target: Record<string, string>,
  add: (metric: string, labels: string, value: number) => void,
): void {
  const all = { ...labels, ...target }
  if (values.length === 1) {
    add(metric, text(all), values[0] ?? 0)
    return
  }
  let below = 0
  for (const [bucket, count] of values.entries()) {
    below += count
    add(`${metric}_bucket`, text({ ...all, le: String(EDGES_MS[bucket] ?? "+Inf") }), below)
  }
}

function text(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value}"`)
    .join(",")
}

/** A Prometheus that holds given samples. */
class RunningPrometheus {
  readonly url: string
  private readonly folder: string
  private readonly child: Bun.Subprocess

  private constructor(url: string, folder: string, child: Bun.Subprocess) {
    this.url = url
    this.folder = folder
    this.child = child
  }

  static async withSamples(samples: string): Promise<RunningPrometheus> {
    const folder = tempFolder("prometheus")
    const [data, input, log] = ["data", "samples", "log"].map(name => join(folder, name)) as [
      string,
      string,
      string,
    ]
    writeFileSync(input, samples)
    const filled = Bun.spawnSync([
      "promtool",
      "tsdb",
      "create-blocks-from",
      "openmetrics",
      "--quiet",
      input,
      data,
    ])
    if (filled.exitCode !== 0) throw new Error(`promtool: ${filled.stderr}`)
    writeFileSync(join(folder, "prometheus.yml"), "scrape_configs: []\n")
    const port = await freePort()
    const child = Bun.spawn(
      [
        "prometheus",
        `--config.file=${join(folder, "prometheus.yml")}`,
        `--storage.tsdb.path=${data}`,
        "--storage.tsdb.retention.time=100y",
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdout: "ignore", stderr: Bun.file(log) },
    )
    const running = new RunningPrometheus(`http://127.0.0.1:${port}`, folder, child)
    const deadline = performance.now() + 50_000
    for (;;) {
      const ready = await fetch(`${running.url}/-/ready`).catch(() => null)
      if (ready?.ok) return running
      if (performance.now() > deadline || child.exitCode !== null) {
        const said = readFileSync(log, "utf8")
        await running.stop()
        throw new Error(`prometheus does not begin: ${said}`)
      }
      await Bun.sleep(50)
    }
  }

  async stop(): Promise<void> {
    this.child.kill("SIGKILL")
    await this.child.exited
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
}
