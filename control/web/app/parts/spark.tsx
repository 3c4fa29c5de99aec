// A line of a few points, for a row of a table; what it shows is said in words beside it.
import { memo } from "react"
import { history } from "../mesh/history.ts"

const WIDTH = 96
const HEIGHT = 24

/** Requests a second of a workload over the last minutes; drawn anew as its row is. */
export function Spark({ of }: { readonly of: string }) {
  return <Line points={history.of(of)} />
}

const Line = memo(function Line({ points }: { readonly points: readonly number[] }) {
  const top = Math.max(1e-9, ...points)
  const step = WIDTH / Math.max(1, points.length - 1)
  const line = points
    .map(
      (rps, index) => `${(index * step).toFixed(1)},${(HEIGHT - 2 - (rps / top) * (HEIGHT - 4)).toFixed(1)}`,
    )
    .join(" ")
  return (
    <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      {points.length > 1 && <polygon points={`0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} />}
      {points.length > 1 && <polyline points={line} />}
    </svg>
  )
})
