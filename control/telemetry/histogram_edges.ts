// The latency buckets that all figures are kept in (the contract's edges), and how other buckets fit into them.

/** Upper edges in milliseconds, ascending; one more bucket lies above. */
export const EDGES_MS: readonly number[] = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10000, 20000,
  30000, 40000, 50000,
]

/** Number of buckets. */
export const BUCKETS = EDGES_MS.length + 1

/**
 * For every bucket of a proxy's own edges, the bucket of EDGES_MS that its observations are counted in: the one that
 * holds its upper edge, so that no latency is made to look better than it was.
 */
export function bucketMap(edges: readonly number[]): Uint8Array {
  const map = new Uint8Array(edges.length + 1)
  for (let index = 0; index <= edges.length; index++) {
    const edge = edges[index] ?? Number.POSITIVE_INFINITY
    const found = EDGES_MS.findIndex(own => edge <= own)
    map[index] = found < 0 ? EDGES_MS.length : found
  }
  return map
}

/**
 * The latency below which a share of observations lies, interpolated linearly within its bucket. What lies above
 * the last edge counts as that edge: a histogram does not know more.
 *
 * @param counts observations per bucket, BUCKETS of them
 * @param share 0 to 1
 */
export function quantile(counts: ArrayLike<number>, share: number): number {
  let total = 0
  for (let bucket = 0; bucket < counts.length; bucket++) total += counts[bucket] ?? 0
  let below = 0
  for (let bucket = 0; bucket < counts.length; bucket++) {
    const count = counts[bucket] ?? 0
    if (count > 0 && below + count >= share * total) {
      const low = EDGES_MS[bucket - 1] ?? 0
      const high = EDGES_MS[bucket] ?? low
      return low + (high - low) * Math.max(0, (share * total - below) / count)
    }
    below += count
  }
  return 0
}

/**
 * How many observations are above a latency, interpolated linearly within its bucket; the counterpart of `quantile`.
 *
 * @param counts observations per bucket, BUCKETS of them
 * @param limitMs up to the last edge; a histogram knows nothing of what lies above
 */
export function countAbove(counts: ArrayLike<number>, limitMs: number): number {
  let above = 0
  for (let bucket = 0; bucket < counts.length; bucket++) {
    const low = EDGES_MS[bucket - 1] ?? 0
    const high = EDGES_MS[bucket] ?? Number.POSITIVE_INFINITY
    const count = counts[bucket] ?? 0
    if (low >= limitMs) above += count
    else if (high > limitMs) above += (count * (high - limitMs)) / (high - low)
  }
  return above
}
