// Spans on their way to a collector that takes them, refuses them, or is away.
import { expect, test } from "bun:test"
import { fromBinary } from "@bufbuild/protobuf"
import { otlpTraceV1 } from "../../protos/mod.ts"
import { createLogger } from "../log.ts"
import { dial } from "../net/mod.ts"
import { Registry } from "../telemetry/mod.ts"
import { createPost, type Post, type PostOptions, type PostResult } from "./otlp_post.ts"
import type { Span } from "./span.ts"
import {
  EXPORT_INTERVAL_MS,
  EXPORT_RETRY_MAX_MS,
  MAX_EXPORT_ATTEMPTS,
  MAX_EXPORT_SPANS,
  MAX_QUEUED_SPANS,
  SpanExporter,
} from "./span_exporter.ts"

const OK: PostResult = { status: 200, retryAfterS: 0, error: "" }
const AWAY: PostResult = { status: 0, retryAfterS: 0, error: "ECONNREFUSED" }

function span(number: number): Span {
  const spanId = number.toString(16).padStart(16, "0")
  const ids = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId, parentId: "", traceState: "" }
  return { ...ids, name: "GET", kind: 2, startMs: 1, endMs: 2, attributes: [], isError: false }
}

function fixture() {
  const registry = new Registry()
  const logged: string[] = []
  const posts: { spans: number; answer: (result: PostResult) => Promise<void> }[] = []
  const pauses: { callback: () => void; delayMs: number }[] = []
  const exporter = new SpanExporter({
    post: body =>
      new Promise(resolve => {
        const request = fromBinary(otlpTraceV1.ExportTraceServiceRequestSchema, body)
        const spans = request.resourceSpans[0]?.scopeSpans[0]?.spans.length ?? 0
        posts.push({
          spans,
          async answer(result) {
            resolve(result)
            await Bun.sleep(0)
          },
        })
      }),
    source: { resource: [], version: "0.1.0" },
    registry,
    log: createLogger({ sink: line => logged.push(line) }),
    later: (callback, delayMs) => void pauses.push({ callback, delayMs }),
    random: () => 0.5,
  })
  const value = (name: string, reason = "") => {
    for (const series of registry.all()) {
      const is = series.metric.name === name && (series.labels[0]?.[1] ?? "") === reason
      if (is && "value" in series) return series.value
    }
    return Number.NaN
  }
  /** Lets the pause that was asked for last be over; gives its length. */
  const wait = () => {
    const pause = pauses.shift()
    pause?.callback()
    return pause?.delayMs ?? Number.NaN
  }
  return { exporter, posts, logged, value, wait }
}

test("spans wait a second for others, and go in one export", async () => {
  const { exporter, posts, value, wait } = fixture()
  for (let i = 0; i < 3; i++) exporter.add(span(i))
  expect(posts).toHaveLength(0)
  expect(wait()).toBe(EXPORT_INTERVAL_MS)
  expect(posts.map(post => post.spans)).toEqual([3])
  await posts[0]?.answer(OK)
  expect(value("trace_spans_exported_total")).toBe(3)
})

test("a full export does not wait, and no other begins before it is answered", async () => {
  const { exporter, posts } = fixture()
  for (let i = 0; i < MAX_EXPORT_SPANS + 10; i++) exporter.add(span(i))
  expect(posts.map(post => post.spans)).toEqual([MAX_EXPORT_SPANS])
  await posts[0]?.answer(OK)
  expect(posts.map(post => post.spans)).toEqual([MAX_EXPORT_SPANS, 10])
})

test("a collector that is away costs spans beyond the queue, one warning, and ever longer pauses", async () => {
  const { exporter, posts, logged, value, wait } = fixture()
  for (let i = 0; i < MAX_EXPORT_SPANS + MAX_QUEUED_SPANS + 5; i++) exporter.add(span(i))
  expect(value("trace_spans_dropped_total", "queue-full")).toBe(5)
  // The wait of the first spans is over; an export is under way already.
  wait()
  const pauses: number[] = []
  for (let attempt = 1; attempt < MAX_EXPORT_ATTEMPTS; attempt++) {
    await posts.at(-1)?.answer(AWAY)
    pauses.push(wait())
  }
  expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, EXPORT_RETRY_MAX_MS, EXPORT_RETRY_MAX_MS])
  await posts.at(-1)?.answer(AWAY)
  expect(value("trace_spans_dropped_total", "unreachable")).toBe(MAX_EXPORT_SPANS)
  // The next batch is tried, and the collector is back.
  await posts.at(-1)?.answer(OK)
  expect(value("trace_spans_exported_total")).toBe(MAX_EXPORT_SPANS)
  expect(logged).toHaveLength(2)
  expect(logged[0]).toContain("ECONNREFUSED")
})

test("what the collector asks to wait is waited; what it refuses is not sent again", async () => {
  const { exporter, posts, value, wait } = fixture()
  exporter.add(span(1))
  wait()
  await posts[0]?.answer({ status: 429, retryAfterS: 7, error: "" })
  expect(wait()).toBe(7000)
  await posts[1]?.answer({ status: 400, retryAfterS: 0, error: "" })
  expect(posts).toHaveLength(2)
  expect(value("trace_spans_dropped_total", "rejected")).toBe(1)
})

function postTo(port: number, changed: Partial<PostOptions> = {}): Post {
  return createPost({
    address: `collector:${port}`,
    userAgent: "conduit-proxy/0.1.0",
    resolve: async () => ["127.0.0.1"],
    connect: async (address, to, handler) => dial(address, to, handler),
    ...changed,
  })
}

test("an export is a POST of protobuf to /v1/traces that makes no trace of its own", async () => {
  const seen: { method: string; path: string; type: string | null; b3: string | null; body: number[] }[] = []
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { headers, method } = request
      seen.push({
        method,
        path: new URL(request.url).pathname,
        type: headers.get("content-type"),
        b3: headers.get("b3"),
        body: [...(await request.bytes())],
      })
      return new Response("busy", { status: 503, headers: { "Retry-After": "3" } })
    },
  })
  try {
    const post = postTo(server.port as number)
    expect(await post(new Uint8Array([1, 2, 3]))).toEqual({ status: 503, retryAfterS: 3, error: "" })
    expect(seen).toEqual([
      { method: "POST", path: "/v1/traces", type: "application/x-protobuf", b3: "0", body: [1, 2, 3] },
    ])
  } finally {
    await server.stop(true)
  }
})

test("a collector that cannot be reached, or closes, or is no HTTP server is told as such", async () => {
  const closing = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: socket => void socket.end() },
  })
  const other = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: socket => void socket.end("220 mail\r\n\r\n") },
  })
  const { port: closingPort } = closing
  try {
    expect(await postTo(closingPort)(new Uint8Array(1))).toMatchObject({ status: 0 })
    expect((await postTo(other.port)(new Uint8Array(1))).error).toBe("what came is no answer of HTTP/1.1")
  } finally {
    closing.stop(true)
    other.stop(true)
  }
  expect(await postTo(closingPort)(new Uint8Array(1))).toMatchObject({ status: 0, error: "ECONNREFUSED" })
  expect((await postTo(1, { resolve: async () => [] })(new Uint8Array(1))).error).toBe(
    "collector has no address",
  )
  const connect = () => Promise.reject(new Error("there is no endpoint"))
  expect((await postTo(1, { connect })(new Uint8Array(1))).error).toBe("collector:1: there is no endpoint")
})
