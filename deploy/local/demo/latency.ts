// Latency quantiles of the load generator: logarithmic buckets, each 2 % wider than the one before, so that
// a quantile read from them is within 2 % of the true one, in constant memory.

/** Ratio of a bucket's upper to its lower edge. */
const BUCKET_RATIO = 1.02
/** Shortest latency told apart, in milliseconds. */
const SHORTEST_MS = 0.05

/** Latencies of one kind of call. */
export class Latencies {
  readonly #buckets: number[] = []
  #count = 0

  /** Counts one latency in milliseconds. */
  add(ms: number): void {
    const bucket = ms <= SHORTEST_MS ? 0 : Math.ceil(Math.log(ms / SHORTEST_MS) / Math.log(BUCKET_RATIO))
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1
    this.#count++
  }

  /**
   * Latency in milliseconds under which a share of the calls ended; null when there were none.
   *
   * @param share  0 to 1
   */
  quantile(share: number): number | null {
    if (this.#count === 0) return null
    let left = Math.max(1, Math.ceil(share * this.#count))
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      left -= this.#buckets[bucket] ?? 0
      if (left <= 0) return SHORTEST_MS * BUCKET_RATIO ** bucket
    }
    return null
  }
}
