// A collector of OpenTelemetry traces for tests: `bun trace_collector.ts` takes OTLP over HTTP on 4318 and prints each
// span as one line of JSON, read by the generated messages.
import { fromBinary } from "@bufbuild/protobuf"
import { otlpTraceV1 } from "../../protos/mod.ts"

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")

if (import.meta.main) {
  Bun.serve({
    hostname: "::",
    port: 4318,
    async fetch(request) {
      const type = request.headers.get("content-type")
      if (new URL(request.url).pathname !== "/v1/traces" || type !== "application/x-protobuf")
        return new Response("not OTLP", { status: 400 })
      const schema = otlpTraceV1.ExportTraceServiceRequestSchema
      const exported = fromBinary(schema, await request.bytes())
      for (const { scopeSpans, resource } of exported.resourceSpans) {
        const own = Object.fromEntries(
          (resource?.attributes ?? []).map(one => [one.key, one.value?.value.value]),
        )
        for (const span of scopeSpans.flatMap(scope => scope.spans)) {
          const pairs = span.attributes.map(one => {
            const value = one.value?.value.value
            return [one.key, typeof value === "bigint" ? Number(value) : value]
          })
          const line = {
            traceId: hex(span.traceId),
            spanId: hex(span.spanId),
            parentId: hex(span.parentSpanId),
            kind: span.kind,
            name: span.name,
            error: span.status?.code === 2,
            resource: own,
            attributes: Object.fromEntries(pairs),
          }
          process.stdout.write(`${JSON.stringify(line)}\n`)
        }
      }
      return new Response(new Uint8Array(0), { headers: { "Content-Type": "application/x-protobuf" } })
    },
  })
  process.stdout.write("listening\n")
}
