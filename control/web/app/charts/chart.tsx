// Lines over time. Where nothing was measured there is no line.
import { useId, useState } from "react"
import { NONE, plain } from "../mesh/format.ts"
import type { TimeMark } from "../parts/events.tsx"

const WIDTH = 600
const HEIGHT = 140
/** A change so near to the pointer is named, in the units of WIDTH. */
const NEAR = 12

/** A line. */
export interface ChartLine {
  readonly label: string
  /** One for each time; NaN for none. */
  readonly values: readonly number[]
}

/** What is drawn. */
export interface ChartProps {
  readonly title: string
  /** Milliseconds since 1970, ascending. */
  readonly times: readonly number[]
  readonly lines: readonly ChartLine[]
  /** A value as people read it. */
  readonly unit: (value: number | undefined) => string
  /** Values are shares: the scale ends at 1, and begins where it must for the lowest to be seen. */
  readonly share?: boolean
  /** What changed, on the same axis. */
  readonly marks?: readonly TimeMark[]
}

/** A chart; the latest values stand beside its title, those of a moment where the pointer is. */
export function Chart({ title, times, lines, unit, share = false, marks = [] }: ChartProps) {
  const [at, setAt] = useState<number | null>(null)
  const id = useId()
  const shown = at === null ? times.length - 1 : Math.min(at, times.length - 1)
  const [first = 0] = times
  const last = times.at(-1) ?? first
  const all = lines.flatMap(({ values }) => values.filter(Number.isFinite))
  const highest = share ? 1 : Math.max(1e-9, ...all)
  const lowest = share ? Math.max(0, Math.min(0.9, ...all.map(value => value - 0.05))) : 0
  const place = (timeMs: number): number => ((timeMs - first) / Math.max(1, last - first)) * WIDTH
  const x = (index: number): number => place(times[index] ?? first)
  const near = at === null ? undefined : marks.find(({ timeMs }) => Math.abs(place(timeMs) - x(shown)) < NEAR)
  const y = (value: number): number => HEIGHT - 4 - ((value - lowest) / (highest - lowest)) * (HEIGHT - 12)
  return (
    <figure className="chart">
      <figcaption id={id}>
        <strong>{title}</strong>
        {lines.map(({ label, values }, index) => (
          <span key={label} className={`legend line-${index}`}>
            {lines.length > 1 && `${label} `}
            {finite(values[shown], unit)}
          </span>
        ))}
        <span className="quiet">
          {near !== undefined && `${plain(near.label)}, `}
          {at === null ? "now" : new Date(times[shown] ?? 0).toLocaleTimeString()}
        </span>
      </figcaption>
      <div className="plot">
        <span className="scale quiet" aria-hidden="true">
          {unit(highest)}
        </span>
        <span className="scale low quiet" aria-hidden="true">
          {unit(lowest)}
        </span>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          aria-hidden="true"
          onPointerMove={event => {
            const box = event.currentTarget.getBoundingClientRect()
            const at = (event.clientX - box.left) / box.width
            setAt(nearest(times, first + at * (last - first)))
          }}
          onPointerLeave={() => setAt(null)}
        >
          {[0.25, 0.5, 0.75].map(part => (
            <line key={part} className="grid" x1="0" x2={WIDTH} y1={HEIGHT * part} y2={HEIGHT * part} />
          ))}
          {marks
            .filter(({ timeMs }) => timeMs >= first && timeMs <= last)
            .map(({ timeMs, label }) => (
              <line
                key={`${timeMs} ${label}`}
                className="event"
                x1={place(timeMs)}
                x2={place(timeMs)}
                y1="0"
                y2={HEIGHT}
              />
            ))}
          {lines.map(({ label, values }, index) => (
            <path key={label} className={`line-${index}`} d={pathOf(values, x, y)} />
          ))}
          {at !== null && <line className="cursor" x1={x(shown)} x2={x(shown)} y1="0" y2={HEIGHT} />}
        </svg>
      </div>
      {times.length < 2 && <p className="quiet">The first points come in a few seconds.</p>}
    </figure>
  )
}

function finite(value: number | undefined, unit: ChartProps["unit"]): string {
  return value === undefined || Number.isNaN(value) ? NONE : unit(value)
}

function pathOf(
  values: readonly number[],
  x: (index: number) => number,
  y: (value: number) => number,
): string {
  let path = ""
  let pen = "M"
  for (const [index, value] of values.entries()) {
    if (Number.isNaN(value)) pen = "M"
    else {
      path += `${pen}${x(index).toFixed(1)} ${y(value).toFixed(1)}`
      pen = "L"
    }
  }
  return path
}

function nearest(times: readonly number[], timeMs: number): number {
  let best = 0
  for (const [index, time] of times.entries())
    if (Math.abs(time - timeMs) < Math.abs((times[best] ?? 0) - timeMs)) best = index
  return best
}
