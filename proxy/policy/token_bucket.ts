// A token bucket as one number (GCRA, the "generic cell rate algorithm" of ITU-T I.371): the time at which it would be
// full again. Decided on numbers, with the clock passed in.

/** How much a limit lets through. */
export interface BucketRate {
  /** Milliseconds in which one token comes. */
  readonly intervalMs: number
  /** Tokens that it holds. */
  readonly burst: number
}

/** Milliseconds until the bucket has a token; 0 where it has one. @param fullMs  when it would be full again */
export function waitMs({ intervalMs, burst }: BucketRate, fullMs: number, nowMs: number): number {
  return Math.max(0, fullMs - (burst - 1) * intervalMs - nowMs)
}

/** When the bucket would be full again, once a token is taken. */
export function afterTaking({ intervalMs }: BucketRate, fullMs: number, nowMs: number): number {
  return Math.max(fullMs, nowMs) + intervalMs
}

/** Whole tokens that it holds. */
export function tokensLeft({ intervalMs, burst }: BucketRate, fullMs: number, nowMs: number): number {
  return Math.max(0, Math.floor(burst - Math.max(0, fullMs - nowMs) / intervalMs + 1e-9))
}

/**
 * Buckets by key, bounded: those used least lately are forgotten, which is as if they were full. Two generations: what is
 * used moves into the young one, and when that is full, the old one goes.
 */
export class Buckets {
  private young = new Map<string, number>()
  private old = new Map<string, number>()
  private readonly half: number

  /** @param max  buckets kept at most */
  constructor(max: number) {
    this.half = Math.max(1, max >> 1)
  }

  /** Buckets kept. */
  get size(): number {
    return this.young.size + this.old.size
  }

  /** When a bucket would be full again; 0 for one that is. */
  get(key: string): number {
    return this.young.get(key) ?? this.old.get(key) ?? 0
  }

  /** Sets when a bucket would be full again. */
  set(key: string, fullMs: number): void {
    if (this.young.size >= this.half && !this.young.has(key)) {
      this.old = this.young
      this.young = new Map()
    }
    this.young.set(key, fullMs)
    this.old.delete(key)
  }
}
