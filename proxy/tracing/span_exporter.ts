// Brings spans to the collector: in batches, from a bounded queue, one export at a time, again after a pause where the
// collector is away. Whatever it does, requests do not wait for it.
import type { Logger } from "../log.ts"
import { type Metric, type Registry, type Scalar, SeriesGroup } from "../telemetry/mod.ts"
import type { Post } from "./otlp_post.ts"
import type { Span } from "./span.ts"
import { encodeSpans, type SpanSource } from "./span_codec.ts"

/** Spans that wait at most, some 2 KB each: OpenTelemetry's default. Further ones are dropped, and counted. */
export const MAX_QUEUED_SPANS = 2048

/** Spans of one export at most: OpenTelemetry's default. */
export const MAX_EXPORT_SPANS = 512

/** A span waits this long at most for others to go with it, milliseconds. */
export const EXPORT_INTERVAL_MS = 1_000

/** First and longest pause after an export that failed, milliseconds. */
export const EXPORT_RETRY_MIN_MS = 1_000
/** How late a collector that came back is noticed, at worst. */
export const EXPORT_RETRY_MAX_MS = 30_000

/** Exports of one batch that fail until it is given up: some two minutes, then newer spans say more. */
export const MAX_EXPORT_ATTEMPTS = 8

/** Statuses after which the same batch may be sent again (OTLP/HTTP, section Failures). */
const RETRYABLE = new Set([0, 429, 502, 503, 504])

const EXPORTED: Metric = {
  name: "trace_spans_exported_total",
  kind: "counter",
  help: "Spans that the collector took.",
}
const DROPPED: Metric = {
  name: "trace_spans_dropped_total",
  kind: "counter",
  help: "Spans that reached no collector, by reason.",
}

/** Parts of an exporter. */
export interface SpanExporterOptions {
  readonly post: Post
  readonly source: SpanSource
  readonly registry: Registry
  readonly log: Logger
  /** Calls back after some milliseconds. Default: setTimeout. */
  readonly later?: (callback: () => void, delayMs: number) => void
  /** Uniform, 0 to 1. Default: Math.random. */
  readonly random?: () => number
}

/** The way of spans to the collector. */
export class SpanExporter {
  private readonly post: Post
  private readonly source: SpanSource
  private readonly log: Logger
  private readonly later: (callback: () => void, delayMs: number) => void
  private readonly random: () => number
  private readonly exported: Scalar
  private readonly full: Scalar
  private readonly rejected: Scalar
  private readonly unreachable: Scalar
  private queue: Span[] = []
  /** The batch under way, or waiting to be sent again. */
  private batch: Span[] | null = null
  private failures = 0
  private scheduled = false
  private down = false

  constructor(options: SpanExporterOptions) {
    this.post = options.post
    this.source = options.source
    this.log = options.log
    this.later = options.later ?? ((callback, delayMs) => void setTimeout(callback, delayMs))
    this.random = options.random ?? Math.random
    const { registry } = options
    const group = registry.group("tracing", key => new SeriesGroup(key))
    // The proxy's own figures stay for life.
    group.running = 1
    this.exported = registry.scalar(group, EXPORTED, [])
    this.full = registry.scalar(group, DROPPED, [["reason", "queue-full"]])
    this.rejected = registry.scalar(group, DROPPED, [["reason", "rejected"]])
    this.unreachable = registry.scalar(group, DROPPED, [["reason", "unreachable"]])
  }

  /** Takes a span. */
  add(span: Span): void {
    if (this.queue.length >= MAX_QUEUED_SPANS) {
      this.full.value++
      return
    }
    this.queue.push(span)
    if (this.batch !== null) return
    if (this.queue.length >= MAX_EXPORT_SPANS) this.flush()
    else if (!this.scheduled) {
      this.scheduled = true
      this.later(() => {
        this.scheduled = false
        this.flush()
      }, EXPORT_INTERVAL_MS)
    }
  }

  /** Begins to export what waits, unless an export is under way. */
  flush(): void {
    if (this.batch !== null || this.queue.length === 0) return
    this.batch = this.queue.splice(0, MAX_EXPORT_SPANS)
    this.failures = 0
    void this.send(this.batch)
  }

  private async send(batch: readonly Span[]): Promise<void> {
    const { status, retryAfterS, error } = await this.post(encodeSpans(this.source, batch))
    if (status >= 200 && status < 300) {
      if (this.down) this.log.info("the trace collector takes spans again")
      this.down = false
      this.exported.value += batch.length
      this.next()
      return
    }
    const reason = status === 0 ? error : `status ${status}`
    if (!this.down) {
      this.down = true
      this.log.warn("spans could not be exported: the trace collector does not take them", { reason })
    }
    if (!RETRYABLE.has(status)) {
      this.rejected.value += batch.length
      this.next()
    } else if (++this.failures >= MAX_EXPORT_ATTEMPTS) {
      this.unreachable.value += batch.length
      this.next()
    } else {
      const doubled = EXPORT_RETRY_MIN_MS * 2 ** (this.failures - 1)
      const pause = Math.max(doubled * (0.5 + this.random()), retryAfterS * 1000)
      this.later(() => void this.send(batch), Math.min(EXPORT_RETRY_MAX_MS, pause))
    }
  }

  private next(): void {
    this.batch = null
    this.flush()
  }
}
