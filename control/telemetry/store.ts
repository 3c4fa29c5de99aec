// The figures of all proxies, in memory: takes report streams, answers questions about windows. Bounded by named
// caps; what does not fit is counted and shown on /metrics, never silently lost.
import { telemetryQueryV1, type telemetryV1 } from "../../protos/mod.ts"
import { countOf, MAX_ACCESS_ENTRIES } from "./access_ledger.ts"
import { EDGES_MS } from "./histogram_edges.ts"
import { ReportStream } from "./report_stream.ts"
import { type Coverage, type Journal, Reporter } from "./reporter.ts"
import { podRefOf, routeTrafficOf, trafficByAuthority, trafficOf } from "./traffic_messages.ts"
import { MAX_LIVE_WINDOW_MS } from "./window_ring.ts"

/** Proxies that are kept, those that went within the last hour included. */
export const MAX_REPORTERS = 20_000
/**
 * Pairs of a proxy and a peer, or a route, that are kept over all proxies. One with HTTP traffic holds some 17 KB, so
 * this bounds the figures to about 340 MB; a mesh of 1,000 pods with ten peers and ten routes each needs 20,000.
 */
export const MAX_PEERS = 20_480
/** Of these, routes at most: learned ones never take the room of who calls whom. */
export const MAX_ROUTE_PEERS = MAX_PEERS / 2

/** What could not be kept. */
export interface LossCounts {
  /** Proxies refused as too many. */
  refusedReporters: number
  /** Peers left out as too many. */
  leftOutPeers: number
  /** Access records counted as `other` as too many. */
  foldedAccesses: number
}

/** All figures. Times come from the caller: milliseconds since 1970. */
export class TelemetryStore {
  readonly losses: LossCounts = { refusedReporters: 0, leftOutPeers: 0, foldedAccesses: 0 }
  private readonly reporters = new Map<string, Reporter>()
  /** From when on everything is here: what was counted before is in the history, or nowhere. */
  readonly startedMs: number
  private readonly journal: Journal | null
  private peers = 0
  private accesses = 0

  /**
   * @param nowMs  when the store begins to watch, or until when an earlier one has saved what it saw
   * @param journal  keeps what outlives this process; null for nobody
   */
  constructor(nowMs: number, journal: Journal | null = null) {
    this.startedMs = nowMs
    this.journal = journal
  }

  /** Proxies that are kept. */
  all(): Iterable<Reporter> {
    return this.reporters.values()
  }

  /** Number of proxies that are kept. */
  get reporterCount(): number {
    return this.reporters.size
  }

  /** Number of pairs of a proxy and a peer that are kept. */
  get peerCount(): number {
    return this.peers
  }

  /** Number of access records that are kept. */
  get accessCount(): number {
    return this.accesses
  }

  /**
   * Begins a proxy's stream; null when there is no room. Each process of a pod counts on its own.
   *
   * @param aheadMs  how far the clock that proxies began by is ahead of the clock of their reports
   */
  openStream(about: telemetryV1.Reporter, aheadMs = 0): ReportStream | null {
    let reporter = this.reporters.get(processKey(about))
    if (reporter === undefined) {
      if (this.reporters.size >= MAX_REPORTERS) {
        this.losses.refusedReporters++
        return null
      }
      const peers = {
        take: (route: boolean) => this.takePeer(route),
        give: (count: number) => {
          this.peers -= count
        },
      }
      const accesses = {
        take: (other: boolean) => this.takeAccess(other),
        give: (count: number) => {
          this.accesses -= count
        },
      }
      const key = processKey(about)
      const startedMs = Number(about.startedAtMs) - aheadMs
      const resumed = this.journal?.resume(key) ?? null
      reporter = new Reporter(about, startedMs, this.startedMs, peers, accesses, resumed)
      this.reporters.set(key, reporter)
    }
    return new ReportStream(reporter, this.journal)
  }

  /** Forgets proxies, and peers of proxies, that have been gone for longer than any window. */
  sweep(nowMs: number): void {
    for (const [key, reporter] of this.reporters) {
      reporter.sweep(nowMs)
      if (reporter.live || nowMs - reporter.lastReportMs <= MAX_LIVE_WINDOW_MS) continue
      reporter.close()
      this.reporters.delete(key)
    }
  }

  /**
   * Traffic within a window that ends now.
   *
   * @param beginMs  begin of the window where the history has what was before, as `Reporter.coverageSince` takes it
   * @param byAuthority  whether rows are told apart by authority, too
   */
  traffic(
    windowMs: number,
    direction: telemetryQueryV1.Direction,
    nowMs: number,
    beginMs: number | null = null,
    byAuthority = false,
  ): telemetryQueryV1.TrafficResponse {
    const rows: telemetryQueryV1.Traffic[] = []
    for (const reporter of this.reporters.values()) {
      if (!reporter.live && nowMs - reporter.lastReportMs > windowMs) continue
      const coverage = coverageOf(reporter, windowMs, nowMs, beginMs)
      for (const peer of reporter.peers.values()) {
        if (peer.key.route !== "") continue
        if (direction !== telemetryQueryV1.Direction.UNSPECIFIED && peer.key.direction !== direction) continue
        if (byAuthority) {
          for (const row of trafficByAuthority(reporter, peer, coverage))
            rows.push({ $typeName: "conduit.telemetry.v1.Traffic", ...row })
          continue
        }
        const row = trafficOf(reporter, peer, coverage)
        if (row !== null) rows.push({ $typeName: "conduit.telemetry.v1.Traffic", ...row })
      }
    }
    return {
      $typeName: "conduit.telemetry.v1.TrafficResponse",
      histogramEdgesMs: [...EDGES_MS],
      traffic: rows,
    }
  }

  /** Traffic per route within a window that ends now; see `traffic`. */
  routes(windowMs: number, nowMs: number, beginMs: number | null = null): telemetryQueryV1.RoutesResponse {
    const routes: telemetryQueryV1.RouteTraffic[] = []
    for (const reporter of this.reporters.values()) {
      if (!reporter.live && nowMs - reporter.lastReportMs > windowMs) continue
      const coverage = coverageOf(reporter, windowMs, nowMs, beginMs)
      for (const peer of reporter.peers.values()) {
        const row = peer.key.route === "" ? null : routeTrafficOf(reporter, peer, coverage)
        if (row !== null) routes.push({ $typeName: "conduit.telemetry.v1.RouteTraffic", ...row })
      }
    }
    return {
      $typeName: "conduit.telemetry.v1.RoutesResponse",
      histogramEdgesMs: [...EDGES_MS],
      routes,
    }
  }

  /** Who called what within a window that ends now; see `traffic`. */
  access(windowMs: number, nowMs: number, beginMs: number | null = null): telemetryQueryV1.AccessResponse {
    const accesses: telemetryQueryV1.Access[] = []
    for (const reporter of this.reporters.values()) {
      if (!reporter.live && nowMs - reporter.lastReportMs > windowMs) continue
      const coverage = coverageOf(reporter, windowMs, nowMs, beginMs)
      const { tier, firstSlot, lastSlot, fromMs, toMs, wholeWindow } = coverage
      const covered = { reporter: podRefOf(reporter.about), fromMs, toMs, wholeWindow }
      for (const entry of reporter.access.entries.values()) {
        const count = countOf(entry, tier, firstSlot, lastSlot)
        if (count === 0) continue
        const row = { ...entry.key, ...covered, count: BigInt(count) }
        accesses.push({ $typeName: "conduit.telemetry.v1.Access", ...row })
      }
    }
    return { $typeName: "conduit.telemetry.v1.AccessResponse", accesses }
  }

  /** Proxies that are known. */
  known(): telemetryQueryV1.ReportersResponse {
    const reporters = [...this.reporters.values()].map(
      (reporter): telemetryQueryV1.ProxyReporter => ({
        $typeName: "conduit.telemetry.v1.ProxyReporter",
        pod: podRefOf(reporter.about),
        proxyVersion: reporter.about.proxyVersion,
        live: reporter.live,
        sinceMs: reporter.sinceMs,
        certificateRenewedMs: reporter.renewedMs,
      }),
    )
    return { $typeName: "conduit.telemetry.v1.ReportersResponse", reporters }
  }

  private takeAccess(other: boolean): boolean {
    if (this.accesses >= MAX_ACCESS_ENTRIES && !other) {
      this.losses.foldedAccesses++
      return false
    }
    this.accesses++
    return true
  }

  private takePeer(route: boolean): boolean {
    if (this.peers >= (route ? MAX_ROUTE_PEERS : MAX_PEERS)) {
      this.losses.leftOutPeers++
      return false
    }
    this.peers++
    return true
  }
}

function coverageOf(reporter: Reporter, windowMs: number, nowMs: number, beginMs: number | null): Coverage {
  return beginMs === null ? reporter.coverage(windowMs, nowMs) : reporter.coverageSince(beginMs, nowMs)
}

/** Names a proxy's process. */
export function processKey(about: telemetryV1.Reporter): string {
  return `${about.namespace}/${about.pod} ${about.startedAtMs}`
}
