// Requests of each workload over the last minutes: what sparklines are drawn from.
import type { Mesh } from "./mesh.ts"

/** Time that a point covers, milliseconds: as much as a pixel or two of a sparkline. */
export const POINT_MS = 6000
/** Points kept of each workload, five minutes; memory is bounded by it. */
export const HISTORY_POINTS = 50

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

  /** Forgets all: a window of another length gives other figures. */
  clear(): void {
    this.points = new Map()
    this.latestMs = 0
  }

  /** Points of a workload, the latest last; the same array until there is another. */
  of(key: string): readonly number[] {
    return this.points.get(key) ?? NO_POINTS
  }
}

/** The page's. */
export const history = new History()
