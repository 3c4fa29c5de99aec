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

/** The tier whose slots are written to the history. */
export const RECORDED_TIER = 1
/** Longest window that is answered from memory; what is older is in the history. */
export const MAX_LIVE_WINDOW_MS = 3_600_000
/** Longest window that can be asked: what the history keeps. */
export const MAX_WINDOW_MS = 24 * 3_600_000
/** Shortest window that can be asked. */
export const MIN_WINDOW_MS = 1_000
/** Longest window that is answered from a tier, by tier; the fine tier keeps a few slots for stale boundaries. */
const TIER_WINDOW_MS: readonly number[] = [120_000, 600_000, MAX_LIVE_WINDOW_MS]

/** The tier that answers a window best. */
export function tierOf(windowMs: number): number {
  const found = TIER_WINDOW_MS.findIndex(longest => windowMs <= longest)
  return found < 0 ? TIERS.length - 1 : found
}

/** Length of the slots that a window is answered from, milliseconds. */
export function slotMsOf(windowMs: number): number {
  return TIERS[tierOf(windowMs)]?.slotMs ?? MAX_WINDOW_MS
}

/** When something was counted: after `fromMs` and until `toMs`; the same for what was counted just now. */
export interface Span {
  fromMs: number
  toMs: number
}

/** Offsets of a slot's counts. */
const SUCCESSES = 0
const FAILURES = 1
const SENT = 2
const BEGUN = 3
const LATENCY = 4
const WIDTH = LATENCY + BUCKETS
const READ_BYTES = 0
const WRITE_BYTES = 1

/** Sums over a window. */
export interface WindowSums {
  successes: number
  failures: number
  /** Requests sent to endpoints, of routes; requests and connections, of access records. */
  sent: number
  /** Requests that clients began, of routes. */
  begun: number
  readBytes: number
  writeBytes: number
  /** Per bucket of EDGES_MS. */
  readonly latency: Float64Array
}

/** Sums of nothing. */
export function emptySums(): WindowSums {
  return {
    successes: 0,
    failures: 0,
    sent: 0,
    begun: 0,
    readBytes: 0,
    writeBytes: 0,
    latency: new Float64Array(BUCKETS),
  }
}

/** Whether sums are of nothing. */
export function isEmpty({ successes, failures, sent, begun, readBytes, writeBytes }: WindowSums): boolean {
  return successes + failures + sent + begun + readBytes + writeBytes === 0
}

/** Adds sums to others. */
export function addSums(into: WindowSums, sums: WindowSums): void {
  into.successes += sums.successes
  into.failures += sums.failures
  into.sent += sums.sent
  into.begun += sums.begun
  into.readBytes += sums.readBytes
  into.writeBytes += sums.writeBytes
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    into.latency[bucket] = (into.latency[bucket] ?? 0) + (sums.latency[bucket] ?? 0)
  }
}

/** Slots of one tier with `width` numbers each; a number that is never counted takes no memory. */
export class Slots<A extends Uint32Array | Float64Array> {
  /** Numbers of the slots that are held; 0 for none. */
  private readonly stamps: Uint32Array
  private readonly columns: (A | undefined)[]
  private readonly tier: Tier
  private readonly make: (length: number) => A

  constructor(tier: Tier, width: number, make: (length: number) => A) {
    this.tier = tier
    this.make = make
    this.columns = new Array(width).fill(undefined)
    this.stamps = new Uint32Array(tier.slots)
  }

  /** Adds what was counted within a span, in equal parts over its time. */
  add({ fromMs, toMs }: Span, offset: number, amount: number): void {
    const { slotMs, slots } = this.tier
    const last = Math.floor(toMs / slotMs)
    const first = Math.floor(fromMs / slotMs)
    if (first >= last) {
      this.addTo(last, offset, amount)
      return
    }
    let given = 0
    for (let slot = first; slot <= last; slot++) {
      const share = Math.min(1, ((slot + 1) * slotMs - fromMs) / (toMs - fromMs))
      const until = slot === last ? amount : Math.floor(amount * share)
      if (slot > last - slots && until > given) this.addTo(slot, offset, until - given)
      given = until
    }
  }

  private addTo(slot: number, offset: number, amount: number): void {
    const index = slot % this.tier.slots
    if (this.stamps[index] !== slot) {
      this.stamps[index] = slot
      for (const column of this.columns) if (column !== undefined) column[index] = 0
    }
    let column = this.columns[offset]
    if (column === undefined) {
      column = this.make(this.tier.slots)
      this.columns[offset] = column
    }
    column[index] = (column[index] ?? 0) + amount
  }

  /** Places of the slots that hold something, from `firstSlot` to `lastSlot`, both included. */
  held(firstSlot: number, lastSlot: number): number[] {
    const { slots } = this.tier
    const places: number[] = []
    for (let slot = Math.max(firstSlot, lastSlot - slots + 1); slot <= lastSlot; slot++) {
      const index = slot % slots
      if (this.stamps[index] === slot) places.push(index)
    }
    return places
  }

  /** What a number sums up to over places. */
  sum(offset: number, places: readonly number[]): number {
    const column = this.columns[offset]
    if (column === undefined) return 0
    let sum = 0
    for (const index of places) sum += column[index] ?? 0
    return sum
  }
}

/** All that is kept of one proxy's traffic with one peer. */
export class WindowRing {
  private http: Slots<Uint32Array>[] | null = null
  private tcp: Slots<Float64Array>[] | null = null

  /** Adds responses. */
  addResponses(span: Span, failure: boolean, count: number): void {
    for (const slots of this.httpSlots()) slots.add(span, failure ? FAILURES : SUCCESSES, count)
  }

  /** Adds requests that were sent to endpoints. */
  addSent(span: Span, count: number): void {
    for (const slots of this.httpSlots()) slots.add(span, SENT, count)
  }

  /** Adds requests that clients began. */
  addBegun(span: Span, count: number): void {
    for (const slots of this.httpSlots()) slots.add(span, BEGUN, count)
  }

  /** Adds observations to a bucket of EDGES_MS. */
  addLatency(span: Span, bucket: number, count: number): void {
    for (const slots of this.httpSlots()) slots.add(span, LATENCY + bucket, count)
  }

  /** Adds bytes. */
  addBytes(span: Span, written: boolean, count: number): void {
    this.tcp ??= TIERS.map(tier => new Slots(tier, 2, length => new Float64Array(length)))
    for (const slots of this.tcp) slots.add(span, written ? WRITE_BYTES : READ_BYTES, count)
  }

  /** Sums the slots of a tier from `firstSlot` to `lastSlot`, both included. */
  sum(tier: number, firstSlot: number, lastSlot: number): WindowSums {
    const sums = emptySums()
    const http = this.http?.[tier]
    if (http !== undefined) {
      const places = http.held(firstSlot, lastSlot)
      sums.successes = http.sum(SUCCESSES, places)
      sums.failures = http.sum(FAILURES, places)
      sums.sent = http.sum(SENT, places)
      sums.begun = http.sum(BEGUN, places)
      for (let bucket = 0; bucket < BUCKETS; bucket++) {
        sums.latency[bucket] = http.sum(LATENCY + bucket, places)
      }
    }
    const tcp = this.tcp?.[tier]
    if (tcp !== undefined) {
      const places = tcp.held(firstSlot, lastSlot)
      sums.readBytes = tcp.sum(READ_BYTES, places)
      sums.writeBytes = tcp.sum(WRITE_BYTES, places)
    }
    return sums
  }

  private httpSlots(): Slots<Uint32Array>[] {
    this.http ??= TIERS.map(tier => new Slots(tier, WIDTH, length => new Uint32Array(length)))
    return this.http
  }
}
