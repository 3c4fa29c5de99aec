// Endpoints to draw from by power of two choices: those of a set, or of one zone of it.
import { isPanic, type OpenCircuits } from "./circuit_breaker.ts"
import type { Endpoint } from "./endpoint.ts"

/** Costs that differ by less are alike. One request more in flight doubles the cost of an idle endpoint, and decides. */
export const ALIKE_FACTOR = 2

/** Least share of its draws that an endpoint takes while it starts slowly: it is to get warm. */
export const SLOW_START_LEAST_SHARE = 0.1

/** Draws from some endpoints of a set. */
export class EndpointGroup {
  private ready: readonly Endpoint[] = []
  /** Running sums of the weights of `ready`; null while all weigh the same. */
  private cumulative: Float64Array | null = null
  /** Endpoints of the whole set. */
  private all = 0
  private slowStartMs = 0
  private readonly random: () => number
  private readonly circuits: OpenCircuits

  /**
   * @param random  uniform, 0 to 1
   * @param circuits  of the whole set
   */
  constructor(random: () => number, circuits: OpenCircuits) {
    this.random = random
    this.circuits = circuits
  }

  /** Endpoints to draw from. */
  get endpoints(): readonly Endpoint[] {
    return this.ready
  }

  /**
   * Draws from these from now on.
   *
   * @param endpoints  with a weight above 0
   * @param all  endpoints of the whole set
   * @param slowStartMs  over which one that joined comes to its full share
   */
  replace(endpoints: readonly Endpoint[], all: number, slowStartMs: number): void {
    this.ready = endpoints
    this.all = all
    this.slowStartMs = slowStartMs
    this.cumulative = null
    const weight = endpoints[0]?.info.weight
    if (endpoints.every(endpoint => endpoint.info.weight === weight)) return
    let sum = 0
    this.cumulative = Float64Array.from(endpoints, endpoint => {
      sum += endpoint.info.weight
      return sum
    })
  }

  /** An endpoint for one more request; null when none is left. */
  pick(tried: readonly Endpoint[], nowMs: number): Endpoint | null {
    const count = this.ready.length
    if (count === 0) return null
    const i = this.draw(count)
    const j =
      this.cumulative === null && count > 1
        ? (i + 1 + ((this.random() * (count - 1)) | 0)) % count
        : this.draw(count)
    // Both indexes are below count, the length of `ready`.
    const first = this.ready[i]!
    const second = this.ready[j]!
    const firstUsable = !this.isAside(first, nowMs) && !(tried.length > 0 && tried.includes(first))
    const secondUsable = !this.isAside(second, nowMs) && !(tried.length > 0 && tried.includes(second))
    if (firstUsable && secondUsable) {
      const better = this.cheaper(first, second, nowMs)
      return this.slowStartMs === 0 ? better : this.warmer(better, better === first ? second : first, nowMs)
    }
    if (firstUsable) return first
    if (secondUsable) return second
    return this.walk(tried, nowMs)
  }

  /** Whether an endpoint is to rest: it could not be connected to, or its circuit is open and not most others' too. */
  isAside(endpoint: Endpoint, nowMs: number): boolean {
    if (endpoint.asideUntilMs > nowMs) return true
    if (this.circuits.count === 0) return false
    const { breaker } = endpoint
    return breaker !== null && !breaker.admits(nowMs) && !isPanic(this.circuits.count, this.all)
  }

  /** The one that was chosen, or, for a share of the draws while it starts slowly, the other one. */
  private warmer(chosen: Endpoint, other: Endpoint, nowMs: number): Endpoint {
    const age = nowMs - chosen.joinedMs
    if (age >= this.slowStartMs || nowMs - other.joinedMs < age) return chosen
    const share = Math.max(SLOW_START_LEAST_SHARE, age / this.slowStartMs)
    return this.random() < share ? chosen : other
  }

  /**
   * The cheaper of two. Costs within a factor of `ALIKE_FACTOR` are more noise than news, so both get a share there, the
   * cheaper one the larger: otherwise one lucky millisecond would draw all of a quiet service's requests to one pod.
   */
  private cheaper(first: Endpoint, second: Endpoint, nowMs: number): Endpoint {
    const firstCost = first.cost(nowMs)
    const secondCost = second.cost(nowMs)
    const better = secondCost < firstCost ? second : first
    const worse = better === first ? second : first
    const low = Math.min(firstCost, secondCost)
    const ratio = low > 0 ? Math.max(firstCost, secondCost) / low : 1
    if (ratio >= ALIKE_FACTOR) return better
    return this.random() * 2 * (ALIKE_FACTOR - 1) < ALIKE_FACTOR - ratio ? worse : better
  }

  /** Index of an endpoint at random, by weight where weights differ. */
  private draw(count: number): number {
    const cumulative = this.cumulative
    if (cumulative === null) return (this.random() * count) | 0
    // The last entry is the sum of all weights; `cumulative` has `count` entries.
    const point = this.random() * cumulative[count - 1]!
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      // low <= middle < high < count
      if (cumulative[middle]! <= point) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The slow way, when draws met only endpoints that are aside or tried: the cheapest of the best group. */
  private walk(tried: readonly Endpoint[], nowMs: number): Endpoint | null {
    let best: Endpoint | null = null
    let bestAside = true
    for (const endpoint of this.ready) {
      if (tried.includes(endpoint)) continue
      const aside = this.isAside(endpoint, nowMs)
      if (best !== null && aside && !bestAside) continue
      if (best === null || (bestAside && !aside) || isBetter(endpoint, best, aside, nowMs)) {
        best = endpoint
        bestAside = aside
      }
    }
    return best
  }
}

/** Among those aside: whose pause ends first has failed least, or longest ago. */
function isBetter(a: Endpoint, b: Endpoint, aside: boolean, nowMs: number): boolean {
  return aside ? a.asideUntilMs < b.asideUntilMs : a.cost(nowMs) < b.cost(nowMs)
}
