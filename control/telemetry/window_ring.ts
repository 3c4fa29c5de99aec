// Counts per time slot in rings of three resolutions: what one proxy counted towards one peer, for an hour.
// Memory is bounded by construction; a slot that nothing touched holds an old stamp and reads as zero.
import { BUCKETS } from "./histogram_edges.ts"

/** A resolution: slots of `slotMs`, `slots` of them. */
export interface Tier {
  readonly slotMs: number
  readonly slots: number
}

/** Fine for what people watch live, coarse for an hour; with slots to spare for those before a window and the one being filled. */
export const TIERS: readonly Tier[] = [
  { slotMs: 1_000, slots: 128 },
  { slotMs: 10_000, slots: 61 },
  { slotMs: 60_000, slots: 61 },
]

/** Longest window that can be asked. */
export const MAX_WINDOW_MS = 3_600_000
/** Shortest window that can be asked. */
export const MIN_WINDOW_MS = 1_000
/** Longest window that is answered from a tier, by tier; the fine tier keeps a few slots for stale boundaries. */
const TIER_WINDOW_MS: readonly number[] = [120_000, 600_000, MAX_WINDOW_MS]

/** The tier that answers a window best. */
export function tierOf(windowMs: number): number {
  const found = TIER_WINDOW_MS.findIndex(longest => windowMs <= longest)
  return found < 0 ? TIERS.length - 1 : found
}

/** Length of the slots that a window is answered from, milliseconds. */
export function slotMsOf(windowMs: number): number {
  return TIERS[tierOf(windowMs)]?.slotMs ?? MAX_WINDOW_MS
}

/** Offsets of a slot's counts. */
const SUCCESSES = 0
const FAILURES = 1
const SENT = 2
const LATENCY = 3
const WIDTH = LATENCY + BUCKETS
const READ_BYTES = 0
const WRITE_BYTES = 1

/** Sums over a window. */
export interface WindowSums {
  successes: number
  failures: number
  /** Requests sent to endpoints; of routes only. */
  sent: number
  readBytes: number
  writeBytes: number
  /** Per bucket of EDGES_MS. */
  readonly latency: Float64Array
}

/** Sums of nothing. */
function emptySums(): WindowSums {
  return {
    successes: 0,
    failures: 0,
    sent: 0,
    readBytes: 0,
    writeBytes: 0,
    latency: new Float64Array(BUCKETS),
  }
}

/** Slots of one tier with `width` numbers each. */
export class Slots<A extends Uint32Array | Float64Array> {
  /** Numbers of the slots that are held; 0 for none. */
  private readonly stamps: Uint32Array
  private readonly data: A
  private readonly width: number
  private readonly tier: Tier

  constructor(tier: Tier, width: number, data: A) {
    this.tier = tier
    this.width = width
    this.data = data
    this.stamps = new Uint32Array(tier.slots)
  }

  add(nowMs: number, offset: number, amount: number): void {
    const slot = Math.floor(nowMs / this.tier.slotMs)
    const index = slot % this.tier.slots
    const at = index * this.width
    if (this.stamps[index] !== slot) {
      this.stamps[index] = slot
      this.data.fill(0, at, at + this.width)
    }
    const cell = at + offset
    this.data[cell] = (this.data[cell] ?? 0) + amount
  }

  /** Calls back with the place of each filled slot from `firstSlot` to `lastSlot`. */
  each(firstSlot: number, lastSlot: number, visit: (data: A, at: number) => void): void {
    for (let slot = Math.max(firstSlot, lastSlot - this.tier.slots + 1); slot <= lastSlot; slot++) {
      const index = slot % this.tier.slots
      if (this.stamps[index] === slot) visit(this.data, index * this.width)
    }
  }
}

/** All that is kept of one proxy's traffic with one peer. */
export class WindowRing {
  private http: Slots<Uint32Array>[] | null = null
  private tcp: Slots<Float64Array>[] | null = null

  /** Adds responses. */
  addResponses(nowMs: number, failure: boolean, count: number): void {
    for (const slots of this.httpSlots()) slots.add(nowMs, failure ? FAILURES : SUCCESSES, count)
  }

  /** Adds requests that were sent to endpoints. */
  addSent(nowMs: number, count: number): void {
    for (const slots of this.httpSlots()) slots.add(nowMs, SENT, count)
  }

  /** Adds observations to a bucket of EDGES_MS. */
  addLatency(nowMs: number, bucket: number, count: number): void {
    for (const slots of this.httpSlots()) slots.add(nowMs, LATENCY + bucket, count)
  }

  /** Adds bytes. */
  addBytes(nowMs: number, written: boolean, count: number): void {
    this.tcp ??= TIERS.map(tier => new Slots(tier, 2, new Float64Array(tier.slots * 2)))
    for (const slots of this.tcp) slots.add(nowMs, written ? WRITE_BYTES : READ_BYTES, count)
  }

  /** Sums the slots of a tier from `firstSlot` to `lastSlot`, both included. */
  sum(tier: number, firstSlot: number, lastSlot: number): WindowSums {
    const sums = emptySums()
    this.http?.[tier]?.each(firstSlot, lastSlot, (data, at) => {
      sums.successes += data[at + SUCCESSES] ?? 0
      sums.failures += data[at + FAILURES] ?? 0
      sums.sent += data[at + SENT] ?? 0
      for (let bucket = 0; bucket < BUCKETS; bucket++) {
        sums.latency[bucket] = (sums.latency[bucket] ?? 0) + (data[at + LATENCY + bucket] ?? 0)
      }
    })
    this.tcp?.[tier]?.each(firstSlot, lastSlot, (data, at) => {
      sums.readBytes += data[at + READ_BYTES] ?? 0
      sums.writeBytes += data[at + WRITE_BYTES] ?? 0
    })
    return sums
  }

  private httpSlots(): Slots<Uint32Array>[] {
    this.http ??= TIERS.map(tier => new Slots(tier, WIDTH, new Uint32Array(tier.slots * WIDTH)))
    return this.http
  }
}
