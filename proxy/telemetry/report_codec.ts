// Reports of conduit.telemetry.v1, written field by field: a report a second of hundreds of histograms would make
// tens of thousands of throw-away objects if it went through message objects.
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import { type Histogram, LATENCY_EDGES_MS, type Labels, Scalar, type Series } from "./series.ts"

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
  private writer = new BinaryWriter()
  /** Entries written. */
  entries = 0

  /** Who reports; on the first message of a stream. */
  reporter(info: ReporterInfo): void {
    this.entries++
    const writer = this.writer.tag(REPORT_REPORTER, WireType.LengthDelimited).fork()
    text(writer, 1, info.namespace)
    text(writer, 2, info.pod)
    text(writer, 3, info.workloadKind)
    text(writer, 4, info.workload)
    text(writer, 5, info.version)
    writer.tag(6, WireType.Varint).int64(Math.round(info.startedAtMs))
    writer.tag(7, WireType.LengthDelimited).fork()
    for (const edge of LATENCY_EDGES_MS) writer.double(edge)
    writer.join()
    writer.join()
  }

  /** Names a series. */
  announce(series: Series): void {
    this.entries++
    const writer = this.writer.tag(REPORT_SERIES, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.Varint).uint32(series.reportId)
    text(writer, 2, series.metric.name)
    labels(writer, series.labels)
    writer.join()
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
    const writer = this.writer.tag(REPORT_DROPPED, WireType.LengthDelimited).fork()
    for (const id of ids) writer.uint32(id)
    writer.join()
  }

  /** The message; the writer is empty afterwards. */
  finish(): Uint8Array {
    this.entries = 0
    return this.writer.finish()
  }

  private sample(series: Scalar): void {
    const writer = this.writer.tag(REPORT_SAMPLES, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.Varint).uint32(series.reportId)
    writer.tag(2, WireType.Bit64).double(series.value)
    writer.join()
  }

  private histogram(series: Histogram): void {
    const writer = this.writer.tag(REPORT_HISTOGRAMS, WireType.LengthDelimited).fork()
    writer.tag(1, WireType.Varint).uint32(series.reportId)
    writer.tag(2, WireType.LengthDelimited).fork()
    for (const count of series.counts) {
      // A varint of up to 32 bits needs no 64-bit arithmetic.
      if (count < 2 ** 32) writer.uint32(count)
      else writer.uint64(count)
    }
    writer.join()
    writer.tag(3, WireType.Bit64).double(series.sum)
    writer.join()
  }
}

function labels(writer: BinaryWriter, pairs: Labels): void {
  for (const [name, value] of pairs) {
    writer.tag(3, WireType.LengthDelimited).fork()
    text(writer, 1, name)
    text(writer, 2, value)
    writer.join()
  }
}

function text(writer: BinaryWriter, field: number, value: string): void {
  if (value !== "") writer.tag(field, WireType.LengthDelimited).string(value)
}
