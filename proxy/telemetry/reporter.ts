// Pushes what was counted to the control plane: cumulative values of the series that changed, about once a second.
// Nothing is queued while telemetry is away: the counters are the memory, and a new stream begins from them.
import type { ControlLinkHandler, Link, OpenLink } from "../control_plane/mod.ts"
import { callbackTimer, type Timer, type TimerWheel } from "../net/mod.ts"
import type { Registry } from "./registry.ts"
import { type ReporterInfo, ReportWriter } from "./report_codec.ts"
import { Scalar, type Series } from "./series.ts"

/** Time between reports, on average. */
export const REPORT_INTERVAL_MS = 1000

/** Share by which intervals vary either way, so that a mesh does not report in step. */
export const REPORT_JITTER = 0.1

/** Entries of one message at most; a message stays well below what servers take (64 KiB in the smallest of ours). */
export const MAX_ENTRIES_PER_MESSAGE = 100

/** Series sent in one go, some 5 ms of work; the rest follows shortly, so that requests do not wait for a report. */
export const MAX_SERIES_PER_TURN = 500

/** Pause between the parts of a long report. */
export const TURN_INTERVAL_MS = 20

/** A report waits while more than this is still unsent: a slow server gets fewer reports, not a queue. */
export const MAX_UNSENT_BYTES = 64 * 1024

/** Metrics that the control plane has a use for; the process's own stay on /metrics. */
const REPORTED_PREFIXES: readonly string[] = [
  "request_",
  "response_",
  "route_",
  "tcp_",
  "inbound_",
  "access_",
  "identity_cert_refresh_",
]

const REPORT_PATH = "/conduit.telemetry.v1.TelemetryService/Report"

/** Parts and settings of the reporter. */
export interface ReporterOptions {
  readonly openLink: OpenLink
  /** `host:port` of the telemetry service. */
  readonly address: string
  readonly timers: TimerWheel
  /** Uniform, 0 to 1. Default: Math.random. */
  readonly random?: () => number
  readonly info: ReporterInfo
  /** What is reported: the series of /metrics, and those that only the control plane has a use for. */
  readonly registries: readonly Registry[]
}

/** Reports for as long as the proxy lives. */
export class Reporter implements ControlLinkHandler {
  readonly link: Link
  private readonly info: ReporterInfo
  private readonly registries: readonly Registry[]
  private readonly timers: TimerWheel
  private readonly random: () => number
  private readonly timer: Timer
  private readonly writer = new ReportWriter()
  /** Series that went since the last report and that the stream knows. */
  private droppedIds: number[] = []
  private freeIds: number[] = []
  private nextId = 1
  /** Where a report was interrupted; null between reports. */
  private cursor: Iterator<Series> | null = null

  constructor(options: ReporterOptions) {
    this.info = options.info
    this.registries = options.registries
    this.timers = options.timers
    this.random = options.random ?? Math.random
    this.timer = callbackTimer(() => this.tick())
    this.link = options.openLink(this, { name: "telemetry", address: options.address, path: REPORT_PATH })
    for (const registry of this.registries) registry.onDrop(series => this.seriesDropped(series))
  }

  /** Begins to connect and report. */
  start(): void {
    this.link.start()
    this.tick()
  }

  /** The last report: sends what changed and ends the stream properly. Calls nothing back. */
  finish(): void {
    this.timers.cancel(this.timer)
    if (this.link.up) {
      // What an interrupted report has left, then what changed since.
      this.report()
      this.report()
    }
    this.link.finish()
  }

  /** Ends at once, without a last report. */
  stop(): void {
    this.timers.cancel(this.timer)
    this.link.stop()
  }

  /**
   * Sends what changed since the last report, or goes on with one that was interrupted.
   *
   * @param limit  series sent at most
   * @returns false when interrupted at the limit
   */
  report(limit: number = Number.POSITIVE_INFINITY): boolean {
    this.reportDropped()
    const cursor = this.cursor ?? this.all()
    this.cursor = null
    let sent = 0
    for (let next = cursor.next(); next.done !== true; next = cursor.next()) {
      if (!this.reportSeries(next.value)) continue
      if (++sent < limit) continue
      this.cursor = cursor
      break
    }
    this.flush()
    return this.cursor === null
  }

  onOpen(): void {
    // The new stream knows nothing: numbers are given out anew, and everything is sent again.
    this.nextId = 1
    this.freeIds = []
    this.droppedIds = []
    this.cursor = null
    for (const series of this.all()) {
      series.reportId = 0
      series.reported = Number.NaN
    }
    this.writer.reporter(this.info)
    this.flush()
    this.tick()
  }

  onMessage(_message: Uint8Array): void {}

  onDown(_reason: string): void {}

  private *all(): Generator<Series> {
    for (const registry of this.registries) yield* registry.all()
  }

  private tick(): void {
    const mayReport = this.link.up && this.link.queuedBytes <= MAX_UNSENT_BYTES
    const done = mayReport ? this.report(MAX_SERIES_PER_TURN) : true
    const pause = REPORT_INTERVAL_MS * (1 + REPORT_JITTER * (2 * this.random() - 1))
    this.timers.schedule(this.timer, done ? pause : TURN_INTERVAL_MS)
  }

  private reportDropped(): void {
    if (this.droppedIds.length === 0) return
    this.writer.dropped(this.droppedIds)
    // Free only now: a number is not used again before the server has heard that it is free.
    this.freeIds.push(...this.droppedIds)
    this.droppedIds = []
    this.flush()
  }

  /** Adds a series to the report if it changed. */
  private reportSeries(series: Series): boolean {
    const now = series instanceof Scalar ? series.value : series.count
    if (now === series.reported || !isReported(series)) return false
    if (Number.isNaN(series.reported)) {
      if (series.reportId === 0) series.reportId = this.freeIds.pop() ?? this.nextId++
      this.writer.announce(series)
    }
    series.reported = now
    this.writer.value(series)
    if (this.writer.entries >= MAX_ENTRIES_PER_MESSAGE) this.flush()
    return true
  }

  private flush(): void {
    if (this.writer.entries > 0) this.link.send(this.writer.finish())
  }

  private seriesDropped(series: Series): void {
    if (series.reportId !== 0 && this.link.up) this.droppedIds.push(series.reportId)
  }
}

function isReported(series: Series): boolean {
  const { name } = series.metric
  return REPORTED_PREFIXES.some(prefix => name.startsWith(prefix))
}
