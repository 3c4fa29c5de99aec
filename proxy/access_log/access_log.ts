// The access log of a workload: a line per request, inbound and outbound, on the proxy's standard output. Off unless
// the annotation config.conduit.io/access-log asks for it.
import type { AccessLog, ExchangeFacts } from "../http/mod.ts"
import type { Logger } from "../log.ts"
import { type Metric, type Registry, type Scalar, SeriesGroup } from "../telemetry/mod.ts"
import { apacheLine, jsonLine, LineClock } from "./access_line.ts"
import { LineWriter, type LineWriterOptions } from "./line_writer.ts"

const LINES: Metric = {
  name: "access_log_lines_total",
  kind: "counter",
  help: "Lines of the access log.",
}
const DROPPED: Metric = {
  name: "access_log_dropped_total",
  kind: "counter",
  help: "Lines of the access log that were dropped because standard output did not take them.",
}

/** Parts of an access log. */
export interface AccessLogOptions extends Omit<LineWriterOptions, "onDropped"> {
  readonly format: "apache" | "json"
  readonly registry: Registry
  readonly log: Logger
  /** Milliseconds since 1970. Default: the system's clock. */
  readonly wallClock?: () => number
}

/** Writes a line per exchange. */
export class AccessLogFile implements AccessLog {
  private readonly format: typeof jsonLine
  private readonly writer: LineWriter
  private readonly clock = new LineClock()
  private readonly wallClock: () => number
  private readonly lines: Scalar
  private readonly dropped: Scalar

  constructor({ format, registry, log, wallClock, ...writing }: AccessLogOptions) {
    this.format = format === "json" ? jsonLine : apacheLine
    this.wallClock = wallClock ?? Date.now
    const group = registry.group("access log", key => new SeriesGroup(key))
    // The proxy's own figures stay for life.
    group.running = 1
    this.lines = registry.scalar(group, LINES, [])
    this.dropped = registry.scalar(group, DROPPED, [])
    this.writer = new LineWriter({
      ...writing,
      onDropped: lines =>
        log.warn("lines of the access log were dropped: standard output did not take them in time", {
          lines,
        }),
    })
  }

  ended(facts: ExchangeFacts): void {
    const taken = this.writer.line(this.format(facts, this.wallClock() - facts.totalMs, this.clock))
    if (taken) this.lines.value++
    else this.dropped.value++
  }

  /** Begins to write what waits: the process is about to end. */
  flush(): void {
    this.writer.flush()
  }
}
