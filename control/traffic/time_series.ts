// TimeSeries: traffic figures of resources over time, as charts need them. Counted by whom Stat takes them from: the resource's
// own proxies, or the callers' where only they know whom they called.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import type {
  TimePointSchema,
  TimeSeriesRequest,
  TimeSeriesResponseSchema,
  TimeSeriesSchema,
} from "../../protos/mod.ts"
import { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import {
  compareResources,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  resourcesOfPod,
  type Selection,
  select,
} from "../resources/mod.ts"
import {
  addSums,
  EDGES_MS,
  emptySums,
  HISTORY_SLOT_MS,
  MAX_LIVE_WINDOW_MS,
  MAX_SERIES_POINTS,
  MAX_WINDOW_MS,
  type PodFilter,
  quantile,
  type SeriesQuestion,
  type SeriesRow,
  type TelemetryQueries,
  type WindowSums,
} from "../telemetry/mod.ts"

/** Points of all series of an answer; some 5 MB. */
export const MAX_ANSWER_POINTS = 50_000
/** Range when none is asked for. */
const DEFAULT_RANGE_MS = 3_600_000
/** Points when no step is asked for. */
const DEFAULT_POINTS = 60
const MINUTE_MS = 60_000
/** Range up to which memory has points of less than a minute: those beyond need the history. */
const FINE_RANGE_MS = 10 * MINUTE_MS

const { INBOUND, OUTBOUND } = telemetryQueryV1.Direction

/** Kinds that proxies name themselves by. */
const NAMED_WORKLOADS: ReadonlySet<string> = new Set(["deployment", "statefulset", "daemonset"])

/** When points begin, and how long they are. */
interface Grid {
  readonly fromMs: number
  readonly stepMs: number
  readonly points: number
}

/**
 * Answers a TimeSeries request.
 *
 * @param nowMs  wall clock, milliseconds since 1970
 * @throws ConnectError for what cannot be selected, or when telemetry cannot be asked
 */
export async function timeSeries(
  store: ClusterStore,
  queries: TelemetryQueries,
  request: TimeSeriesRequest,
  nowMs: number,
): Promise<MessageInitShape<typeof TimeSeriesResponseSchema>> {
  if (request.from !== undefined && request.to !== undefined) {
    throw invalid("from and to cannot be asked together: target with one of them names both ends")
  }
  const grid = gridOf(request, nowMs)
  const target = select(store, request.target, "target")
  const from = request.from === undefined ? null : select(store, request.from, "from")
  const to = request.to === undefined ? null : select(store, request.to, "to")
  const seenByCallers = from !== null || (to === null && target.kind === "service")
  const narrowed = request.target?.name !== "" || request.target.labelSelector !== ""
  const everything = { ...ANY, namespace: request.target?.namespace ?? "" }
  const own = narrowed
    ? seenByCallers
      ? calledFilters(target)
      : countingFilters(store, target)
    : everything.namespace === ""
      ? []
      : [everything]
  const question: SeriesQuestion = {
    ...grid,
    direction: seenByCallers || to !== null ? OUTBOUND : INBOUND,
    apart: seenByCallers ? apartOfCalled(target.kind) : apartOfCounting(target.kind),
    reporters: seenByCallers ? (from === null ? [] : countingFilters(store, from)) : own,
    called: seenByCallers ? own : to === null ? [] : calledFilters(to),
  }
  const nobody = [question.reporters, question.called].some(filters => filters === NOBODY)
  const rows = nobody ? [] : await queries.series(question)
  const sums = sumsByResource(store, target, rows, grid.points)
  const busiest = [...sums.values()].sort((a, b) => b.responses - a.responses)
  const shown = busiest.slice(0, Math.max(1, Math.floor(MAX_ANSWER_POINTS / grid.points)))
  return {
    startMs: grid.fromMs,
    stepMs: grid.stepMs,
    points: grid.points,
    histogramEdgesMs: [...EDGES_MS],
    leftOut: busiest.length - shown.length,
    series: shown
      .sort((a, b) => compareResources(a.resource, b.resource))
      .map(
        ({ resource, points }): MessageInitShape<typeof TimeSeriesSchema> => ({
          resource,
          points: points.flatMap((sum, index) => (sum === null ? [] : [pointOf(sum, index, grid, nowMs)])),
        }),
      ),
  }
}

function gridOf({ rangeMs, stepMs, endMs }: TimeSeriesRequest, nowMs: number): Grid {
  const range = rangeMs === 0 ? DEFAULT_RANGE_MS : rangeMs
  if (range < HISTORY_SLOT_MS || range > MAX_WINDOW_MS) {
    throw invalid(
      `range_ms must be ${HISTORY_SLOT_MS} to ${MAX_WINDOW_MS} milliseconds, or 0 for an hour, not ${rangeMs}`,
    )
  }
  const long = range > MAX_LIVE_WINDOW_MS
  const finest = long ? MINUTE_MS : HISTORY_SLOT_MS
  const step =
    stepMs === 0 ? upTo(range / DEFAULT_POINTS, range > FINE_RANGE_MS ? MINUTE_MS : HISTORY_SLOT_MS) : stepMs
  if (step % finest !== 0) {
    const why = long ? "what is older than an hour is kept by the minute" : "figures are kept by 10 seconds"
    throw invalid(`step_ms must be a multiple of ${finest} for a range of ${range}, not ${stepMs}: ${why}`)
  }
  if (step > range) throw invalid(`step_ms must not be longer than the range of ${range}, not ${stepMs}`)
  const points = Math.ceil(range / step)
  if (points > MAX_SERIES_POINTS) {
    throw invalid(
      `a series has at most ${MAX_SERIES_POINTS} points, not ${points}: take a longer step_ms or a shorter range_ms`,
    )
  }
  if (!Number.isFinite(endMs) || endMs < 0)
    throw invalid("end_ms must be milliseconds since 1970, or 0 for now")
  const end = endMs === 0 ? nowMs : Math.min(endMs, nowMs)
  const untilMs = (step > MINUTE_MS ? Math.ceil(end / step) : Math.floor(end / step)) * step
  return { fromMs: untilMs - points * step, stepMs: step, points }
}

function upTo(ms: number, unitMs: number): number {
  return Math.max(1, Math.ceil(ms / unitMs)) * unitMs
}

/** What figures of a kind are told apart by, as its own proxies count them. */
function apartOfCounting(kind: string): SeriesQuestion["apart"] {
  if (kind === "namespace") return "namespace"
  return NAMED_WORKLOADS.has(kind) ? "workload" : "pod"
}

/** The same as callers count them. */
function apartOfCalled(kind: string): SeriesQuestion["apart"] {
  if (kind === "service") return "service"
  if (kind === "namespace") return "called-namespace"
  if (NAMED_WORKLOADS.has(kind)) return "called-workload"
  throw invalid(
    `from: what callers counted is kept over time by workload, Service and namespace, not by ${kind}; ask for one of those`,
  )
}

const ANY: PodFilter = { namespace: "", workloadKind: "", workload: "", pod: "", service: "" }
/** A selection of nothing: what nobody counted. */
const NOBODY: readonly PodFilter[] = [ANY]

/** The proxies of what is selected: by their workload's name, pods that are gone included, or by the pods that there are. */
function countingFilters(store: ClusterStore, selection: Selection): readonly PodFilter[] {
  const { kind, resources } = selection
  if (resources.size === 0) return NOBODY
  if (kind === "pod")
    return [...resources.values()].map(({ namespace, name }) => ({ ...ANY, namespace, pod: name }))
  if (kind === "namespace" || NAMED_WORKLOADS.has(kind)) return calledFilters(selection)
  const pods = [...store.pods()].filter(pod =>
    resourcesOfPod(store, pod, kind).some(resource => resources.has(resourceKey(resource))),
  )
  if (pods.length === 0) return NOBODY
  return pods.map(({ namespace, name }) => ({ ...ANY, namespace, pod: name }))
}

/** What is selected as the called end. */
function calledFilters({ kind, resources }: Selection): readonly PodFilter[] {
  if (resources.size === 0) return NOBODY
  return [...resources.values()].map(({ namespace, name }) => {
    if (kind === "namespace") return { ...ANY, namespace: name }
    if (kind === "service") return { ...ANY, namespace, service: name }
    if (NAMED_WORKLOADS.has(kind)) return { ...ANY, namespace, workloadKind: kind, workload: name }
    throw invalid(
      `what is called is kept over time by workload, Service and namespace, not by ${kind}; ask for one of those`,
    )
  })
}

interface ResourceSums {
  readonly resource: ResourceName
  readonly points: (WindowSums | null)[]
  responses: number
}

function sumsByResource(
  store: ClusterStore,
  target: Selection,
  rows: readonly SeriesRow[],
  points: number,
): Map<string, ResourceSums> {
  const found = new Map<string, ResourceSums>()
  for (const row of rows) {
    const resources =
      row.service === ""
        ? resourcesOfName(store, row.who, target.kind)
        : [{ namespace: row.who.namespace, kind: "service", name: row.service }]
    for (const resource of resources) {
      const key = resourceKey(resource)
      if (!target.resources.has(key)) continue
      const sums = found.get(key) ?? { resource, points: new Array(points).fill(null), responses: 0 }
      found.set(key, sums)
      for (const [index, point] of row.points.entries()) {
        if (point === null) continue
        const known = sums.points[index] ?? emptySums()
        sums.points[index] = known
        addSums(known, point)
        sums.responses += point.successes + point.failures
      }
    }
  }
  return found
}

function pointOf(
  { successes, failures, readBytes, writeBytes, latency }: WindowSums,
  index: number,
  { fromMs, stepMs }: Grid,
  nowMs: number,
): MessageInitShape<typeof TimePointSchema> {
  const responses = successes + failures
  const seconds = Math.max(1000, Math.min(stepMs, nowMs - (fromMs + index * stepMs))) / 1000
  const rates = {
    rps: responses / seconds,
    readBytesPerSec: readBytes / seconds,
    writeBytesPerSec: writeBytes / seconds,
  }
  if (responses === 0) return { index, ...rates }
  return {
    index,
    ...rates,
    success: successes / responses,
    p50Ms: quantile(latency, 0.5),
    p95Ms: quantile(latency, 0.95),
    p99Ms: quantile(latency, 0.99),
    responses: BigInt(responses),
    failures: BigInt(failures),
    latencyCounts: Array.from(latency, BigInt),
  }
}

function invalid(sentence: string): ConnectError {
  return new ConnectError(sentence, Code.InvalidArgument)
}
