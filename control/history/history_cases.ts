// Traffic with known counts, and what any history must say of it: one table for memory, file and Prometheus.
import { create } from "@bufbuild/protobuf"
import { telemetryQueryV1, telemetryV1 } from "../../protos/mod.ts"
import {
  addSums,
  BUCKETS,
  EDGES_MS,
  emptySums,
  type FigureHistory,
  type HistoryQuestion,
  type HistoryRow,
  type PodFilter,
  quantile,
  type WindowSums,
} from "../telemetry/mod.ts"

/** Begin of all cases, milliseconds since 1970: a whole ten minutes. */
export const BEGIN_MS = 1_750_000_200_000
/** How long their traffic is watched. */
export const LENGTH_MS = 50 * 60_000

const { INBOUND, OUTBOUND } = telemetryQueryV1.Direction
const SECOND = 1000
const MINUTE = 60 * SECOND

/** What ends within one second. */
export interface Second {
  readonly successes?: number
  readonly failures?: number
  /** Responses by bucket of EDGES_MS; they sum up to the successes and failures. */
  readonly latency?: readonly (readonly [bucket: number, count: number])[]
  readonly readBytes?: number
  readonly writeBytes?: number
  readonly sent?: number
  readonly begun?: number
}

/** Traffic of a process towards one peer. */
export interface Flow {
  readonly labels: Readonly<Record<string, string>>
  /** What ends in the second that begins at this time since BEGIN_MS; null for nothing. */
  at(timeMs: number): Second | null
}

/** A proxy's process. Times are since BEGIN_MS. */
export interface ProxyProcess {
  readonly pod: string
  readonly workload: string
  readonly namespace?: string
  readonly startedMs: number
  /** It is gone from then on; default: never. */
  readonly endsMs?: number
  readonly flows: readonly Flow[]
}

/** A case. */
export interface HistoryCase {
  readonly name: string
  readonly processes: readonly ProxyProcess[]
  /** Reports, or scrapes, within these times do not arrive. */
  readonly lost?: readonly (readonly [fromMs: number, untilMs: number])[]
  /** Every report is sent twice, the second on a stream of its own. */
  readonly doubled?: true
  /** The control plane is killed at this time, and another one begins this much later. */
  readonly restart?: readonly [atMs: number, awayMs: number]
  /** The machine's clock is set by this much at this time. */
  readonly clockStep?: readonly [atMs: number, byMs: number]
  readonly questions: readonly (Partial<HistoryQuestion> & { readonly about: string })[]
}

function inbound(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { direction: "inbound", tls: "disabled", ...more }
}

function outbound(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    direction: "outbound",
    tls: "disabled",
    dst_namespace: "shop",
    dst_service: "cart",
    dst_deployment: "cart",
    dst_pod: "cart-1",
    ...more,
  }
}

/** The same every second. */
function constant(
  second: Second,
  fromMs = 2 * MINUTE,
  untilMs = 45 * MINUTE,
): (timeMs: number) => Second | null {
  return timeMs => (timeMs >= fromMs && timeMs < untilMs ? second : null)
}

const FAST: Second = { successes: 50, latency: [[1, 50]] }
const BIMODAL: Second = {
  successes: 36,
  failures: 4,
  latency: [
    [2, 30],
    [13, 10],
  ],
}
const WHOLE = { about: "all of it at once" }
const BY_MINUTE = { about: "minute by minute", stepMs: MINUTE, points: 50 }
const BY_TEN_SECONDS = {
  about: "by ten seconds",
  fromMs: BEGIN_MS + 40 * MINUTE,
  stepMs: 10 * SECOND,
  points: 30,
}
const EACH = [WHOLE, BY_MINUTE, BY_TEN_SECONDS]

function filter(chosen: Partial<PodFilter>): PodFilter {
  return { namespace: "", workloadKind: "", workload: "", pod: "", service: "", ...chosen }
}

/** The table. */
export const HISTORY_CASES: readonly HistoryCase[] = [
  {
    name: "a constant rate is told as it was, and no traffic is nothing",
    processes: [
      { pod: "web-1", workload: "web", startedMs: 0, flows: [{ labels: inbound(), at: constant(FAST) }] },
    ],
    questions: EACH,
  },
  {
    name: "failures, and latencies with two peaks",
    processes: [
      { pod: "web-1", workload: "web", startedMs: 0, flows: [{ labels: inbound(), at: constant(BIMODAL) }] },
    ],
    questions: EACH,
  },
  {
    name: "bursts with quiet between them",
    processes: [
      {
        pod: "web-1",
        workload: "web",
        startedMs: 0,
        flows: [
          { labels: inbound(), at: timeMs => (Math.floor(timeMs / (5 * MINUTE)) % 2 === 1 ? FAST : null) },
        ],
      },
    ],
    questions: [WHOLE, BY_MINUTE],
  },
  {
    name: "bytes of connections into which nobody looks",
    processes: [
      {
        pod: "db-1",
        workload: "db",
        startedMs: 0,
        flows: [{ labels: inbound({ peer: "src" }), at: constant({ readBytes: 1000, writeBytes: 300_000 }) }],
      },
    ],
    questions: [WHOLE, BY_MINUTE],
  },
  {
    name: "a proxy that restarts counts from zero again, and nothing is lost or doubled",
    processes: [
      {
        pod: "web-1",
        workload: "web",
        startedMs: 0,
        endsMs: 20 * MINUTE,
        flows: [{ labels: inbound(), at: constant(FAST, 2 * MINUTE, 19 * MINUTE) }],
      },
      {
        pod: "web-1",
        workload: "web",
        startedMs: 21 * MINUTE,
        flows: [{ labels: inbound(), at: constant(FAST, 22 * MINUTE) }],
      },
    ],
    questions: [WHOLE, { ...BY_MINUTE, fromMs: BEGIN_MS + 25 * MINUTE, points: 25 }],
  },
  {
    name: "a rollout: pods that went and pods that came are told apart, and summed",
    processes: [
      {
        pod: "web-1",
        workload: "web",
        startedMs: 0,
        endsMs: 25 * MINUTE,
        flows: [{ labels: inbound(), at: constant(FAST, MINUTE, 24 * MINUTE) }],
      },
      {
        pod: "web-2",
        workload: "web",
        startedMs: 23 * MINUTE,
        flows: [{ labels: inbound(), at: constant(BIMODAL, 24 * MINUTE) }],
      },
    ],
    questions: [
      ...EACH,
      { ...WHOLE, about: "by pod", apart: "pod" },
      { ...WHOLE, about: "by namespace", apart: "namespace" },
    ],
  },
  {
    name: "reports that are lost lose nothing",
    processes: [
      { pod: "web-1", workload: "web", startedMs: 0, flows: [{ labels: inbound(), at: constant(BIMODAL) }] },
    ],
    lost: [
      [10 * MINUTE, 11 * MINUTE],
      [30 * MINUTE + 7000, 30 * MINUTE + 52_000],
    ],
    questions: [WHOLE],
  },
  {
    name: "reports that come twice count once",
    processes: [
      { pod: "web-1", workload: "web", startedMs: 0, flows: [{ labels: inbound(), at: constant(FAST) }] },
    ],
    doubled: true,
    questions: [WHOLE, BY_MINUTE],
  },
  {
    name: "what an old proxy counted before anybody listened is no traffic",
    processes: [
      {
        pod: "web-1",
        workload: "web",
        startedMs: -600 * MINUTE,
        flows: [
          {
            labels: inbound(),
            at: timeMs => (timeMs < -MINUTE ? { successes: 9, latency: [[3, 9]] } : constant(FAST)(timeMs)),
          },
        ],
      },
    ],
    questions: [WHOLE, BY_MINUTE],
  },
  {
    name: "a control plane that is killed and comes back loses nothing that proxies still know",
    processes: [
      { pod: "web-1", workload: "web", startedMs: 0, flows: [{ labels: inbound(), at: constant(BIMODAL) }] },
      {
        pod: "web-2",
        workload: "web",
        startedMs: 20 * MINUTE + 15_000,
        flows: [{ labels: inbound(), at: constant(FAST, 21 * MINUTE) }],
      },
      // Silent until the control plane is gone.
      {
        pod: "web-3",
        workload: "web",
        startedMs: 0,
        flows: [{ labels: inbound(), at: constant(FAST, 20 * MINUTE + 8000) }],
      },
    ],
    restart: [20 * MINUTE + 7000, 20_000],
    questions: [WHOLE, { ...BY_MINUTE, fromMs: BEGIN_MS + 25 * MINUTE, points: 25 }],
  },
  ...[-60, 60, -3].map(
    (minutes): HistoryCase => ({
      name: `the machine's clock is set by ${minutes} minutes, and the control plane restarts later`,
      processes: [
        {
          pod: "web-1",
          workload: "web",
          startedMs: 0,
          flows: [{ labels: inbound(), at: constant(BIMODAL) }],
        },
      ],
      clockStep: [15 * MINUTE + 3000, minutes * MINUTE],
      restart: [30 * MINUTE + 8000, 12_000],
      // Where the windows are then is a matter of which clock is right: that none is lost or doubled is not.
      questions: [{ about: "a day around it", fromMs: BEGIN_MS - 120 * MINUTE, stepMs: 300 * MINUTE }],
    }),
  ),
  {
    name: "who calls whom: by peer, by Service, by called workload, and of one caller only",
    processes: [
      {
        pod: "web-1",
        workload: "web",
        startedMs: 0,
        flows: [
          { labels: outbound(), at: constant(FAST) },
          { labels: outbound({ dst_pod: "cart-2" }), at: constant(FAST) },
          {
            labels: outbound({
              dst_service: "bank",
              dst_deployment: "bank",
              dst_namespace: "money",
              dst_pod: "bank-1",
            }),
            at: constant(BIMODAL),
          },
        ],
      },
      {
        pod: "batch-1",
        workload: "batch",
        startedMs: 0,
        flows: [{ labels: outbound(), at: constant(BIMODAL) }],
      },
    ],
    questions: [
      { about: "by Service", direction: OUTBOUND, apart: "service" },
      { about: "by called workload", direction: OUTBOUND, apart: "called-workload" },
      { about: "by called namespace", direction: OUTBOUND, apart: "called-namespace" },
      { about: "by peer", direction: OUTBOUND, apart: "peer" },
      {
        about: "of one caller",
        direction: OUTBOUND,
        apart: "service",
        reporters: [filter({ namespace: "shop", workloadKind: "deployment", workload: "batch" })],
      },
      {
        about: "to one Service",
        direction: OUTBOUND,
        apart: "workload",
        called: [filter({ namespace: "money", service: "bank" })],
      },
      {
        about: "of nobody",
        direction: OUTBOUND,
        apart: "workload",
        reporters: [filter({ namespace: "other" })],
      },
    ],
  },
  {
    name: "what is called by several names: by authority, and all the same as one peer",
    processes: [
      {
        pod: "web-1",
        workload: "web",
        startedMs: 0,
        flows: [
          { labels: inbound({ authority: "web" }), at: constant(FAST) },
          { labels: inbound({ authority: "web.shop:80" }), at: constant(BIMODAL, 10 * MINUTE) },
          { labels: inbound({ client_id: "a", authority: "web" }), at: constant(BIMODAL, 20 * MINUTE) },
          { labels: outbound({ authority: "cart" }), at: constant(FAST) },
          { labels: outbound({ authority: "cart.shop" }), at: constant(BIMODAL) },
          {
            labels: { direction: "outbound", tls: "no_identity", authority: "example.org" },
            at: constant(FAST),
          },
        ],
      },
    ],
    questions: [
      { about: "called by authority", apart: "authority" },
      { ...BY_MINUTE, about: "called by authority, minute by minute", apart: "authority" },
      { about: "calling by authority", direction: OUTBOUND, apart: "authority" },
      { about: "by workload", apart: "workload" },
    ],
  },
  {
    name: "routes, with what was sent",
    processes: [
      {
        pod: "web-1",
        workload: "web",
        startedMs: 0,
        flows: [
          {
            labels: { direction: "outbound", dst_service: "cart", dst_namespace: "shop", rt_route: "split" },
            at: constant({ ...BIMODAL, sent: 47, begun: 40 }),
          },
        ],
      },
    ],
    questions: [{ about: "by peer", figures: "routes", direction: OUTBOUND, apart: "peer" }],
  },
]

/** A series as a proxy has it at a time. */
export interface CountedSeries {
  readonly metric: string
  readonly labels: Readonly<Record<string, string>>
  /** One value, or one per bucket. */
  readonly values: number[]
}

/** The counters of a process, moved on second by second. */
export class Counters {
  readonly process: ProxyProcess
  readonly series: CountedSeries[] = []
  private untilMs: number

  constructor(process: ProxyProcess) {
    this.process = process
    this.untilMs = process.startedMs
  }

  /** Counts on until a time. */
  countUntil(timeMs: number): void {
    const end = Math.min(timeMs, this.process.endsMs ?? timeMs)
    for (; this.untilMs + SECOND <= end; this.untilMs += SECOND) {
      for (const flow of this.process.flows) {
        const second = flow.at(this.untilMs)
        if (second !== null) this.count(flow, second)
      }
    }
  }

  private count(
    { labels }: Flow,
    { successes = 0, failures = 0, latency = [], readBytes = 0, writeBytes = 0, sent = 0, begun = 0 }: Second,
  ): void {
    const route = labels.rt_route === undefined ? "" : "route_"
    const add = (
      metric: string,
      more: Readonly<Record<string, string>>,
      index: number,
      count: number,
    ): void => {
      if (count === 0) return
      const all = { ...labels, ...more }
      const text = JSON.stringify(all)
      let series = this.series.find(one => one.metric === metric && JSON.stringify(one.labels) === text)
      if (series === undefined) {
        series = { metric, labels: all, values: new Array(metric.endsWith("_ms") ? BUCKETS : 1).fill(0) }
        this.series.push(series)
      }
      series.values[index] = (series.values[index] ?? 0) + count
    }
    add(`${route}response_total`, { classification: "success", status_code: "200" }, 0, successes)
    add(`${route}response_total`, { classification: "failure", status_code: "500" }, 0, failures)
    for (const [bucket, count] of latency)
      add(`${route}response_latency_ms`, { status_code: "200" }, bucket, count)
    add("tcp_read_bytes_total", {}, 0, readBytes)
    add("tcp_write_bytes_total", {}, 0, writeBytes)
    add("route_actual_request_total", {}, 0, sent)
    add("route_request_total", {}, 0, begun)
  }
}

/** A report of all that a process counted. */
export function reportOf(counters: Counters): telemetryV1.ReportRequest {
  return create(telemetryV1.ReportRequestSchema, {
    series: counters.series.map(({ metric, labels }, id) => ({ id, metric, labels: { ...labels } })),
    samples: counters.series.flatMap(({ values }, seriesId) =>
      values.length === 1 ? [{ seriesId, value: values[0] ?? 0 }] : [],
    ),
    histograms: counters.series.flatMap(({ values }, seriesId) =>
      values.length === 1 ? [] : [{ seriesId, counts: values.map(BigInt), sum: 0 }],
    ),
  })
}

/** Who reports. */
export function reporterOf({
  pod,
  workload,
  namespace = "shop",
  startedMs,
}: ProxyProcess): telemetryV1.Reporter {
  return create(telemetryV1.ReporterSchema, {
    namespace,
    pod,
    workloadKind: "deployment",
    workload,
    startedAtMs: BigInt(BEGIN_MS + startedMs),
  })
}

/** A question of the table with all its fields. */
export function fullQuestion(asked: HistoryCase["questions"][number]): HistoryQuestion {
  const { about: _, ...given } = asked
  const grid = { fromMs: BEGIN_MS, stepMs: LENGTH_MS, points: 1, ...given }
  return {
    figures: "traffic",
    direction: INBOUND,
    apart: "workload",
    reporters: [],
    called: [],
    sinceMs: grid.fromMs,
    untilMs: grid.fromMs + grid.stepMs * grid.points,
    ...grid,
  }
}

/** Share by which a count may differ. */
const TOLERANCE = 0.01

/**
 * What is wrong with a history's answer; empty when nothing is. Counts may differ by a hundredth, of a point by what ends in ten
 * seconds, since reports come when they come; quantiles by a bucket.
 */
export async function wrongWith(
  history: FigureHistory,
  { processes }: HistoryCase,
  asked: HistoryCase["questions"][number],
): Promise<string[]> {
  const question = fullQuestion(asked)
  const truth = truthOf(processes, question)
  const rows = new Map((await history.read(question)).map(row => [nameOf(row), row]))
  const wrong: string[] = []
  for (const name of rows.keys()) if (!truth.has(name)) wrong.push(`there should be no row ${name}`)
  for (const [name, points] of truth) {
    const row = rows.get(name)
    if (row === undefined) {
      wrong.push(`there is no row ${name}`)
      continue
    }
    const [sum, expected] = [emptySums(), emptySums()]
    for (const [index, point] of points.entries()) {
      const told = row.points[index] ?? null
      if (told !== null) addSums(sum, told)
      if (point !== null) addSums(expected, point)
      const slack = 10 * Math.max(0, ...processes.flatMap(({ flows }) => flows.map(() => 100)))
      const [a, b] = [responses(told), responses(point)]
      if (Math.abs(a - b) > b * TOLERANCE + (question.points === 1 ? 0 : slack))
        wrong.push(`${name}, point ${index}: ${a} responses, not ${b}`)
    }
    for (const figure of ["successes", "failures", "sent", "begun", "readBytes", "writeBytes"] as const) {
      if (Math.abs(sum[figure] - expected[figure]) > expected[figure] * TOLERANCE)
        wrong.push(`${name}: ${sum[figure]} ${figure}, not ${expected[figure]}`)
    }
    for (const share of [0.5, 0.95, 0.99]) {
      const [a, b] = [quantile(sum.latency, share), quantile(expected.latency, share)]
      if (Math.abs(bucketOf(a) - bucketOf(b)) > 1) wrong.push(`${name}: p${share * 100} is ${a} ms, not ${b}`)
    }
  }
  return wrong
}

function bucketOf(latencyMs: number): number {
  const found = EDGES_MS.findIndex(edge => latencyMs <= edge)
  return found < 0 ? EDGES_MS.length : found
}

function responses(sums: WindowSums | null): number {
  return sums === null ? 0 : sums.successes + sums.failures
}

function nameOf({ reporter, key }: Pick<HistoryRow, "reporter" | "key">): string {
  const { namespace, workload, pod } = reporter
  const { dstNamespace, dstService, dstWorkload, route, clientId, authority } = key ?? {}
  return [namespace, workload, pod, dstNamespace, dstService, dstWorkload, route, clientId, authority]
    .filter(Boolean)
    .join(" ")
}

/** The counts as the generator knows them, by row and point. */
function truthOf(
  processes: readonly ProxyProcess[],
  question: HistoryQuestion,
): Map<string, (WindowSums | null)[]> {
  const rows = new Map<string, (WindowSums | null)[]>()
  for (const { flows, namespace = "shop", ...process } of processes) {
    for (const { labels, at } of flows) {
      const { dst_namespace = "", dst_service = "", dst_deployment = "", rt_route = "" } = labels
      const { authority = "", client_id = "" } = labels
      const peer = [namespace, process.workload, process.pod, dst_namespace, dst_service, dst_deployment]
      if ((question.direction === OUTBOUND) !== (labels.direction === "outbound")) continue
      if ((question.figures === "routes") !== (rt_route !== "")) continue
      const called = question.called[0]
      const by = question.reporters[0]
      if (called !== undefined && (called.namespace !== dst_namespace || called.service !== dst_service))
        continue
      if (by !== undefined && (by.namespace !== namespace || by.workload !== process.workload)) continue
      const name = {
        peer: [...peer, rt_route, client_id],
        authority: [...peer, client_id, authority],
        pod: [namespace, process.workload, process.pod],
        workload: [namespace, process.workload],
        namespace: [namespace],
        service: [dst_namespace, dst_service],
        "called-workload": [dst_namespace, dst_deployment],
        "called-namespace": [dst_namespace],
      }[question.apart]
        .filter(part => part !== "")
        .join(" ")
      const points = rows.get(name) ?? new Array<WindowSums | null>(question.points).fill(null)
      for (const index of points.keys()) {
        const from = question.fromMs + index * question.stepMs
        for (let timeMs = from; timeMs < from + question.stepMs; timeMs += SECOND) {
          const since = timeMs - BEGIN_MS
          if (since < process.startedMs || since >= (process.endsMs ?? Number.POSITIVE_INFINITY)) continue
          const second = at(since)
          if (second === null) continue
          const sums = points[index] ?? emptySums()
          points[index] = sums
          const {
            successes = 0,
            failures = 0,
            latency = [],
            readBytes = 0,
            writeBytes = 0,
            sent = 0,
            begun = 0,
          } = second
          const counted = { ...emptySums(), successes, failures, readBytes, writeBytes, sent, begun }
          for (const [bucket, count] of latency) counted.latency[bucket] = count
          addSums(sums, counted)
        }
      }
      if (points.some(point => point !== null)) rows.set(name, points)
    }
  }
  return rows
}
