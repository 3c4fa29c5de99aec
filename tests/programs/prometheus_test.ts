// A real Prometheus as the history of telemetry: filled with known counts as it would have scraped them from proxies, and held to
// the table that memory and file are held to. Then what is said when it cannot answer.
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parse, stringify } from "yaml"
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
import { RunningPrometheus } from "./prometheus.ts"

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

const RULES = join(import.meta.dir, "../../deploy/prometheus")

test("the recording rules count what they say", () => {
  const checked = Bun.spawnSync(["promtool", "test", "rules", "recording_rules_test.yml"], { cwd: RULES })
  expect(`${checked.stdout}${checked.stderr}`).toContain("SUCCESS")
  expect(checked.exitCode).toBe(0)
})

test("the scrape configuration takes proxies and control plane, with the labels that telemetry asks by", async () => {
  const pod = { namespace: "shop", pod_name: "web-1", pod_phase: "Running" }
  const proxy = { ...pod, pod_container_name: "conduit-proxy", pod_container_port_number: "4191" }
  const targets = {
    "127.0.0.1:1": {
      ...proxy,
      pod_label_conduit_io_deployment: "web",
      pod_label_conduit_io_control_plane_ns: "conduit",
    },
    "127.0.0.1:2": { ...proxy, pod_container_port_number: "4143" },
    "127.0.0.1:3": { ...proxy, pod_phase: "Succeeded" },
    "127.0.0.1:4": {
      ...pod,
      namespace: "conduit",
      pod_container_port_number: "9990",
      pod_label_app_kubernetes_io_part_of: "conduit",
      pod_label_conduit_io_control_plane_component: "api",
    },
  }
  // Debian's Prometheus finds no pods of Kubernetes: it is told of them.
  const told = Object.entries(targets).map(([target, labels]) => ({
    targets: [target],
    labels: Object.fromEntries(
      Object.entries(labels).map(([name, text]) => [`__meta_kubernetes_${name}`, text]),
    ),
  }))
  const { scrape_configs } = parse(readFileSync(join(RULES, "prometheus.yml"), "utf8"))
  for (const job of scrape_configs) {
    expect(job.kubernetes_sd_configs).toEqual([{ role: "pod" }])
    delete job.kubernetes_sd_configs
    job.static_configs = told
  }
  const prometheus = await RunningPrometheus.withConfiguration(stringify({ scrape_configs }))
  try {
    let found: Record<string, string>[] = []
    // Prometheus looks at what it was told some five seconds after its begin.
    for (const deadline = performance.now() + 40_000; found.length < 2 && performance.now() < deadline; ) {
      await Bun.sleep(200)
      const answer = await fetch(`${prometheus.url}/api/v1/targets?state=active`)
      const { data } = (await answer.json()) as {
        data: { activeTargets: { labels: Record<string, string> }[] }
      }
      found = data.activeTargets.map(({ labels }) => labels)
    }
    const [proxies, services] = ["conduit-proxy", "conduit-control-plane"].map(job =>
      found.filter(labels => labels.job === job),
    )
    expect([proxies, services]).toEqual([
      [
        {
          job: "conduit-proxy",
          instance: "127.0.0.1:1",
          namespace: "shop",
          pod: "web-1",
          deployment: "web",
          control_plane_ns: "conduit",
        },
      ],
      [
        {
          job: "conduit-control-plane",
          instance: "127.0.0.1:4",
          namespace: "conduit",
          pod: "web-1",
          component: "api",
        },
      ],
    ])
  } finally {
    await prometheus.stop()
  }
}, 60_000)

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
