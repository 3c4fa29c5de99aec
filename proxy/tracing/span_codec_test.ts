// Spans as OpenTelemetry's own messages read them.
import { expect, test } from "bun:test"
import { fromBinary } from "@bufbuild/protobuf"
import fc from "fast-check"
import { otlpTraceV1 } from "../../protos/mod.ts"
import type { Attribute, Span } from "./span.ts"
import { encodeSpans } from "./span_codec.ts"

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map(id => Buffer.from(id).toString("hex"))

const attribute: fc.Arbitrary<Attribute> = fc.tuple(
  fc.string({ unit: "grapheme" }),
  fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.boolean(),
    fc.nat(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => (value === 0 ? 0.5 : value)),
  ),
)

const span: fc.Arbitrary<Span> = fc.record({
  traceId: hex(16),
  spanId: hex(8),
  parentId: fc.oneof(fc.constant(""), hex(8)),
  traceState: fc.string(),
  name: fc.string({ unit: "grapheme" }),
  kind: fc.constantFrom(2 as const, 3 as const),
  startMs: fc.nat({ max: 2 ** 31 }).map(ms => ms * 1000 + 0.5),
  endMs: fc.nat({ max: 2 ** 31 }).map(ms => ms * 1000 + 0.25),
  attributes: fc.array(attribute, { maxLength: 20 }),
  isError: fc.boolean(),
})

function read(
  attributes: { key: string; value?: { value: { case: string | undefined; value?: unknown } } | undefined }[],
) {
  return attributes.map(({ key, value }) => {
    const given = value?.value.value
    return [key, typeof given === "bigint" ? Number(given) : given]
  })
}

test("any spans are read by the generated messages as they were meant", () => {
  fc.assert(
    fc.property(
      fc.array(attribute, { maxLength: 5 }),
      fc.array(span, { maxLength: 10 }),
      (resource, spans) => {
        const bytes = encodeSpans({ resource, version: "0.1.0" }, spans)
        const { resourceSpans } = fromBinary(otlpTraceV1.ExportTraceServiceRequestSchema, bytes)
        expect(resourceSpans).toHaveLength(1)
        expect(read(resourceSpans[0]?.resource?.attributes ?? [])).toEqual(resource.map(one => [...one]))
        const [scope] = resourceSpans[0]?.scopeSpans ?? []
        expect(scope?.scope).toMatchObject({ name: "conduit-proxy", version: "0.1.0" })
        const got = (scope?.spans ?? []).map(one => ({
          traceId: Buffer.from(one.traceId).toString("hex"),
          spanId: Buffer.from(one.spanId).toString("hex"),
          parentId: Buffer.from(one.parentSpanId).toString("hex"),
          traceState: one.traceState,
          name: one.name,
          kind: one.kind as number,
          startMs: Number(one.startTimeUnixNano / 1000n) / 1000,
          endMs: Number(one.endTimeUnixNano / 1000n) / 1000,
          attributes: read(one.attributes),
          isError: (one.status?.code ?? 0) === 2,
        }))
        expect(got as unknown).toEqual(
          spans.map(one => ({ ...one, attributes: one.attributes.map(pair => [...pair]) })),
        )
      },
    ),
    { numRuns: 100 },
  )
})
