// The history in a Prometheus that scrapes the proxies: the questions of FigureHistory in PromQL. Names and labels are those of
// the proxies' /metrics; `namespace`, `pod` and the workload's label come from the scrape configuration (deploy/prometheus).
import {
  type Apart,
  BUCKETS,
  EDGES_MS,
  emptySums,
  type FigureHistory,
  type HistoryQuestion,
  type HistoryRow,
  HistoryRows,
  isEmpty,
  NO_TRAFFIC,
  type PodFilter,
  type PodName,
  type TrafficKey,
  type WindowSums,
} from "../telemetry/mod.ts"
import { PrometheusClient, type PrometheusSeries } from "./prometheus_client.ts"

/** Kinds that are a label of the pod that counted, and with `dst_` of the one that was called. */
const KINDS = ["deployment", "statefulset", "daemonset", "job", "cronjob", "replicaset"]
const CALLED = ["dst_namespace", "dst_service", ...KINDS.map(kind => `dst_${kind}`)]
const COUNTING = ["namespace", ...KINDS]

/** Labels that rows are told apart by. */
const PEER = [...COUNTING, "pod", "direction", ...CALLED, "tls", "client_id", "server_id", "rt_route"]
const APART_BY: Readonly<Record<Apart, readonly string[]>> = {
  peer: PEER,
  authority: [...PEER, "authority"],
  pod: [...COUNTING, "pod"],
  workload: COUNTING,
  namespace: ["namespace"],
  service: ["dst_namespace", "dst_service"],
  "called-workload": CALLED,
  "called-namespace": ["dst_namespace"],
}

/** What a figure is counted by. */
interface Counter {
  readonly metric: string
  /** Matchers beside those of the question. */
  readonly only: string
  /** Label that decides where the count goes. */
  readonly by: string | null
  add(sums: WindowSums, labels: Readonly<Record<string, string>>, count: number): void
}

const addClassified: Counter["add"] = (sums, { classification }, count) => {
  if (classification === "failure") sums.failures += count
  else sums.successes += count
}
/** Buckets of Prometheus hold all below them; `ownBuckets` takes what lies below away. */
const addBucket: Counter["add"] = (sums, { le = "" }, count) => {
  const index = EDGES_MS.indexOf(Number(le))
  const bucket = le === "+Inf" ? EDGES_MS.length : index
  if (bucket >= 0) sums.latency[bucket] = (sums.latency[bucket] ?? 0) + count
}

const TRAFFIC: readonly Counter[] = [
  { metric: "response_total", only: "", by: "classification", add: addClassified },
  { metric: "response_latency_ms_bucket", only: "", by: "le", add: addBucket },
  ...["inbound", "outbound"].flatMap((direction): Counter[] => {
    const only = `direction="${direction}",peer="${direction === "inbound" ? "src" : "dst"}"`
    return [
      {
        metric: "tcp_read_bytes_total",
        only,
        by: null,
        add: (sums, _labels, count) => {
          sums.readBytes += count
        },
      },
      {
        metric: "tcp_write_bytes_total",
        only,
        by: null,
        add: (sums, _labels, count) => {
          sums.writeBytes += count
        },
      },
    ]
  }),
]

const ROUTES: readonly Counter[] = [
  { metric: "route_response_total", only: "", by: "classification", add: addClassified },
  { metric: "route_response_latency_ms_bucket", only: "", by: "le", add: addBucket },
  {
    metric: "route_actual_request_total",
    only: "",
    by: null,
    add: (sums, _labels, count) => {
      sums.sent += count
    },
  },
  {
    metric: "route_request_total",
    only: "",
    by: null,
    add: (sums, _labels, count) => {
      sums.begun += count
    },
  },
]

/** Answers from a Prometheus. It has no access records: those are not on /metrics. */
export class PrometheusHistory implements FigureHistory {
  private readonly client: PrometheusClient

  /** @param url  as PrometheusClient takes it */
  constructor(url: string) {
    this.client = new PrometheusClient(url)
  }

  async read(question: HistoryQuestion): Promise<HistoryRow[]> {
    const rows = new HistoryRows(question)
    if (question.figures === "access") return []
    const counters = question.figures === "routes" ? ROUTES : TRAFFIC
    await Promise.all(
      counters.flatMap(counter =>
        spansOf(question).map(async ({ endMs, lengthMs, times }) => {
          const expression = growth(counter, question, lengthMs, endMs)
          const series =
            times === 1
              ? await this.client.at(expression, endMs)
              : await this.client.between(expression, endMs, endMs + (times - 1) * lengthMs, lengthMs)
          for (const one of series) addSeries(rows, counter, one, lengthMs)
        }),
      ),
    )
    const found = rows.all()
    for (const { points } of found) {
      for (const [index, sums] of points.entries()) {
        if (sums === null) continue
        ownBuckets(sums)
        if (isEmpty(sums)) points[index] = null
      }
    }
    return found.filter(row => row.points.some(point => point !== null))
  }
}

/** Times that are asked together: whole points at once, and what is cut off of the first and the last each. */
function spansOf({ fromMs, stepMs, points, sinceMs, untilMs }: HistoryQuestion): {
  readonly endMs: number
  readonly lengthMs: number
  readonly times: number
}[] {
  const begin = Math.max(fromMs, sinceMs)
  const end = Math.min(untilMs, fromMs + stepMs * points)
  if (end <= begin) return []
  const first = Math.ceil((begin - fromMs) / stepMs)
  const last = Math.floor((end - fromMs) / stepMs)
  if (first > last) return [{ endMs: end, lengthMs: end - begin, times: 1 }]
  const head = fromMs + first * stepMs - begin
  const tail = end - (fromMs + last * stepMs)
  return [
    ...(head > 0 ? [{ endMs: begin + head, lengthMs: head, times: 1 }] : []),
    ...(last > first
      ? [{ endMs: fromMs + (first + 1) * stepMs, lengthMs: stepMs, times: last - first }]
      : []),
    ...(tail > 0 ? [{ endMs: end, lengthMs: tail, times: 1 }] : []),
  ]
}

/**
 * What a counter grew by within the time before each evaluation, summed by labels.
 *
 * `increase` spreads what it saw over time that it did not see, some percent for a minute. So where no counter began anew within
 * the time, the growth is the last value less the one before the time; one that was not there yet began at zero, unless its
 * proxy is older than the first scrape of it: then the first value is the base.
 */
export function growth(
  { metric, only, by }: Pick<Counter, "metric" | "only" | "by">,
  question: HistoryQuestion,
  lengthMs: number,
  _endMs: number,
): string {
  const matchers = [
    only,
    question.direction === 0 || only.includes("direction=")
      ? ""
      : `direction="${question.direction === 2 ? "outbound" : "inbound"}"`,
    namespaces("namespace", question.reporters),
    namespaces("dst_namespace", question.called),
    // Rows of routes are kept beside those of traffic, under other names.
  ].filter(matcher => matcher !== "")
  const series = `${metric}{${matchers.join(",")}}`
  const length = `${Math.round(lengthMs / 1000)}s`
  const process = `process_start_time_seconds{${namespaces("namespace", question.reporters)}}`
  const began = `(timestamp(last_over_time(${process}[${length}])) - last_over_time(${process}[${length}]) > ${lengthMs / 1000})`
  const unseen = `(${began} unless on (namespace, pod) ${process} offset ${length})`
  const base = [
    `${series} offset ${length}`,
    `min_over_time(${series}[${length}]) and on (namespace, pod) ${unseen}`,
    `0 * last_over_time(${series}[${length}])`,
  ].join(" or ")
  const exact = `last_over_time(${series}[${length}]) - (${base}) unless resets(${series}[${length}]) > 0`
  const labels = labelsOf(question, by)
  return `sum by (${labels.join(", ")}) ((${exact}) >= 0 or increase(${series}[${length}])) > 0`
}

function labelsOf({ apart, reporters, called }: HistoryQuestion, by: string | null): string[] {
  return [
    ...new Set([
      ...APART_BY[apart],
      ...(by === null ? [] : [by]),
      // What a filter looks at is told apart too, and summed here.
      ...(reporters.length > 0 ? COUNTING : []),
      ...(reporters.some(({ pod }) => pod !== "") ? ["pod"] : []),
      ...(called.length > 0 ? CALLED : []),
    ]),
  ]
}

function namespaces(label: string, filters: readonly PodFilter[]): string {
  const names = new Set(filters.map(({ namespace }) => namespace))
  if (names.size === 0 || names.has("")) return ""
  const pattern = [...names].map(name => name.replace(/[^a-zA-Z0-9-]/g, "")).join("|")
  return `${label}=~"${pattern}"`
}

function addSeries(
  rows: HistoryRows,
  counter: Counter,
  { labels, samples }: PrometheusSeries,
  lengthMs: number,
): void {
  const row = rows.rowOf(reporterOf(labels), keyOf(labels, rows.direction))
  if (row === null) return
  for (const [timeMs, value] of samples) {
    const point = rows.pointAt(timeMs - lengthMs)
    if (point < 0) continue
    const sums = row.points[point] ?? emptySums()
    row.points[point] = sums
    counter.add(sums, labels, Math.round(value))
  }
}

function reporterOf(labels: Readonly<Record<string, string>>): PodName {
  const kind = KINDS.find(one => labels[one] !== undefined) ?? ""
  const { namespace = "", pod = "" } = labels
  return { namespace, pod, workloadKind: kind, workload: labels[kind] ?? "" }
}

function keyOf(labels: Readonly<Record<string, string>>, asked: TrafficKey["direction"]): TrafficKey {
  const direction =
    labels.direction === undefined ? asked : labels.direction === "outbound" ? OUTBOUND : INBOUND
  if (direction === INBOUND)
    return {
      ...NO_TRAFFIC,
      direction,
      tls: labels.tls ?? "",
      clientId: labels.client_id ?? "",
      serverId: labels.server_id ?? "",
      authority: labels.authority ?? "",
    }
  const kind = KINDS.find(one => labels[`dst_${one}`] !== undefined) ?? ""
  return {
    direction,
    dstNamespace: labels.dst_namespace ?? "",
    dstService: labels.dst_service ?? "",
    dstWorkloadKind: kind,
    dstWorkload: labels[`dst_${kind}`] ?? "",
    dstPod: "",
    tls: labels.tls ?? "",
    clientId: labels.client_id ?? "",
    serverId: labels.server_id ?? "",
    route: labels.rt_route ?? "",
    // Where authorities are not told apart, what is called outside of the cluster is one row.
    host: kind === "" && !labels.dst_service ? (labels.authority ?? "") : "",
    authority: labels.authority ?? "",
  }
}

const INBOUND: TrafficKey["direction"] = 1
const OUTBOUND: TrafficKey["direction"] = 2

/** Takes from each bucket what lies below it. */
function ownBuckets(sums: WindowSums): void {
  for (let bucket = BUCKETS - 1; bucket > 0; bucket--) {
    const below = sums.latency[bucket - 1] ?? 0
    sums.latency[bucket] = Math.max(0, (sums.latency[bucket] ?? 0) - below)
  }
}
