// Where the time of calls goes: what callers wait for, what the workload itself takes, and what it waits for of others; each as
// the proxy beside who waits has measured it.
import type { HttpFigures } from "../../../../protos/mod.ts"
import { duration } from "../mesh/format.ts"
import type { Call } from "../mesh/mesh.ts"
import { EndName } from "../parts/name.tsx"

/** One of those who wait. */
export interface Wait {
  readonly key: string
  /** `caller`: calls of one to it; `own`: all that it answers; `called`: its calls of another. */
  readonly side: "caller" | "own" | "called"
  readonly call: Call | null
  readonly p50: number
  readonly p99: number
}

/** Most callers, and called ones, that are shown: the slowest. */
export const SHOWN_WAITS = 3

/** Who waits for how long: callers, the workload, whom it calls; empty where nothing was measured at one end at least. */
export function waitsOf(
  http: HttpFigures | undefined,
  callers: readonly Call[],
  called: readonly Call[],
): Wait[] {
  const own = waitOf("own", null, http)
  const slowest = (side: "caller" | "called", calls: readonly Call[]) =>
    calls
      .flatMap(call => waitOf(side, call, call.edge.http))
      .sort((a, b) => b.p99 - a.p99)
      .slice(0, SHOWN_WAITS)
  const others = [slowest("caller", callers), slowest("called", called)] as const
  return own.length === 0 || others.every(({ length }) => length === 0)
    ? []
    : [...others[0], ...own, ...others[1]]
}

function waitOf(side: Wait["side"], call: Call | null, http: HttpFigures | undefined): Wait[] {
  const latency = http?.latencyMs
  if (latency === undefined) return []
  const key =
    call === null ? side : `${side} ${call.fromKey} ${call.toKey} ${call.edge.clientId} ${call.edge.serverId}`
  return [{ key, side, call, p50: latency.p50, p99: latency.p99 }]
}

/** The section; nothing where there is nothing to compare. */
export function LatencySplit(props: {
  readonly http: HttpFigures | undefined
  readonly callers: readonly Call[]
  readonly called: readonly Call[]
}) {
  const waits = waitsOf(props.http, props.callers, props.called)
  if (waits.length === 0) return null
  const longest = Math.max(1e-9, ...waits.map(({ p99 }) => p99))
  return (
    <section>
      <h2>Where the time goes</h2>
      <p className="quiet">
        Dark to the median, light to p99. What callers wait longer than it takes itself passes on the way;
        what it waits for others is part of what it takes.
      </p>
      <ul className="waits">
        {waits.map(({ key, side, call, p50, p99 }) => (
          <li key={key} className={side}>
            <span>
              {side === "caller" && call !== null && (
                <>
                  <EndName workload={call.from} name={call.fromKey} /> <span className="quiet">waits</span>
                </>
              )}
              {side === "own" && <strong>it takes itself</strong>}
              {side === "called" && call !== null && (
                <>
                  <span className="quiet">waits for</span> <EndName workload={call.to} name={call.toKey} />
                </>
              )}
            </span>
            <svg viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
              <rect className="ground" width={(100 * p99) / longest} height="14" />
              <rect className="actual" width={(100 * p50) / longest} height="14" />
            </svg>
            <span className="right">
              {duration(p50)} <span className="quiet">p99</span> {duration(p99)}
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}
