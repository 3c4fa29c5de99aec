// The endpoints of one service port: updated in place by discovery, picked from by power of two choices.
import { type BalancingConfig, Standpoint } from "./balancing.ts"
import { type AccrualConfig, CircuitBreaker, OpenCircuits } from "./circuit_breaker.ts"
import { Endpoint, type EndpointInfo } from "./endpoint.ts"
import { EndpointGroup } from "./endpoint_group.ts"
import type { EndpointSource } from "./endpoint_source.ts"
import { FIRST_GUESS_MS } from "./peak_ewma.ts"
import { hashOfTwo } from "./rendezvous.ts"

/** Requests that an endpoint of the own zone has from this proxy before others are looked at: fewer are no overload. */
export const ZONE_OVERFLOW_PENDING = 4

/** How much more one of the own zone may cost than one elsewhere: what a way between zones costs, and some noise. */
export const ZONE_OVERFLOW_FACTOR = 4

/** Endpoints above which a proxy uses some of them only: a connection to each of thousands is more than any proxy needs. */
export const SUBSET_ABOVE = 1000

/** How many it uses then: so many that the loads of endpoints differ by a sixteenth where as many proxies call. */
export const SUBSET_ENDPOINTS = 256

/** Above every hash of 32 bits. */
const RANK_OF_USABLE = 2 ** 32
const NOWHERE = new Standpoint("")

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
  private readonly random: () => number
  private readonly standpoint: Standpoint
  private accrual: AccrualConfig | null = null
  private balancing: BalancingConfig | null = null
  private readonly circuits = new OpenCircuits()
  /** Those with a weight above 0. */
  private readonly all: EndpointGroup
  /** Those for the own node or the zone `nearZone`, where that matters, and the others. */
  private readonly near: EndpointGroup
  private readonly far: EndpointGroup
  private nearZone = ""
  /** Made when a session first asks. */
  private bySession: Map<string, Endpoint> | null = null

  /**
   * @param random  uniform, 0 to 1
   * @param standpoint  where the proxy stands
   */
  constructor(random: () => number, standpoint: Standpoint = NOWHERE) {
    this.random = random
    this.standpoint = standpoint
    this.all = new EndpointGroup(random, this.circuits)
    this.near = new EndpointGroup(random, this.circuits)
    this.far = new EndpointGroup(random, this.circuits)
  }

  /** An empty set that draws as this one does. */
  sibling(): EndpointSet {
    return new EndpointSet(this.random, this.standpoint)
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

  /** Chooses so from now on, or (null) by load alone. */
  setBalancing(balancing: BalancingConfig | null): void {
    if (JSON.stringify(balancing) === JSON.stringify(this.balancing)) return
    this.balancing = balancing
    this.regroup()
  }

  private breakerOf(): CircuitBreaker | null {
    return this.accrual === null ? null : new CircuitBreaker(this.accrual, false, this.circuits)
  }

  /** Drops everything. */
  clear(): void {
    this.replace([], 0)
  }

  pick(tried: readonly Endpoint[], nowMs: number): Endpoint | null {
    return this.balancing === null
      ? this.all.pick(tried, nowMs)
      : this.pickBalanced(this.balancing, tried, nowMs)
  }

  /** Whether an endpoint of the set is to rest. */
  isAside(endpoint: Endpoint, nowMs: number): boolean {
    return this.all.isAside(endpoint, nowMs)
  }

  /** Endpoint of a session, by `sessionOf`; null for none that is there. */
  ofSession(session: string): Endpoint | null {
    if (this.bySession === null) {
      this.bySession = new Map()
      for (const endpoint of this.byKey.values())
        if (endpoint.info.weight > 0) this.bySession.set(sessionOf(endpoint), endpoint)
    }
    return this.bySession.get(session) ?? null
  }

  private pickBalanced(
    { preferZone, byClient }: BalancingConfig,
    tried: readonly Endpoint[],
    nowMs: number,
  ): Endpoint | null {
    if (byClient) return this.pickByHash(this.standpoint.key, tried, nowMs)
    if (!preferZone) return this.all.pick(tried, nowMs)
    if (this.standpoint.zone !== this.nearZone) this.regroup()
    const near = this.near.pick(tried, nowMs)
    if (near === null) return this.all.pick(tried, nowMs)
    const isAside = this.all.isAside(near, nowMs)
    if (!isAside && near.pending < ZONE_OVERFLOW_PENDING) return near
    const far = this.far.pick(tried, nowMs)
    if (far === null || this.all.isAside(far, nowMs)) return near
    return isAside || near.cost(nowMs) > ZONE_OVERFLOW_FACTOR * far.cost(nowMs) ? far : near
  }

  /** The endpoint that a key meets; the next one, by hash too, where that is tried or rests. */
  private pickByHash(key: number, tried: readonly Endpoint[], nowMs: number): Endpoint | null {
    let best: Endpoint | null = null
    let bestRank = -1
    for (const endpoint of this.all.endpoints) {
      if (tried.includes(endpoint)) continue
      const rank = hashOfTwo(key, endpoint.hash) + (this.all.isAside(endpoint, nowMs) ? 0 : RANK_OF_USABLE)
      if (rank <= bestRank) continue
      best = endpoint
      bestRank = rank
    }
    return best
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
        // Those that are there from the begin are as warm as any.
        if (this.all.endpoints.length > 0) endpoint.joinedMs = nowMs
        this.byKey.set(key, endpoint)
        known?.remove()
      }
    }
    this.bySession = null
    this.regroup()
  }

  /** Groups what there is to draw from. */
  private regroup(): void {
    const ready = [...this.byKey.values()].filter(endpoint => endpoint.info.weight > 0)
    const { slowStartMs = 0, preferZone = false } = this.balancing ?? {}
    this.all.replace(this.used(ready), ready.length, slowStartMs)
    const { zone } = this.standpoint
    this.nearZone = zone
    const near = preferZone ? nearOf(ready, this.standpoint) : []
    this.near.replace(this.used(near), ready.length, slowStartMs)
    const isNear = new Set(near)
    const far = near.length === 0 ? [] : ready.filter(endpoint => !isNear.has(endpoint))
    this.far.replace(this.used(far), ready.length, slowStartMs)
  }

  /** Of thousands some: other proxies use others, so that together they use all. */
  private used(ready: readonly Endpoint[]): readonly Endpoint[] {
    if (ready.length <= SUBSET_ABOVE) return ready
    const { key } = this.standpoint
    return ready
      .map(endpoint => ({ endpoint, rank: hashOfTwo(key, endpoint.hash) }))
      .sort((a, b) => b.rank - a.rank)
      .slice(0, SUBSET_ENDPOINTS)
      .map(({ endpoint }) => endpoint)
  }

  /**
   * First guess for endpoints that join: as slow as the slowest that is known. With the plain guess, one that joins
   * peers of a millisecond would get nothing for half a minute.
   */
  private newcomerGuess(nowMs: number): number {
    let slowest = -1
    for (const endpoint of this.all.endpoints) {
      if (!endpoint.removed) slowest = Math.max(slowest, endpoint.latency.valueAt(nowMs))
    }
    return slowest < 0 ? FIRST_GUESS_MS : Math.min(FIRST_GUESS_MS, slowest)
  }
}

/** Those meant for a place: for its node if there are any, else for its zone. */
function nearOf(endpoints: readonly Endpoint[], { node, zone }: Standpoint): readonly Endpoint[] {
  const ofNode = node === "" ? [] : endpoints.filter(({ info }) => info.forNodes.includes(node))
  if (ofNode.length > 0 || zone === "") return ofNode
  return endpoints.filter(({ info }) =>
    info.forZones.length > 0 ? info.forZones.includes(zone) : info.zone === zone,
  )
}

/** Names an endpoint to clients that are to come back to it: says nothing of its address, and is no other pod's. */
export function sessionOf(endpoint: Endpoint): string {
  return `${endpoint.hash.toString(36)}${endpoint.secondHash.toString(36)}`
}

function keyOf(address: string, port: number): string {
  return `${address}|${port}`
}
