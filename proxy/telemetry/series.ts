// Counters, gauges and histograms: numbers with a name and labels. Recording touches numbers only.

/** Upper edges of every latency histogram's buckets, milliseconds; what lies above falls into one more bucket. */
export const LATENCY_EDGES_MS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000,
  30_000, 40_000, 50_000,
]

const BUCKETS = LATENCY_EDGES_MS.length + 1

/** What a metric is, in Prometheus' words. */
export type MetricKind = "counter" | "gauge" | "histogram"

/** A metric's name and meaning; its series differ by labels. */
export interface Metric {
  readonly name: string
  readonly kind: MetricKind
  readonly help: string
}

/** Label names and values in the order in which they are written. */
export type Labels = readonly (readonly [name: string, value: string])[]

/** A counter or gauge. */
export class Scalar {
  readonly metric: Metric
  readonly labels: Labels
  value = 0
  /** Number on the telemetry stream; belongs to the reporter. */
  reportId = 0
  /** What the telemetry stream was last told; NaN before that. */
  reported = Number.NaN

  constructor(metric: Metric, labels: Labels) {
    this.metric = metric
    this.labels = labels
  }
}

/** Latencies by bucket. */
export class Histogram {
  readonly metric: Metric
  readonly labels: Labels
  /** Observations per bucket, not summed over buckets. */
  readonly counts = new Float64Array(BUCKETS)
  /** Sum of all observations, milliseconds. */
  sum = 0
  /** Number of observations. */
  count = 0
  reportId = 0
  /** Count that the telemetry stream was last told; NaN before that. */
  reported = Number.NaN

  constructor(metric: Metric, labels: Labels) {
    this.metric = metric
    this.labels = labels
  }

  /** Takes in one latency in milliseconds; a bucket includes its upper edge. */
  observe(valueMs: number): void {
    this.count++
    this.sum += valueMs
    let low = 0
    let high = BUCKETS - 1
    while (low < high) {
      const middle = (low + high) >> 1
      // middle < high <= number of edges
      if (LATENCY_EDGES_MS[middle]! < valueMs) low = middle + 1
      else high = middle
    }
    // low < BUCKETS
    this.counts[low]!++
  }
}

/** Anything that has a value under a name. */
export type Series = Scalar | Histogram

/**
 * Series that come and go together: those of one peer, authority and route. A group without change for ten minutes
 * is dropped as a whole, unless something is still running in it.
 */
export class SeriesGroup {
  /** Labels, rendered: what tells groups of one kind apart. */
  readonly key: string
  readonly series: Series[] = []
  /** Out of the registry: whoever caches the group looks it up anew. */
  dropped = false
  /** Requests or connections that will still write here. */
  running = 0
  /** Reading of the clock at the first sweep that saw no change. */
  idleSinceMs = Number.NaN
  /** Sum over all series at the last sweep. */
  swept = Number.NaN

  constructor(key: string) {
    this.key = key
  }
}
