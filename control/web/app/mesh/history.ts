// Requests of each workload over the last minutes: what sparklines are drawn from.
import type { TimeSeriesResponse } from "../../../../protos/mod.ts"
import { keyOf, type Mesh } from "./mesh.ts"

/** Time that a point covers, milliseconds: the shortest that the API keeps. */
export const POINT_MS = 10_000
/** Points kept of each workload, five minutes; memory is bounded by it. */
export const HISTORY_POINTS = 30

const NO_POINTS: readonly number[] = []

/** Requests a second, by workload; 0 where there was no traffic. */
export class History {
  private points: ReadonlyMap<string, readonly number[]> = new Map()
  private latestMs = 0

  /** Takes the figures of a moment, once for each point; a workload that is gone is forgotten. */
  add({ workloads, updatedAtMs }: Pick<Mesh, "workloads" | "updatedAtMs">): void {
    if (updatedAtMs < this.latestMs + POINT_MS) return
    this.latestMs = updatedAtMs
    this.points = new Map(
      workloads.map(({ key, http }) => [key, [...this.of(key).slice(1 - HISTORY_POINTS), http?.rps ?? 0]]),
    )
  }

  /** Takes what was before the page was opened, of points of the same time. */
  begin({ series, points }: Pick<TimeSeriesResponse, "series" | "points">): void {
    const all = new Map(this.points)
    for (const { resource, points: measured } of series) {
      const before = new Array<number>(points).fill(0)
      for (const { index, rps } of measured) before[index] = rps
      const key = keyOf(resource)
      all.set(key, [...before, ...this.of(key)].slice(-HISTORY_POINTS))
    }
    this.points = all
  }

  /** Points of a workload, the latest last; the same array until there is another. */
  of(key: string): readonly number[] {
    return this.points.get(key) ?? NO_POINTS
  }
}

/** The page's. */
export const history = new History()
