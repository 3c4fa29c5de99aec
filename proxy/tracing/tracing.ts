// Which requests belong to a trace, and the span of each: what callers have begun is continued, and a share of the rest
// begins one here. What is not traced is sent on as it came.
import type { ExchangeFacts, RequestTrace, RequestView, Tracer } from "../http/mod.ts"
import type { Direction } from "../telemetry/mod.ts"
import { SPAN_CLIENT, SPAN_SERVER, type Span, spanAttributes, spanFailed, spanName } from "./span.ts"
import {
  newTrace,
  readTraceContext,
  replacedFields,
  replacedNames,
  SAMPLED_NO,
  SAMPLED_YES,
  type TraceContext,
} from "./trace_context.ts"

/** Longest tracestate that a span bears: what every implementation must carry (Trace Context section 3.3.1.5). */
export const MAX_TRACE_STATE = 512

/** Parts of tracing. */
export interface TracingOptions {
  /** Share of requests without a decision that are traced, 0 to 1. */
  readonly sampling: number
  /** Takes a finished span; must not wait. */
  readonly export: (span: Span) => void
  /** Uniform, 0 to 1. Default: Math.random. */
  readonly random?: () => number
  /** Hexadecimal digits of so many random bytes. Default: the system's. */
  readonly newId?: (bytes: number) => string
  /** Milliseconds since 1970. Default: the system's clock. */
  readonly wallClock?: () => number
}

/** Decides, and makes spans. */
export class Tracing implements Tracer {
  readonly wallClock: () => number
  readonly export: (span: Span) => void
  private readonly sampling: number
  private readonly random: () => number
  private readonly newId: (bytes: number) => string

  constructor(options: TracingOptions) {
    this.sampling = options.sampling
    this.export = options.export
    this.random = options.random ?? Math.random
    this.newId = options.newId ?? randomId
    this.wallClock = options.wallClock ?? (() => performance.timeOrigin + performance.now())
  }

  begin(direction: Direction, request: RequestView): RequestTrace | null {
    const told = readTraceContext(request)
    if (told === null) {
      if (this.sampling === 0 || this.random() >= this.sampling) return null
      return this.trace(direction, newTrace(this.newId(16)), request)
    }
    if (told.sampled === SAMPLED_NO) return null
    if (told.traceId === "") {
      // B3 without a trace: somebody has decided that one be begun.
      return this.trace(direction, newTrace(this.newId(16)), request)
    }
    if (told.sampled !== SAMPLED_YES && !this.chooses(told.traceId)) return null
    return this.trace(direction, told, request)
  }

  /** All proxies of one share choose the same traces. */
  private chooses(traceId: string): boolean {
    return Number.parseInt(traceId.slice(-8), 16) < this.sampling * 2 ** 32
  }

  private trace(direction: Direction, context: TraceContext, request: RequestView): TracedRequest {
    const state = context.inW3c ? (request.values("tracestate") ?? "") : ""
    const traceState = state.length > MAX_TRACE_STATE ? "" : state
    return new TracedRequest(this, direction, context, this.newId(8), traceState)
  }
}

/** One request of a trace. */
class TracedRequest implements RequestTrace {
  readonly traceId: string
  readonly dropped: readonly string[]
  readonly added: readonly (readonly [string, string])[]
  private readonly tracing: Tracing
  private readonly direction: Direction
  private readonly parentId: string
  private readonly spanId: string
  private readonly traceState: string
  private readonly startMs: number

  constructor(
    tracing: Tracing,
    direction: Direction,
    context: TraceContext,
    spanId: string,
    traceState: string,
  ) {
    this.tracing = tracing
    this.direction = direction
    this.traceId = context.traceId
    this.parentId = context.parentId
    this.spanId = spanId
    this.traceState = traceState
    this.dropped = replacedNames(context)
    this.added = replacedFields(context, spanId)
    this.startMs = tracing.wallClock()
  }

  ended(facts: ExchangeFacts): void {
    this.tracing.export({
      traceId: this.traceId,
      spanId: this.spanId,
      parentId: this.parentId,
      traceState: this.traceState,
      name: spanName(facts),
      kind: this.direction === 0 ? SPAN_SERVER : SPAN_CLIENT,
      startMs: this.startMs,
      // The length is the monotonic clock's.
      endMs: this.startMs + facts.totalMs,
      attributes: spanAttributes(facts),
      isError: spanFailed(facts),
    })
  }
}

function randomId(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex")
}
