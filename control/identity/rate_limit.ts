// How much is signed: token buckets, one per identity and one for all, and a queue of bounded length.
import { Refusal } from "./refusal.ts"

/** Certificates per second in total: a tenth of a core at 0.5 ms each; a mesh of 10,000 renews 0.2/s. */
export const TOTAL_PER_SECOND = 200
/** Certificates at once in total: a node's worth of pods that start together, several times over. */
export const TOTAL_BURST = 500
/** Certificates per second for one identity: many replicas share one. */
export const IDENTITY_PER_SECOND = 20
/** Certificates at once for one identity: a Deployment of that size that starts anew. */
export const IDENTITY_BURST = 200
/** Requests that are worked on at once: checks and signatures are CPU, more at once makes each slower. */
export const MAX_AT_ONCE = 16
/** Requests that wait beside those; what comes then is told to come again. */
export const MAX_WAITING = 512
/** Identities whose bucket is kept; full ones are forgotten first. */
export const MAX_BUCKETS = 20_000

interface Bucket {
  tokens: number
  atMs: number
}

/** Limits of one service. */
export class SigningLimits {
  readonly #nowMs: () => number
  readonly #total: Bucket
  readonly #byIdentity = new Map<string, Bucket>()
  readonly #waiting: (() => void)[] = []
  #active = 0

  /** @param nowMs  monotonic clock */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
    this.#total = { tokens: TOTAL_BURST, atMs: nowMs() }
  }

  /** Requests that wait now. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Identities whose bucket is kept now. */
  get kept(): number {
    return this.#byIdentity.size
  }

  /** Does a piece of work when it is its turn. @throws Refusal `queue` when too many wait */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#active >= MAX_AT_ONCE) {
      if (this.#waiting.length >= MAX_WAITING)
        throw new Refusal("queue", `${MAX_WAITING} requests wait to be signed already; try again later`)
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    } else this.#active++
    try {
      return await work()
    } finally {
      // The turn passes on, so that nobody who comes now overtakes those who wait.
      const next = this.#waiting.shift()
      if (next === undefined) this.#active--
      else next()
    }
  }

  /** Takes one certificate's worth. @throws Refusal `identity_rate` or `total_rate` */
  take(identity: string): void {
    const now = this.#nowMs()
    const own = this.#bucketOf(identity, now)
    refill(own, now, IDENTITY_PER_SECOND, IDENTITY_BURST)
    refill(this.#total, now, TOTAL_PER_SECOND, TOTAL_BURST)
    if (own.tokens < 1)
      throw new Refusal("identity_rate", `${identity} asks for too many certificates; try again later`)
    if (this.#total.tokens < 1)
      throw new Refusal("total_rate", "too many certificates are asked for in this mesh; try again later")
    own.tokens--
    this.#total.tokens--
  }

  #bucketOf(identity: string, now: number): Bucket {
    const known = this.#byIdentity.get(identity)
    if (known !== undefined) return known
    if (this.#byIdentity.size >= MAX_BUCKETS) this.#forget(now)
    const made = { tokens: IDENTITY_BURST, atMs: now }
    this.#byIdentity.set(identity, made)
    return made
  }

  #forget(now: number): void {
    for (const [identity, bucket] of this.#byIdentity) {
      refill(bucket, now, IDENTITY_PER_SECOND, IDENTITY_BURST)
      if (bucket.tokens >= IDENTITY_BURST) this.#byIdentity.delete(identity)
    }
    if (this.#byIdentity.size >= MAX_BUCKETS)
      throw new Refusal("total_rate", "too many identities ask for certificates; try again later")
  }
}

function refill(bucket: Bucket, now: number, perSecond: number, burst: number): void {
  bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.atMs) / 1000) * perSecond)
  bucket.atMs = now
}
