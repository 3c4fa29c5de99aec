// How long answers took, over time: each column a moment, each row a range of latencies, the darker the more answers.
import { useId, useState } from "react"
import type { TimeSeriesResponse } from "../../../../protos/mod.ts"
import { count, duration } from "../mesh/format.ts"
import type { TimeMark } from "../parts/events.tsx"

const HEIGHT = 180
/** Least darkness of a field that has any answer: one of a million is still seen. */
const FAINTEST = 0.12

/** Fields of the map. */
export interface Heat {
  /** Rows, from the fastest: edges of latency, milliseconds; the last one has no upper edge. */
  readonly rows: readonly { readonly fromMs: number; readonly toMs: number }[]
  readonly cells: readonly { readonly column: number; readonly row: number; readonly answers: number }[]
  readonly most: number
}

/** The map of the first series of an answer; rows beyond what was seen are left out. */
export function heatOf({ histogramEdgesMs, series }: TimeSeriesResponse): Heat {
  const points = series[0]?.points ?? []
  const counts = points.flatMap(({ index, latencyCounts }) =>
    latencyCounts.flatMap((answers, row) =>
      answers > 0n ? [{ column: index, row, answers: Number(answers) }] : [],
    ),
  )
  const rowsSeen = counts.map(({ row }) => row)
  const lowest = rowsSeen.reduce((least, row) => Math.min(least, row), histogramEdgesMs.length)
  const highest = rowsSeen.reduce((most, row) => Math.max(most, row), 0)
  const rows = Array.from({ length: Math.max(0, highest - lowest + 1) }, (_, at) => ({
    fromMs: histogramEdgesMs[lowest + at - 1] ?? 0,
    toMs: histogramEdgesMs[lowest + at] ?? Number.POSITIVE_INFINITY,
  }))
  return {
    rows,
    cells: counts.map(one => ({ ...one, row: one.row - lowest })),
    most: counts.reduce((most, { answers }) => Math.max(most, answers), 0),
  }
}

/** The map, drawn. */
export function HeatMap({
  answer,
  marks,
}: {
  readonly answer: TimeSeriesResponse
  readonly marks: readonly TimeMark[]
}) {
  const [at, setAt] = useState<number | null>(null)
  const id = useId()
  const { rows, cells, most } = heatOf(answer)
  const { points, startMs, stepMs } = answer
  const high = HEIGHT / Math.max(1, rows.length)
  const shown = at === null ? undefined : cells[at]
  const row = shown === undefined ? undefined : rows[shown.row]
  return (
    <figure className="chart heat" aria-labelledby={id}>
      <figcaption id={id}>
        <strong>Latency distribution</strong>
        <span className="quiet">
          {shown === undefined || row === undefined
            ? `each field up to ${count(most, "answer")}`
            : `${new Date(startMs + shown.column * stepMs).toLocaleTimeString()}: ${count(shown.answers, "answer")} in ` +
              rangeOf(row)}
        </span>
      </figcaption>
      <div className="heat-plot">
        <div className="heat-scale quiet" aria-hidden="true">
          <span>{duration(rows.at(-1)?.fromMs)} +</span>
          <span>{duration(rows[Math.floor(rows.length / 2)]?.fromMs)}</span>
          <span>{duration(rows[0]?.fromMs)}</span>
        </div>
        <svg
          viewBox={`0 0 ${points} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`Latencies from ${duration(rows[0]?.fromMs)} to ${duration(rows.at(-1)?.fromMs)} over time`}
          onPointerMove={({ currentTarget, clientX, clientY }) => {
            const box = currentTarget.getBoundingClientRect()
            const column = Math.floor(((clientX - box.left) / box.width) * points)
            const from = Math.floor(((box.bottom - clientY) / box.height) * rows.length)
            const found = cells.findIndex(one => one.column === column && one.row === from)
            setAt(found < 0 ? null : found)
          }}
          onPointerLeave={() => setAt(null)}
        >
          {cells.map(({ column, row, answers }) => (
            <rect
              key={`${column} ${row}`}
              x={column}
              y={HEIGHT - (row + 1) * high}
              width="1"
              height={high}
              // Roots: of a few slow answers beside thousands of fast ones something is seen.
              fillOpacity={FAINTEST + (1 - FAINTEST) * Math.sqrt(answers / most)}
            />
          ))}
          {marks
            .map(({ timeMs }) => (timeMs - startMs) / stepMs)
            .filter(x => x >= 0 && x <= points)
            .map(x => (
              <line key={x} className="event" x1={x} x2={x} y1="0" y2={HEIGHT} />
            ))}
        </svg>
      </div>
    </figure>
  )
}

function rangeOf({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }): string {
  return Number.isFinite(toMs) ? `${duration(fromMs)} to ${duration(toMs)}` : `more than ${duration(fromMs)}`
}
