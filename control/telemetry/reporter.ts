// One proxy process that reports: turns its cumulative values into counts per time slot. A repeated report, a
// reconnected stream and a restarted proxy each count what happened once, and nothing twice.
import type { telemetryQueryV1, telemetryV1 } from "../../protos/mod.ts"
import { ACCESS_METRIC, type AccessBudget, AccessLedger, type AccessSeries } from "./access_ledger.ts"
import { AuthorityParts, MAX_AUTHORITY_PARTS } from "./authority_parts.ts"
import { bucketMap, EDGES_MS } from "./histogram_edges.ts"
import { type Figure, figureOf, type TrafficKey, trafficKeyOf } from "./traffic_key.ts"
import {
  MAX_LIVE_WINDOW_MS,
  RECORDED_TIER,
  type Span,
  TIERS,
  tierOf,
  WindowRing,
  type WindowSums,
} from "./window_ring.ts"

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
/** Certificates that a proxy has had, its first one included. */
const CERTIFICATES_METRIC = "identity_cert_refresh_count"
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

interface SeriesState {
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

  /** Begins a stream; reports of older ones count no more. */
  openStream(journal: Journal | null): ReportStream {
    this.streams++
    this.stream++
    return new ReportStream(this, this.stream, journal)
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

/** One stream of a reporter. */
export class ReportStream {
  private readonly reporter: Reporter
  private readonly number: number
  private readonly series = new Map<number, SeriesState | null>()
  private readonly access = new Map<number, AccessSeries | null>()
  /** Number of the series of certificates; 0 before it was told. */
  private certificates = 0
  private open = true
  /** Time of its first report, milliseconds since 1970; 0 before. */
  private firstMs = 0
  /** Since when what it tells first was counted. */
  private countedFromMs = 0
  /** Time of its last report, milliseconds since 1970. */
  private lastMs = 0
  private readonly journal: Journal | null

  constructor(reporter: Reporter, number: number, journal: Journal | null) {
    this.reporter = reporter
    this.number = number
    this.journal = journal
  }

  /** Takes a report. */
  take(report: telemetryV1.ReportRequest, nowMs: number): void {
    const { reporter } = this
    if (!this.open || !reporter.isCurrent(this.number)) return
    // Before anything of it counts: what was counted until now is what the last slots hold for good.
    this.journal?.beforeReport(reporter, nowMs)
    if (this.firstMs === 0) {
      this.firstMs = nowMs
      this.countedFromMs = reporter.unheardSince(nowMs)
    }
    const first = nowMs - this.firstMs < BASELINE_MS
    reporter.beginReport(nowMs, first ? this.countedFromMs : nowMs)
    this.lastMs = nowMs
    for (const { id, metric, labels } of report.series) {
      if (this.series.size + this.access.size >= MAX_SERIES_PER_REPORTER) break
      if (metric === CERTIFICATES_METRIC) this.certificates = id
      else if (metric === ACCESS_METRIC) this.access.set(id, reporter.declareAccess(labels))
      else this.series.set(id, reporter.declare(metric, labels))
    }
    for (const { seriesId, value } of report.samples) {
      if (!Number.isFinite(value)) continue
      if (seriesId === this.certificates && seriesId > 0) {
        reporter.sampleCertificates(value)
        continue
      }
      const state = this.series.get(seriesId)
      if (state != null) reporter.sample(state, value)
      const access = this.access.get(seriesId)
      if (access != null) reporter.sampleAccess(access, value)
    }
    for (const { seriesId, counts } of report.histograms) {
      const state = this.series.get(seriesId)
      if (state != null) reporter.histogram(state, counts)
    }
    for (const id of report.dropped) {
      const state = this.series.get(id)
      if (state != null) reporter.forget(state)
      this.series.delete(id)
      const access = this.access.get(id)
      if (access != null) reporter.access.forget(access)
      this.access.delete(id)
    }
  }

  /** Ends the stream. */
  close(nowMs: number = this.lastMs): void {
    if (!this.open) return
    this.open = false
    this.reporter.closeStream(nowMs)
  }
}

/** Traffic of a peer in the shape of the query API by authority; none of those with nothing to tell. */
export function* trafficByAuthority(
  reporter: Reporter,
  peer: Peer,
  coverage: Coverage,
): Generator<Omit<telemetryQueryV1.Traffic, "$typeName">> {
  for (const [authority, sum] of peer.authorities.of(peer.ring)) {
    const sums = sum(coverage.tier, coverage.firstSlot, coverage.lastSlot)
    const row = trafficOf(reporter, peer, coverage, sums)
    if (row !== null) yield { ...row, authority }
  }
}

/** Traffic of a peer in the shape of the query API, or null when there is nothing to tell. */
export function trafficOf(
  reporter: Reporter,
  peer: Peer,
  coverage: Coverage,
  sums: WindowSums = peer.ring.sum(coverage.tier, coverage.firstSlot, coverage.lastSlot),
): Omit<telemetryQueryV1.Traffic, "$typeName"> | null {
  const responses = sums.successes + sums.failures
  const bytes = sums.readBytes + sums.writeBytes
  const hasTcp = bytes > 0 || (peer.hasTcp && reporter.live)
  if (responses === 0 && !hasTcp) return null
  const { key } = peer
  return {
    direction: key.direction,
    reporter: podRefOf(reporter.about),
    dst: podRef(key.dstNamespace, key.dstPod, key.dstWorkloadKind, key.dstWorkload),
    dstService: key.dstService,
    host: key.host,
    authority: "",
    tls: key.tls,
    clientId: key.clientId,
    serverId: key.serverId,
    successes: BigInt(sums.successes),
    failures: BigInt(sums.failures),
    latencyCounts: responses === 0 ? [] : Array.from(sums.latency, BigInt),
    hasTcp,
    open: BigInt(reporter.live ? Math.max(0, peer.open) : 0),
    readBytes: sums.readBytes,
    writeBytes: sums.writeBytes,
    fromMs: coverage.fromMs,
    toMs: coverage.toMs,
    wholeWindow: coverage.wholeWindow,
  }
}

/** Traffic of a route in the shape of the query API, or null when there was none. */
export function routeTrafficOf(
  reporter: Reporter,
  { key, ring }: Peer,
  { tier, firstSlot, lastSlot, fromMs, toMs, wholeWindow }: Coverage,
): Omit<telemetryQueryV1.RouteTraffic, "$typeName"> | null {
  const { successes, failures, sent, begun, latency } = ring.sum(tier, firstSlot, lastSlot)
  if (successes + failures + sent === 0) return null
  return {
    reporter: podRefOf(reporter.about),
    dstNamespace: key.dstNamespace,
    dstService: key.dstService,
    route: key.route,
    successes: BigInt(successes),
    failures: BigInt(failures),
    latencyCounts: Array.from(latency, BigInt),
    sent: BigInt(sent),
    begun: BigInt(begun),
    fromMs,
    toMs,
    wholeWindow,
  }
}

/** The pod of a reporter. */
export function podRefOf(about: telemetryV1.Reporter): telemetryQueryV1.PodRef {
  return podRef(about.namespace, about.pod, about.workloadKind, about.workload)
}

function podRef(
  namespace: string,
  pod: string,
  workloadKind: string,
  workload: string,
): telemetryQueryV1.PodRef {
  return { $typeName: "conduit.telemetry.v1.PodRef", namespace, pod, workloadKind, workload }
}
