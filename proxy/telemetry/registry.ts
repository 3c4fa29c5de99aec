// All series of the process, bounded in number; the source for /metrics and for the reports to the control plane.
import { Histogram, type Labels, type Metric, Scalar, type Series, type SeriesGroup } from "./series.ts"

/**
 * Series kept at most, about 8 MB of memory and 12 MB of text when full: a thousand endpoints called with a few kinds
 * of answers. Beyond it new groups share one overflow group per kind.
 */
export const MAX_SERIES = 5000

/** A group without change for this long is dropped, as Linkerd does. */
export const IDLE_SERIES_MS = 600_000

/** Makes a group for a key that is not known yet. */
export type MakeGroup<G extends SeriesGroup> = (key: string) => G

/** Told of every series that goes. */
export type DropListener = (series: Series) => void

/** Keeps groups of series by key. */
export class Registry {
  /** Number of series. */
  size = 0
  private readonly groups = new Map<string, SeriesGroup>()
  private readonly limit: number
  private dropListener: DropListener | null = null

  constructor(limit: number = MAX_SERIES) {
    this.limit = limit
  }

  /** Whether a new group goes to overflow. */
  get full(): boolean {
    return this.size >= this.limit
  }

  /** The group of that key, made if it is new. Keys carry their kind, so that kinds never meet. */
  group<G extends SeriesGroup>(key: string, make: MakeGroup<G>): G {
    const known = this.groups.get(key)
    // Keys begin with the kind of the group, so what is found is a G.
    if (known !== undefined) return known as G
    const group = make(key)
    this.groups.set(key, group)
    return group
  }

  /** Whether a group of that key exists. */
  has(key: string): boolean {
    return this.groups.has(key)
  }

  /** Adds a counter or gauge to a group. */
  scalar(group: SeriesGroup, metric: Metric, labels: Labels): Scalar {
    const series = new Scalar(metric, labels)
    group.series.push(series)
    this.size++
    return series
  }

  /** Adds a histogram to a group. */
  histogram(group: SeriesGroup, metric: Metric, labels: Labels): Histogram {
    const series = new Histogram(metric, labels)
    group.series.push(series)
    this.size++
    return series
  }

  /** Every series, group by group; may be walked with pauses, in which series come and go. */
  *all(): Generator<Series> {
    for (const group of this.groups.values()) {
      for (const series of group.series) {
        if (group.dropped) break
        yield series
      }
    }
  }

  /** Every group. */
  allGroups(): IterableIterator<SeriesGroup> {
    return this.groups.values()
  }

  /** Who is told of series that go; one only, the reporter. */
  onDrop(listener: DropListener | null): void {
    this.dropListener = listener
  }

  /** Drops groups that have not changed for `IDLE_SERIES_MS`. To be called every minute or so. */
  sweep(nowMs: number): void {
    for (const group of this.groups.values()) {
      let sum = 0
      for (const series of group.series) sum += series instanceof Scalar ? series.value : series.count
      if (sum !== group.swept || group.running > 0) {
        group.swept = sum
        group.idleSinceMs = nowMs
      } else if (nowMs - group.idleSinceMs >= IDLE_SERIES_MS) {
        this.drop(group)
      }
    }
  }

  private drop(group: SeriesGroup): void {
    group.dropped = true
    this.groups.delete(group.key)
    this.size -= group.series.length
    if (this.dropListener !== null) for (const series of group.series) this.dropListener(series)
  }
}
