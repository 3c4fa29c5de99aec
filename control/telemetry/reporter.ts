// One proxy process that reports: turns its cumulative values into counts per time slot. A repeated report, a
// reconnected stream and a restarted proxy each count what happened once, and nothing twice.
import type { telemetryV1 } from "../../protos/mod.ts"
import { type AccessBudget, AccessLedger, type AccessSeries } from "./access_ledger.ts"
import { AuthorityParts, MAX_AUTHORITY_PARTS } from "./authority_parts.ts"
import { bucketMap, EDGES_MS } from "./histogram_edges.ts"
import { type Figure, figureOf, type TrafficKey, trafficKeyOf } from "./traffic_key.ts"
import { MAX_LIVE_WINDOW_MS, RECORDED_TIER, type Span, TIERS, tierOf, WindowRing } from "./window_ring.ts"

/** Series of one proxy that are kept; its own cap is lower, this bounds what a stranger can make us keep. */
export const MAX_SERIES_PER_REPORTER = 20_000
/** Peers and routes of one proxy that are kept: one that invents them leaves room for all others. */
export const MAX_PEERS_PER_REPORTER = 2_048
/** Called pods of one proxy that are told apart; those beyond count for their workload only. */
export const MAX_DST_PODS_PER_REPORTER = 64
/**
 * A proxy that has not reported for this long had nothing new to say (only changes are sent), so its figures stand
 * until now; one that reported later than this covers the time until its report.
 */
export const QUIET_AFTER_MS = 2_500
/**
 * A proxy older than this store sends all its totals first, in several messages at once. What comes within this time
 * of its first report is that, and a base; below the shortest time between two reports (0.9 s).
 */
export const BASELINE_MS = 800
/**
 * Longest time between two reports of a proxy that has something to report (1.1 s, and what the network adds). After a
 * longer one the proxy was quiet: the time before the window held no traffic, and must not dilute what the window holds.
 */
export const LONGEST_REPORT_GAP_MS = 1_300
/** What is told apart by authority. */
const HTTP_FIGURES: ReadonlySet<Figure> = new Set(["success", "failure", "latency"])
/** How many seconds before a window a report may lie and still be the begin of what is counted. */
const BOUNDARY_SLOTS = 3

/** Traffic towards one peer. */
export interface Peer {
  readonly key: TrafficKey
  readonly ring: WindowRing
  /** What of the ring is of which authority. */
  readonly authorities: AuthorityParts
  /** Connections open now. */
  open: number
  /** Whether any connection was ever reported. */
  hasTcp: boolean
  /** Last time that a count of it grew, milliseconds since 1970. */
  activeMs: number
  /** Series that feed it and that the proxy has not dropped. */
  series: number
}

/** The part of a window that a proxy's figures cover. */
export interface Coverage {
  readonly tier: number
  readonly firstSlot: number
  readonly lastSlot: number
  readonly fromMs: number
  readonly toMs: number
  readonly wholeWindow: boolean
}

/** What an earlier process of the control plane knew of a proxy. */
export interface Resumed {
  /** What was counted until then is in the history, milliseconds since 1970. */
  readonly savedMs: number
  /** Last cumulative values by `seriesHash`: one number, or one per bucket. */
  readonly values: Map<bigint, readonly number[]>
}

/** What a series is called in `Resumed.values`. */
export function seriesHash(id: string): bigint {
  return BigInt(Bun.hash(id))
}

/** A series of a proxy, and what it counts towards. */
export interface SeriesState {
  readonly id: string
  readonly figure: Figure
  readonly peer: Peer
  /** Windows of its authority alone, beside those of the peer; null where the peer has no other. */
  readonly part: WindowRing | null
  /** Last cumulative value; for histograms per bucket, as the proxy counts them. */
  value: number
  counts: number[]
}

/** What a reporter asks of the store around it. */
export interface PeerBudget {
  /** Makes room for one more peer, or route; false when there is none. */
  take(route: boolean): boolean
  /** Gives back the room of `count` peers. */
  give(count: number): void
}

/** Keeps what outlives this process. */
export interface Journal {
  /** What an earlier process knew of a proxy, by `processKey`; null for nothing. */
  resume(key: string): Resumed | null
  /** A report is about to be taken. */
  beforeReport(reporter: Reporter, nowMs: number): void
}

/** One proxy process. */
export class Reporter {
  readonly about: telemetryV1.Reporter
  readonly peers = new Map<string, Peer>()
  readonly access: AccessLedger
  /** Streams of it that are open. */
  streams = 0
  /** Time of the last report, milliseconds since 1970; 0 before the first. */
  lastReportMs = 0
  private readonly series = new Map<string, SeriesState>()
  private readonly buckets: Uint8Array
  private readonly budget: PeerBudget
  private readonly dstPods = new Set<string>()
  /** When its certificate was renewed last, milliseconds since 1970; 0 for never since it is known. */
  renewedMs = 0
  private certificates = Number.NaN
  /** Authorities of its peers that have windows of their own. */
  private parts = 0
  /** Time of the last report in each slot of the fine tier, 0 for none. */
  private readonly reportTimes = new Float64Array(TIERS[0]?.slots ?? 0)
  /** From when on its counts are known. */
  sinceMs = 0
  /** Number of the stream whose reports count: the newest. */
  private stream = 0
  /** Whether values of series not seen before are counts from 0, or a base of what happened before our time. */
  private countsFromZero: boolean
  /** Time of the first report, milliseconds since 1970; 0 before. */
  private firstReportMs = 0
  /** When its last stream ended, milliseconds since 1970; 0 before. */
  private closedMs = 0
  private resumed: Resumed | null
  /** When the values of the report that is being taken were counted. */
  private readonly span: Span = { fromMs: 0, toMs: 0 }
  /** First slot of the recorded tier that changed since it was last recorded; infinite for none. */
  changedSlot = Number.POSITIVE_INFINITY

  /**
   * @param startedMs  when the proxy began, on the clock of the reports, milliseconds since 1970
   * @param watchedSinceMs  since when reports could have been taken, milliseconds since 1970
   * @param resumed  what is known of it from before, null for nothing
   */
  constructor(
    about: telemetryV1.Reporter,
    startedMs: number,
    watchedSinceMs: number,
    budget: PeerBudget,
    accessBudget: AccessBudget,
    resumed: Resumed | null = null,
  ) {
    this.about = about
    this.budget = budget
    this.access = new AccessLedger(accessBudget, MAX_SERIES_PER_REPORTER)
    this.buckets = bucketMap(about.histogramEdgesMs.length > 0 ? about.histogramEdgesMs : EDGES_MS)
    this.resumed = resumed
    this.countsFromZero = resumed !== null || startedMs >= watchedSinceMs
    if (this.countsFromZero) this.sinceMs = resumed?.savedMs ?? startedMs
  }

  /** Whether a stream of it is open. */
  get live(): boolean {
    return this.streams > 0
  }

  /** Counts a stream that begins; reports of older ones count no more. @returns its number */
  beginStream(): number {
    this.streams++
    return ++this.stream
  }

  /** Forgets everything. */
  close(): void {
    this.access.close()
    this.budget.give(this.peers.size + this.parts)
    this.peers.clear()
    this.series.clear()
  }

  /** Whether reports of this stream still count. */
  isCurrent(stream: number): boolean {
    return stream === this.stream
  }

  /** Ends a stream; one that was heard of lately was alive until now. */
  closeStream(nowMs: number): void {
    this.streams--
    this.closedMs = nowMs
  }

  /** When what a new stream tells first was counted: since the last one was heard of. */
  unheardSince(nowMs: number): number {
    const sinceMs = Math.max(this.lastReportMs, this.closedMs)
    return Math.min(nowMs, sinceMs > 0 ? sinceMs : this.countsFromZero ? this.sinceMs : nowMs)
  }

  /**
   * Notes that a report came, before its values are taken.
   *
   * @param countedFromMs  since when what it tells was counted
   */
  beginReport(nowMs: number, countedFromMs: number): void {
    this.span.fromMs = Math.min(countedFromMs, nowMs)
    this.span.toMs = nowMs
    this.lastReportMs = nowMs
    if (this.firstReportMs === 0) this.firstReportMs = nowMs
    if (nowMs - this.firstReportMs >= BASELINE_MS) this.countsFromZero = true
    // A proxy whose clock runs ahead of ours began no later than it reported.
    if (this.sinceMs === 0 || this.sinceMs > nowMs) this.sinceMs = nowMs
    this.reportTimes[Math.floor(nowMs / 1000) % this.reportTimes.length] = nowMs
  }

  /** State of a series, made when it is new; null for one that no question asks about, or beyond the caps. */
  declare(metric: string, labels: Readonly<Record<string, string>>): SeriesState | null {
    const figure = figureOf(metric, labels)
    if (figure === null) return null
    const id = `${metric} ${JSON.stringify(Object.entries(labels).sort())}`
    const known = this.series.get(id)
    if (known !== undefined) return known
    if (this.series.size >= MAX_SERIES_PER_REPORTER) return null
    const peer = this.peerOf(trafficKeyOf(labels))
    if (peer === null) return null
    const part = this.partOf(peer, figure, labels.authority ?? "")
    const state: SeriesState = { id, figure, peer, part, value: Number.NaN, counts: [] }
    const before = figure === "open" ? undefined : this.resumedValues(id)
    if (before !== undefined) {
      state.value = before[0] ?? 0
      if (figure === "latency") state.counts = [...before]
      if (figure === "read" || figure === "write") peer.hasTcp = true
    }
    this.series.set(id, state)
    peer.series++
    return state
  }

  /** The series of an access record, made when it is new; null beyond the limit. */
  declareAccess(labels: Readonly<Record<string, string>>): AccessSeries | null {
    const series = this.access.declare(labels)
    const before = series !== null && Number.isNaN(series.value) ? this.resumedValues(series.id) : undefined
    if (series !== null && before !== undefined) series.value = before[0] ?? 0
    return series
  }

  private resumedValues(id: string): readonly number[] | undefined {
    return this.resumed?.values.get(seriesHash(id))
  }

  /** Last cumulative values of all series, as `Resumed.values` holds them. */
  *values(): Generator<readonly [id: string, values: readonly number[]]> {
    for (const { id, figure, value, counts } of this.series.values()) {
      if (figure !== "open" && !Number.isNaN(value)) yield [id, figure === "latency" ? counts : [value]]
    }
    for (const { id, value } of this.access.all()) if (!Number.isNaN(value)) yield [id, [value]]
  }

  /** Forgets a series that the proxy dropped. */
  forget(state: SeriesState): void {
    if (state.figure === "open" && state.value > 0) state.peer.open -= state.value
    if (this.series.get(state.id) !== state) return
    this.series.delete(state.id)
    state.peer.series--
  }

  /** Forgets peers whose series the proxy dropped and that had no traffic within the longest window. */
  sweep(nowMs: number): void {
    if (this.firstReportMs > 0 && nowMs - this.firstReportMs > BASELINE_MS) this.resumed = null
    this.access.sweep(nowMs)
    for (const [id, { key, series, activeMs, authorities }] of this.peers) {
      if (series > 0 || nowMs - activeMs <= MAX_LIVE_WINDOW_MS) continue
      this.peers.delete(id)
      this.parts -= authorities.size
      this.budget.give(1 + authorities.size)
      this.dstPods.delete(`${key.dstNamespace}/${key.dstPod}`)
    }
  }

  /** Takes how many certificates it has had; the first that is heard of is where it stands. */
  sampleCertificates(count: number): void {
    if (count > this.certificates && this.certificates > 0) this.renewedMs = this.span.toMs
    this.certificates = count
  }

  /** Takes a counter's or gauge's new value. */
  sample(state: SeriesState, value: number): void {
    const { peer, figure } = state
    const { span } = this
    const first = Number.isNaN(state.value)
    const before = first ? 0 : state.value
    state.value = value
    if (figure === "open") {
      peer.open += value - before
      peer.hasTcp = true
      return
    }
    if (figure === "read" || figure === "write") peer.hasTcp = true
    const growth = this.growth(first, before, value)
    if (growth === 0) return
    this.noteChange()
    peer.activeMs = span.toMs
    if (figure === "read" || figure === "write") peer.ring.addBytes(span, figure === "write", growth)
    else if (figure === "sent") peer.ring.addSent(span, growth)
    else if (figure === "begun") peer.ring.addBegun(span, growth)
    else if (figure !== "latency") {
      peer.ring.addResponses(span, figure === "failure", growth)
      state.part?.addResponses(span, figure === "failure", growth)
    }
  }

  /** Takes the new value of an access record. */
  sampleAccess(series: AccessSeries, value: number): void {
    const first = Number.isNaN(series.value)
    const growth = this.growth(first, first ? 0 : series.value, value)
    series.value = value
    if (growth === 0) return
    this.noteChange()
    this.access.add(series, growth, this.span)
  }

  /** Takes a histogram's new value. */
  histogram(state: SeriesState, counts: readonly bigint[]): void {
    if (state.figure !== "latency") return
    const first = Number.isNaN(state.value)
    state.value = 0
    for (const [index, count] of counts.entries()) {
      const value = Number(count)
      const growth = this.growth(first, state.counts[index] ?? 0, value)
      state.counts[index] = value
      const bucket = this.buckets[index]
      if (growth === 0 || bucket === undefined) continue
      this.noteChange()
      state.peer.ring.addLatency(this.span, bucket, growth)
      state.part?.addLatency(this.span, bucket, growth)
    }
  }

  private noteChange(): void {
    const slot = Math.floor(this.span.fromMs / (TIERS[RECORDED_TIER]?.slotMs ?? 1))
    if (slot < this.changedSlot) this.changedSlot = slot
  }

  /**
   * The part of a window that is covered.
   *
   * In the fine tier the begin and the end are times of reports, so that a rate is counts between two reports
   * over the time between them, whatever the slots' borders.
   */
  coverage(windowMs: number, nowMs: number): Coverage {
    const tier = tierOf(windowMs)
    const slotMs = TIERS[tier]?.slotMs ?? 1000
    const fresh = this.live && nowMs - this.lastReportMs < QUIET_AFTER_MS
    const toMs = fresh ? this.lastReportMs : nowMs
    const lastSlot = Math.floor(nowMs / slotMs)
    let fromMs = toMs - windowMs
    let firstSlot = Math.floor(fromMs / slotMs) + 1
    if (tier > 0) fromMs = firstSlot * slotMs
    else {
      // Reports jitter, so the slot before may have none; then the one before that bounds the counts.
      for (let slot = firstSlot - 1; slot >= firstSlot - BOUNDARY_SLOTS; slot--) {
        const boundary = this.reportTimes[slot % this.reportTimes.length] ?? 0
        if (Math.floor(boundary / 1000) !== slot) continue
        if (fromMs - boundary <= LONGEST_REPORT_GAP_MS) fromMs = boundary
        break
      }
    }
    const wholeWindow = this.live && this.sinceMs <= fromMs
    if (this.sinceMs > fromMs) fromMs = Math.min(this.sinceMs, toMs)
    if (firstSlot > lastSlot) firstSlot = lastSlot
    return { tier, firstSlot, lastSlot, fromMs, toMs, wholeWindow }
  }

  /** The same for what came after a time, a multiple of a minute or the begin of the store. */
  coverageSince(beginMs: number, nowMs: number): Coverage {
    const tier = Math.max(RECORDED_TIER, tierOf(nowMs - beginMs))
    const slotMs = TIERS[tier]?.slotMs ?? 1
    const fresh = this.live && nowMs - this.lastReportMs < QUIET_AFTER_MS
    const toMs = Math.max(beginMs, fresh ? this.lastReportMs : nowMs)
    const fromMs = Math.min(toMs, Math.max(beginMs, this.sinceMs))
    const [firstSlot, lastSlot] = [beginMs, nowMs].map(ms => Math.floor(ms / slotMs)) as [number, number]
    // A part of a window is not the whole of it, however long the proxy was there.
    return { tier, firstSlot, lastSlot, fromMs, toMs, wholeWindow: false }
  }

  private growth(first: boolean, before: number, value: number): number {
    if (first) return this.countsFromZero ? value : 0
    // A counter that fell belongs to a series that the proxy dropped and began again.
    return value >= before ? value - before : value
  }

  private partOf(peer: Peer, figure: Figure, authority: string): WindowRing | null {
    if (peer.key.route !== "" || !HTTP_FIGURES.has(figure)) return null
    return peer.authorities.ringOf(authority, () => {
      if (this.parts >= MAX_AUTHORITY_PARTS || !this.budget.take(true)) return null
      this.parts++
      return new WindowRing()
    })
  }

  private peerOf(key: TrafficKey): Peer | null {
    let kept = key
    if (key.dstPod !== "" && key.dstWorkloadKind !== "pod") {
      const pod = `${key.dstNamespace}/${key.dstPod}`
      if (this.dstPods.has(pod) || this.dstPods.size < MAX_DST_PODS_PER_REPORTER) this.dstPods.add(pod)
      else kept = { ...key, dstPod: "" }
    }
    const id = Object.values(kept).join("\0")
    const known = this.peers.get(id)
    if (known !== undefined) return known
    if (this.peers.size >= MAX_PEERS_PER_REPORTER || !this.budget.take(kept.route !== "")) return null
    const peer: Peer = {
      key: kept,
      ring: new WindowRing(),
      authorities: new AuthorityParts(),
      open: 0,
      hasTcp: false,
      activeMs: 0,
      series: 0,
    }
    this.peers.set(id, peer)
    return peer
  }
}
