// Reports of conduit.telemetry.v1, written field by field: a report a second of hundreds of histograms would make
// tens of thousands of throw-away objects if it went through message objects.
import { ProtoWriter } from "../control_plane/mod.ts"
import { type Histogram, LATENCY_EDGES_MS, Scalar, type Series } from "./series.ts"

/** Who reports. */
export interface ReporterInfo {
  readonly namespace: string
  readonly pod: string
  readonly workloadKind: string
  readonly workload: string
  readonly version: string
  /** Start of the process, milliseconds since 1970. */
  readonly startedAtMs: number
}

// Field numbers of conduit/telemetry/v1/telemetry.proto.
const REPORT_REPORTER = 1
const REPORT_SERIES = 2
const REPORT_SAMPLES = 3
const REPORT_HISTOGRAMS = 4
const REPORT_DROPPED = 5

/** One message under construction. Series must be announced before or with their first sample. */
export class ReportWriter {
  private readonly writer = new ProtoWriter()
  /** Entries written. */
  entries = 0

  /** Who reports; on the first message of a stream. */
  reporter(info: ReporterInfo): void {
    this.entries++
    const { writer } = this
    writer.begin(REPORT_REPORTER)
    writer.text(1, info.namespace)
    writer.text(2, info.pod)
    writer.text(3, info.workloadKind)
    writer.text(4, info.workload)
    writer.text(5, info.version)
    writer.varint(6, Math.round(info.startedAtMs))
    writer.begin(7)
    for (const edge of LATENCY_EDGES_MS) writer.rawDouble(edge)
    writer.end()
    writer.end()
  }

  /** Names a series. */
  announce(series: Series): void {
    this.entries++
    const { writer } = this
    writer.begin(REPORT_SERIES)
    writer.varint(1, series.reportId)
    writer.text(2, series.metric.name)
    for (const [name, value] of series.labels) {
      writer.begin(3)
      writer.text(1, name)
      writer.text(2, value)
      writer.end()
    }
    writer.end()
  }

  /** The value of a series now. */
  value(series: Series): void {
    this.entries++
    if (series instanceof Scalar) this.sample(series)
    else this.histogram(series)
  }

  /** Series whose numbers are free again. */
  dropped(ids: readonly number[]): void {
    this.entries++
    const { writer } = this
    writer.begin(REPORT_DROPPED)
    for (const id of ids) writer.rawVarint(id)
    writer.end()
  }

  /** The message; the writer is empty afterwards. */
  finish(): Uint8Array {
    this.entries = 0
    return this.writer.finish()
  }

  private sample(series: Scalar): void {
    const { writer } = this
    writer.begin(REPORT_SAMPLES)
    writer.varint(1, series.reportId)
    writer.double(2, series.value)
    writer.end()
  }

  private histogram(series: Histogram): void {
    const { writer } = this
    writer.begin(REPORT_HISTOGRAMS)
    writer.varint(1, series.reportId)
    writer.begin(2)
    for (const count of series.counts) writer.rawVarint(count)
    writer.end()
    writer.double(3, series.sum)
    writer.end()
  }
}
