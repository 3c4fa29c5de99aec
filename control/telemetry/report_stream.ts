// One stream of reports of a proxy: what it declares, samples and drops, by the numbers that the stream gives to series.
import type { telemetryV1 } from "../../protos/mod.ts"
import { ACCESS_METRIC, type AccessSeries } from "./access_ledger.ts"
import {
  BASELINE_MS,
  type Journal,
  MAX_SERIES_PER_REPORTER,
  type Reporter,
  type SeriesState,
} from "./reporter.ts"

/** Certificates that a proxy has had, its first one included. */
const CERTIFICATES_METRIC = "identity_cert_refresh_count"

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

  /** Begins the stream: reports of older ones of the reporter count no more. */
  constructor(reporter: Reporter, journal: Journal | null) {
    this.reporter = reporter
    this.number = reporter.beginStream()
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
