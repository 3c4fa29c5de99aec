// The endpoints of one service port: updated in place by discovery, picked from by power of two choices.
import { type AccrualConfig, CircuitBreaker, isPanic, OpenCircuits } from "./circuit_breaker.ts"
import { Endpoint, type EndpointInfo } from "./endpoint.ts"
import type { EndpointSource } from "./endpoint_source.ts"
import { FIRST_GUESS_MS } from "./peak_ewma.ts"

/** Costs that differ by less are alike. One request more in flight doubles the cost of an idle endpoint, and decides. */
export const ALIKE_FACTOR = 2

/** One endpoint as discovery names it. */
export interface EndpointUpdate {
  /** Text form of the address. */
  readonly address: string
  readonly port: number
  readonly info: EndpointInfo
}

/** Endpoints to choose from. An endpoint that stays keeps its object, and with it load, pools and metrics. */
export class EndpointSet implements EndpointSource {
  private readonly byKey = new Map<string, Endpoint>()
  /** Those with a weight above 0, to draw from. */
  private readonly ready: Endpoint[] = []
  /** Running sums of the weights of `ready`; null while all weigh the same. */
  private cumulative: Float64Array | null = null
  private readonly random: () => number
  private accrual: AccrualConfig | null = null
  private readonly circuits = new OpenCircuits()

  /** @param random  uniform, 0 to 1 */
  constructor(random: () => number) {
    this.random = random
  }

  /** Endpoints named by discovery, drained ones included. */
  get size(): number {
    return this.byKey.size
  }

  /** All endpoints, in no order. */
  endpoints(): IterableIterator<Endpoint> {
    return this.byKey.values()
  }

  /** Makes the set exactly these. */
  replace(updates: readonly EndpointUpdate[], nowMs: number): void {
    const named = new Set<string>()
    for (const update of updates) named.add(keyOf(update.address, update.port))
    for (const [key, endpoint] of this.byKey) {
      if (!named.has(key)) {
        this.byKey.delete(key)
        endpoint.remove()
      }
    }
    this.put(updates, nowMs)
  }

  /** Applies a change: removals first, then what is new or changed. */
  update(
    removed: readonly { readonly address: string; readonly port: number }[],
    added: readonly EndpointUpdate[],
    nowMs: number,
  ): void {
    for (const { address, port } of removed) {
      const key = keyOf(address, port)
      const endpoint = this.byKey.get(key)
      if (endpoint === undefined) continue
      this.byKey.delete(key)
      endpoint.remove()
    }
    this.put(added, nowMs)
  }

  /** Leaves endpoints out after failures from now on, or (null) no more. Nothing changes if it is the same as before. */
  setAccrual(accrual: AccrualConfig | null): void {
    if (JSON.stringify(accrual) === JSON.stringify(this.accrual)) return
    this.accrual = accrual
    for (const endpoint of this.byKey.values()) {
      endpoint.breaker?.retire()
      endpoint.breaker = this.breakerOf()
    }
  }

  private breakerOf(): CircuitBreaker | null {
    return this.accrual === null ? null : new CircuitBreaker(this.accrual, false, this.circuits)
  }

  /** Drops everything. */
  clear(): void {
    this.replace([], 0)
  }

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
    if (firstUsable && secondUsable) return this.cheaper(first, second, nowMs)
    if (firstUsable) return first
    if (secondUsable) return second
    return this.walk(tried, nowMs)
  }

  /** Whether an endpoint is to rest: it could not be connected to, or its circuit is open and not most others' too. */
  private isAside(endpoint: Endpoint, nowMs: number): boolean {
    if (endpoint.asideUntilMs > nowMs) return true
    if (this.circuits.count === 0) return false
    const { breaker } = endpoint
    return breaker !== null && !breaker.admits(nowMs) && !isPanic(this.circuits.count, this.ready.length)
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
      if (best === null || (bestAside && !aside) || this.better(endpoint, best, aside, nowMs)) {
        best = endpoint
        bestAside = aside
      }
    }
    return best
  }

  /** Among those aside: whose pause ends first has failed least, or longest ago. */
  private better(a: Endpoint, b: Endpoint, aside: boolean, nowMs: number): boolean {
    return aside ? a.asideUntilMs < b.asideUntilMs : a.cost(nowMs) < b.cost(nowMs)
  }

  private put(updates: readonly EndpointUpdate[], nowMs: number): void {
    const guess = this.newcomerGuess(nowMs)
    for (const { address, port, info } of updates) {
      const key = keyOf(address, port)
      const known = this.byKey.get(key)
      // Another pod on the same address is another endpoint: nothing learnt about the old one holds. So is another
      // identity: connections that were proven to be the old one's must not serve for it.
      if (
        known !== undefined &&
        known.info.pod === info.pod &&
        known.info.namespace === info.namespace &&
        known.info.identity === info.identity
      ) {
        known.info = info
      } else {
        const endpoint = new Endpoint(address, port, info, nowMs, guess)
        endpoint.breaker = this.breakerOf()
        this.byKey.set(key, endpoint)
        known?.remove()
      }
    }
    this.ready.length = 0
    for (const endpoint of this.byKey.values()) if (endpoint.info.weight > 0) this.ready.push(endpoint)
    this.weigh()
  }

  /**
   * First guess for endpoints that join: as slow as the slowest that is known. With the plain guess, one that joins
   * peers of a millisecond would get nothing for half a minute.
   */
  private newcomerGuess(nowMs: number): number {
    let slowest = -1
    for (const endpoint of this.ready) {
      if (!endpoint.removed) slowest = Math.max(slowest, endpoint.latency.valueAt(nowMs))
    }
    return slowest < 0 ? FIRST_GUESS_MS : Math.min(FIRST_GUESS_MS, slowest)
  }

  private weigh(): void {
    const weight = this.ready[0]?.info.weight
    this.cumulative = null
    if (this.ready.every(endpoint => endpoint.info.weight === weight)) return
    let sum = 0
    this.cumulative = Float64Array.from(this.ready, endpoint => {
      sum += endpoint.info.weight
      return sum
    })
  }
}

function keyOf(address: string, port: number): string {
  return `${address}|${port}`
}
