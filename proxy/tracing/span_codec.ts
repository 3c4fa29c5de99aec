// Spans as OTLP's ExportTraceServiceRequest, written field by field; field numbers of
// opentelemetry/proto/{collector/trace,trace,common,resource}/v1. Tests hold it to the generated messages.
import { ProtoWriter } from "../control_plane/mod.ts"
import type { Attribute, Span } from "./span.ts"

const REQUEST_RESOURCE_SPANS = 1
const RESOURCE_SPANS_RESOURCE = 1
const RESOURCE_SPANS_SCOPES = 2
const RESOURCE_ATTRIBUTES = 1
const SCOPE_SPANS_SCOPE = 1
const SCOPE_SPANS_SPANS = 2
const SPAN_ATTRIBUTES = 9
const SPAN_STATUS = 15
const STATUS_CODE = 3
const STATUS_CODE_ERROR = 2

/** Whose spans these are. */
export interface SpanSource {
  /** Attributes of the resource: the workload, its pod and its node. */
  readonly resource: readonly Attribute[]
  /** Version of the proxy. */
  readonly version: string
}

/** The body of one export. */
export function encodeSpans(source: SpanSource, spans: readonly Span[]): Uint8Array {
  const writer = new ProtoWriter()
  writer.begin(REQUEST_RESOURCE_SPANS)
  writer.begin(RESOURCE_SPANS_RESOURCE)
  for (const attribute of source.resource) writeAttribute(writer, RESOURCE_ATTRIBUTES, attribute)
  writer.end()
  writer.begin(RESOURCE_SPANS_SCOPES)
  writer.begin(SCOPE_SPANS_SCOPE)
  writer.text(1, "conduit-proxy")
  writer.text(2, source.version)
  writer.end()
  for (const span of spans) writeSpan(writer, span)
  writer.end()
  writer.end()
  return writer.finish()
}

function writeSpan(writer: ProtoWriter, span: Span): void {
  writer.begin(SCOPE_SPANS_SPANS)
  writer.blob(1, Buffer.from(span.traceId, "hex"))
  writer.blob(2, Buffer.from(span.spanId, "hex"))
  writer.text(3, span.traceState)
  if (span.parentId !== "") writer.blob(4, Buffer.from(span.parentId, "hex"))
  writer.text(5, span.name)
  writer.varint(6, span.kind)
  writer.fixed64(7, nanoseconds(span.startMs))
  writer.fixed64(8, nanoseconds(span.endMs))
  for (const attribute of span.attributes) writeAttribute(writer, SPAN_ATTRIBUTES, attribute)
  if (span.isError) {
    writer.begin(SPAN_STATUS)
    writer.varint(STATUS_CODE, STATUS_CODE_ERROR)
    writer.end()
  }
  writer.end()
}

/** KeyValue with an AnyValue of text, truth, whole number (from 0) or fraction. */
function writeAttribute(writer: ProtoWriter, field: number, [name, value]: Attribute): void {
  writer.begin(field)
  writer.text(1, name)
  writer.begin(2)
  // A oneof is there even where its value is the default.
  if (typeof value === "string") writer.blob(1, Buffer.from(value, "utf8"))
  else if (typeof value === "boolean") writer.varint(2, value ? 1 : 0)
  else if (Number.isSafeInteger(value) && value >= 0) writer.varint(3, value)
  else writer.double(4, value)
  writer.end()
  writer.end()
}

function nanoseconds(ms: number): bigint {
  const whole = Math.floor(ms)
  return BigInt(whole) * 1_000_000n + BigInt(Math.floor((ms - whole) * 1e6))
}
