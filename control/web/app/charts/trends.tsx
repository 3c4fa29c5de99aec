// Figures over time, with history from before the page was opened, and what changed on the same axis.
import { useQuery } from "@connectrpc/connect-query"
import { keepPreviousData } from "@tanstack/react-query"
import { memo } from "react"
import { ApiService, type Event, type TimePoint, type TimeSeriesResponse } from "../../../../protos/mod.ts"
import { duration, percent, rate } from "../mesh/format.ts"
import { RANGES, USUAL_RANGE, useLive, usePlace, useSetPlace } from "../mesh/live.ts"
import type { Mesh, Workload } from "../mesh/mesh.ts"
import { EventList, eventsOf, marksOf, type TimeMark, useEvents } from "../parts/events.tsx"
import { Shown } from "../parts/state.tsx"
import { Chart } from "./chart.tsx"
import { HeatMap } from "./heat_map.tsx"

/** Bounds of how often charts are asked for anew, milliseconds: a point covers ten seconds at least. */
const [ANEW_MS, ANEW_AT_MOST_MS] = [10_000, 60_000]

function useTimeSeries(target: { namespace?: string; kind: string; name?: string }) {
  const { range = USUAL_RANGE } = usePlace()
  const { live } = useLive()
  // Twice within the time of a point.
  const anewMs = Math.min(ANEW_AT_MOST_MS, Math.max(ANEW_MS, (range * 1000) / 120))
  return useQuery(
    ApiService.method.timeSeries,
    { target, rangeMs: range * 1000 },
    { refetchInterval: live ? anewMs : false, placeholderData: keepPreviousData },
  )
}

/** Chooses how far back charts go. */
function RangeChoice({ title }: { readonly title: string }) {
  const { range = USUAL_RANGE } = usePlace()
  const setPlace = useSetPlace()
  return (
    <div className="section-head">
      <h2>{title}</h2>
      <label>
        <span className="hidden">Charts go back</span>
        <select
          value={range}
          onChange={({ target }) => {
            const chosen = Number(target.value)
            setPlace({ range: chosen === USUAL_RANGE ? undefined : chosen })
          }}
        >
          {RANGES.map(({ seconds, words }) => (
            <option key={seconds} value={seconds}>
              Charts: {words}
            </option>
          ))}
        </select>
      </label>
    </div>
  )
}

/** Figures of one workload over time. */
export const WorkloadTrends = memo(function WorkloadTrends({ workload }: { readonly workload: Workload }) {
  const { namespace, kind, name } = workload
  const series = useTimeSeries({ namespace, kind, name })
  const events = useEvents(namespace)
  const marks = marksOf(eventsOf(events.data?.events ?? [], workload))
  return (
    <>
      <section>
        <RangeChoice title="Over time" />
        <Shown of={series} what="figures over time">
          {answer => (
            <>
              <div className="charts three">
                <Trend answer={answer} of={answer.series[0]?.points ?? []} marks={marks} latency />
              </div>
              {(answer.series[0]?.points.length ?? 0) > 0 && <HeatMap answer={answer} marks={marks} />}
            </>
          )}
        </Shown>
      </section>
      <section>
        <h2>What changed</h2>
        <EventList of={events} pick={all => eventsOf(all, workload)} />
      </section>
    </>
  )
}, isOfSame)

/** Charts have figures of their own: those of the moment, which come each two seconds, do not draw them anew. */
function isOfSame(a: { readonly workload: Workload }, b: { readonly workload: Workload }): boolean {
  return a.workload.key === b.workload.key
}

/** Figures of all applications over time, and what changed in them. */
export const MeshTrends = memo(function MeshTrends({ namespaces }: Pick<Mesh, "namespaces">) {
  const series = useTimeSeries({ kind: "namespace" })
  const events = useEvents()
  const own = new Set(namespaces)
  const pick = (all: readonly Event[]) => all.filter(({ resource }) => own.has(resource?.namespace ?? ""))
  return (
    <>
      <section>
        <RangeChoice title="Over time" />
        <Shown of={series} what="figures over time">
          {answer => (
            <div className="charts">
              <Trend
                answer={answer}
                of={summed(answer, own)}
                marks={marksOf(pick(events.data?.events ?? []))}
              />
            </div>
          )}
        </Shown>
      </section>
      <section>
        <h2>What changed</h2>
        <EventList of={events} pick={pick} />
      </section>
    </>
  )
}, areSame)

function areSame(a: Pick<Mesh, "namespaces">, b: Pick<Mesh, "namespaces">): boolean {
  return a.namespaces.join() === b.namespaces.join()
}

type Figures = Pick<TimePoint, "index" | "rps" | "success" | "p50Ms" | "p99Ms">

/** All namespaces as one series. */
function summed({ series }: TimeSeriesResponse, own: ReadonlySet<string>): Figures[] {
  const sums = new Map<number, { index: number; rps: number; good: number }>()
  for (const { resource, points } of series) {
    if (!own.has(resource?.name ?? "")) continue
    for (const { index, rps, success = 1 } of points) {
      const sum = sums.get(index) ?? { index, rps: 0, good: 0 }
      sums.set(index, sum)
      sum.rps += rps
      sum.good += rps * success
    }
  }
  return [...sums.values()].map(({ index, rps, good }) => ({
    ...{ index, rps },
    ...(rps > 0 ? { success: good / rps } : {}),
  }))
}

function Trend({
  answer: { points, startMs, stepMs },
  of,
  marks,
  latency = false,
}: {
  readonly answer: TimeSeriesResponse
  readonly of: readonly Figures[]
  readonly marks: readonly TimeMark[]
  readonly latency?: boolean
}) {
  const at = new Map(of.map(point => [point.index, point]))
  const times = Array.from({ length: points }, (_, index) => startMs + (index + 0.5) * stepMs)
  const values = (take: (point: Figures) => number | undefined): number[] =>
    times.map((_, index) => {
      const point = at.get(index)
      return (point === undefined ? undefined : take(point)) ?? Number.NaN
    })
  const common = { times, marks }
  return (
    <>
      <Chart
        {...common}
        title="Requests"
        unit={rate}
        lines={[{ label: "requests", values: values(({ rps }) => rps) }]}
      />
      <Chart
        {...common}
        title="Success"
        unit={percent}
        share
        lines={[{ label: "success", values: values(({ success }) => success) }]}
      />
      {latency && (
        <Chart
          {...common}
          title="Latency"
          unit={duration}
          lines={[
            { label: "p99", values: values(({ p99Ms }) => p99Ms) },
            { label: "p50", values: values(({ p50Ms }) => p50Ms) },
          ]}
        />
      )}
    </>
  )
}
