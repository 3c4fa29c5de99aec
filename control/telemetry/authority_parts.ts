// Traffic with one peer told apart by authority. Nearly all peers are called by one name, which costs nothing: only a second
// one gets windows of its own, and the first has what is left of the whole.
import type { WindowRing, WindowSums } from "./window_ring.ts"

/**
 * Authorities of one proxy's peers that have windows of their own. A workload is called by a few names; a scanner invents
 * thousands, which are told as OTHER_AUTHORITY.
 */
export const MAX_AUTHORITY_PARTS = 64

/** Name of the authorities for which there is no room, as proxies have it too. */
export const OTHER_AUTHORITY = "other"

/** HTTP traffic of one peer by authority. */
export class AuthorityParts {
  /** Whose what is left is; null where nothing named one. */
  private left: string | null = null
  private readonly rings = new Map<string, WindowRing>()

  /** Number of authorities with windows of their own. */
  get size(): number {
    return this.rings.size
  }

  /**
   * The windows of an authority, beside those of the whole; null where it has what is left.
   *
   * @param make  gives windows to one that is new; null where there is no room
   */
  ringOf(authority: string, make: () => WindowRing | null): WindowRing | null {
    this.left ??= authority
    if (this.left === authority || this.left === OTHER_AUTHORITY) return this.rings.get(authority) ?? null
    const known = this.rings.get(authority) ?? make()
    // What is left is now of several.
    if (known === null) this.left = OTHER_AUTHORITY
    else this.rings.set(authority, known)
    return known
  }

  /** Each authority with what it has of the whole; bytes of connections are of what is left. */
  *of(whole: WindowRing): Generator<readonly [authority: string, sum: WindowRing["sum"]]> {
    for (const [authority, ring] of this.rings) yield [authority, ring.sum.bind(ring)]
    yield [this.left ?? "", (tier, firstSlot, lastSlot) => this.rest(whole, tier, firstSlot, lastSlot)]
  }

  private rest(whole: WindowRing, tier: number, firstSlot: number, lastSlot: number): WindowSums {
    const left = whole.sum(tier, firstSlot, lastSlot)
    for (const ring of this.rings.values()) {
      const { successes, failures, latency } = ring.sum(tier, firstSlot, lastSlot)
      left.successes -= successes
      left.failures -= failures
      for (const [bucket, count] of latency.entries())
        left.latency[bucket] = (left.latency[bucket] ?? 0) - count
    }
    return left
  }
}
