// Simulated time: events in order of their time, and dice with a seed, so that every run can be had again.

/** Deterministic randomness (mulberry32), uniform from 0 to 1. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** A time to the next event of a Poisson process, milliseconds. */
export function exponential(meanMs: number, random: () => number): number {
  return -meanMs * Math.log(1 - random())
}

/** Events in order of time; those of one time in the order in which they were planned. */
export class SimulatedTime {
  nowMs = 0
  private readonly heap: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = []
  private order = 0

  /** Plans an event. */
  after(delayMs: number, run: () => void): void {
    const event = { atMs: this.nowMs + Math.max(0, delayMs), order: this.order++, run }
    const { heap } = this
    heap.push(event)
    let at = heap.length - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.before(at, parent)) break
      this.swap(at, parent)
      at = parent
    }
  }

  /** Runs events until a time; later ones are forgotten. */
  run(untilMs: number): void {
    for (let next = this.pop(); next !== undefined && next.atMs <= untilMs; next = this.pop()) {
      this.nowMs = next.atMs
      next.run()
    }
    this.heap.length = 0
    this.nowMs = untilMs
  }

  private pop() {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    heap[0] = last
    let at = 0
    for (;;) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && this.before(child, least)) least = child
      }
      if (least === at) return first
      this.swap(at, least)
      at = least
    }
  }

  private before(a: number, b: number): boolean {
    // Both are below the heap's length.
    const [first, second] = [this.heap[a]!, this.heap[b]!]
    return first.atMs < second.atMs || (first.atMs === second.atMs && first.order < second.order)
  }

  private swap(a: number, b: number): void {
    const [first, second] = [this.heap[a]!, this.heap[b]!]
    this.heap[a] = second
    this.heap[b] = first
  }
}

/** A percentile of some samples. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
