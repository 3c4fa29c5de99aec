// Figures since the page was opened: what sparklines are drawn from.
import { useSyncExternalStore } from "react"
import type { Mesh } from "./mesh.ts"

/** Points kept of each workload: five minutes at one every two seconds; memory is bounded by it. */
export const HISTORY_POINTS = 150

/** Figures of one moment; NaN where there was no traffic. */
export interface Point {
  readonly timeMs: number
  readonly rps: number
  readonly success: number
  readonly p50: number
  readonly p99: number
}

const NO_POINTS: readonly Point[] = []

/** Points by workload. */
export class History {
  private points: ReadonlyMap<string, readonly Point[]> = new Map()
  private readonly listeners = new Set<() => void>()
  private latestMs = 0

  /** Takes the figures of a moment; a workload that is gone is forgotten. */
  add({ workloads, updatedAtMs }: Mesh): void {
    if (updatedAtMs <= this.latestMs) return
    this.latestMs = updatedAtMs
    this.points = new Map(
      workloads.map(({ key, http }) => {
        const point: Point = {
          timeMs: updatedAtMs,
          rps: http?.rps ?? 0,
          success: http?.success ?? Number.NaN,
          p50: http?.latencyMs?.p50 ?? Number.NaN,
          p99: http?.latencyMs?.p99 ?? Number.NaN,
        }
        return [key, [...this.of(key).slice(1 - HISTORY_POINTS), point]]
      }),
    )
    for (const listener of this.listeners) listener()
  }

  /** Forgets all: a window of another length gives other figures. */
  clear(): void {
    this.points = new Map()
  }

  of(key: string): readonly Point[] {
    return this.points.get(key) ?? NO_POINTS
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }
}

/** The page's. */
export const history = new History()

/** Points of a workload, as they come. */
export function useHistory(key: string): readonly Point[] {
  return useSyncExternalStore(history.subscribe, () => history.of(key))
}
