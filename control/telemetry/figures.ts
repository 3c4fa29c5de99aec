// Figures of a group of traffic rows (a Deployment's pods, an edge's callers): sums, rates and quantiles.
import type { telemetryQueryV1 } from "../../protos/mod.ts"
import { BUCKETS, countAbove, quantile } from "./histogram_edges.ts"

/** HTTP figures of a group. */
export interface HttpFigures {
  readonly success: number
  readonly rps: number
  readonly responses: number
  readonly failures: number
  readonly latencyMs: { readonly p50: number; readonly p95: number; readonly p99: number }
}

/** TCP figures of a group. */
export interface TcpFigures {
  readonly open: number
  readonly readBytesPerSec: number
  readonly writeBytesPerSec: number
}

/** What is kept of a row; the query API's own message fits. */
export type TrafficRow = Pick<
  telemetryQueryV1.Traffic,
  | "successes"
  | "failures"
  | "latencyCounts"
  | "hasTcp"
  | "open"
  | "readBytes"
  | "writeBytes"
  | "fromMs"
  | "toMs"
  | "wholeWindow"
>

/**
 * Adds rows up. A rate is counts over the time that they cover: for a pod that was there all through the window
 * the time between the two reports at its ends; for one that came or went within it, the time in which any row of
 * the group was there. So a Deployment that is five seconds old shows the rate of those five seconds, and a rollout
 * neither dips nor doubles the rate of its Deployment, whose old and new pods share the window.
 */
export class FigureSum {
  private readonly rows: TrafficRow[] = []

  /** Adds a row. */
  add(row: TrafficRow): void {
    this.rows.push(row)
  }

  /** HTTP figures; null when no request ended within the window. */
  http(): HttpFigures | null {
    let successes = 0
    let failures = 0
    for (const row of this.rows) {
      successes += Number(row.successes)
      failures += Number(row.failures)
    }
    const latency = this.latency()
    const responses = successes + failures
    if (responses === 0) return null
    return {
      success: successes / responses,
      rps: perSecond(this.rows, row => Number(row.successes) + Number(row.failures)),
      responses,
      failures,
      latencyMs: { p50: quantile(latency, 0.5), p95: quantile(latency, 0.95), p99: quantile(latency, 0.99) },
    }
  }

  /** How many responses took longer than this; interpolated within buckets as the quantiles are. */
  slower(limitMs: number): number {
    return countAbove(this.latency(), limitMs)
  }

  /** TCP figures; null when no connections were reported. */
  tcp(): TcpFigures | null {
    if (!this.rows.some(row => row.hasTcp)) return null
    return {
      open: this.rows.reduce((sum, row) => sum + Number(row.open), 0),
      readBytesPerSec: perSecond(this.rows, row => row.readBytes),
      writeBytesPerSec: perSecond(this.rows, row => row.writeBytes),
    }
  }

  private latency(): Float64Array {
    const latency = new Float64Array(BUCKETS)
    for (const row of this.rows) {
      for (const [bucket, count] of row.latencyCounts.entries()) {
        if (bucket < BUCKETS) latency[bucket] = (latency[bucket] ?? 0) + Number(count)
      }
    }
    return latency
  }
}

/** Adds rows of one route up, with rates as `FigureSum` gives them. */
export class RouteSum {
  private readonly rows: telemetryQueryV1.RouteTraffic[] = []
  private readonly seen = new FigureSum()

  /** Adds a row. */
  add(row: telemetryQueryV1.RouteTraffic): void {
    this.rows.push(row)
    this.seen.add({ ...row, hasTcp: false, open: 0n, readBytes: 0, writeBytes: 0 })
  }

  /** What callers saw; null when no request ended within the window. */
  http(): HttpFigures | null {
    return this.seen.http()
  }

  /** Requests that were sent again, a second. */
  retriesRps(): number {
    return perSecond(this.rows, retriesOf)
  }

  /** What was sent to endpoints: of several attempts of one request all but the last had failed. Null as `http`. */
  actual(): { readonly success: number; readonly rps: number } | null {
    const http = this.http()
    const sent = this.rows.reduce((sum, row) => sum + Number(row.sent), 0)
    if (http === null || sent === 0) return null
    // A request is sent before it is answered: those under way at the window's end are not failures.
    const attempts = Math.max(sent, http.responses)
    return {
      success: (http.responses - http.failures) / attempts,
      rps: perSecond(this.rows, row =>
        Math.max(Number(row.sent), Number(row.successes) + Number(row.failures)),
      ),
    }
  }
}

/** How many requests of a row were sent again; 0 for a proxy that does not say how many its clients began. */
export function retriesOf({ sent, begun }: telemetryQueryV1.RouteTraffic): number {
  return begun === 0n ? 0 : Math.max(0, Number(sent - begun))
}

/** What a count covers; the query API's messages fit. */
export type Covered = Pick<telemetryQueryV1.Traffic, "fromMs" | "toMs" | "wholeWindow">

/** Adds shares of counts up, with rates as `FigureSum` gives them. */
export class ShareSum {
  private readonly rows: (Covered & { readonly share: number })[] = []

  /** Adds a share of what a row counted. */
  add({ fromMs, toMs, wholeWindow }: Covered, share: number): void {
    this.rows.push({ fromMs, toMs, wholeWindow, share })
  }

  /** A second. */
  get rps(): number {
    return perSecond(this.rows, row => row.share)
  }
}

/** Adds access records up, with rates as `FigureSum` gives them. */
export class AccessSum {
  private readonly rows: (Covered & { readonly count: bigint })[] = []

  /** Adds a record. */
  add(row: Covered & { readonly count: bigint }): void {
    this.rows.push(row)
  }

  /** Requests and connections within the window. */
  get count(): bigint {
    return this.rows.reduce((sum, row) => sum + row.count, 0n)
  }

  /** The same a second. */
  get rps(): number {
    return perSecond(this.rows, row => Number(row.count))
  }
}

function perSecond<Row extends Covered>(rows: readonly Row[], countOf: (row: Row) => number): number {
  const from = rows.reduce((least, row) => Math.min(least, row.fromMs), Number.POSITIVE_INFINITY)
  const to = rows.reduce((most, row) => Math.max(most, row.toMs), Number.NEGATIVE_INFINITY)
  let rate = 0
  for (const row of rows) {
    const coveredMs = row.wholeWindow ? row.toMs - row.fromMs : to - from
    // Less than a second cannot be told from one: reports come once a second.
    rate += (countOf(row) * 1000) / Math.max(coveredMs, 1000)
  }
  return rate
}
