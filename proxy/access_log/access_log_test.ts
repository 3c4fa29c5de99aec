// Lines of the access log, what a peer may not do to them, and a standard output that is slow.
import { expect, test } from "bun:test"
import { Endpoint, UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import type { ExchangeFacts } from "../http/mod.ts"
import { createLogger } from "../log.ts"
import { Registry } from "../telemetry/mod.ts"
import { apacheLine, jsonLine, LineClock, MAX_LOGGED_TEXT } from "./access_line.ts"
import { AccessLogFile } from "./access_log.ts"
import { LINE_BATCH_BYTES, LineWriter, MAX_WAITING_LOG_BYTES, type Write } from "./line_writer.ts"

const AT = Date.UTC(2026, 10, 28, 2, 55, 48, 7)

function facts(headers: Record<string, string> = {}, more: Partial<ExchangeFacts> = {}): ExchangeFacts {
  return {
    direction: 0,
    request: {
      method: "GET",
      authority: "web.shop",
      path: "/cart?id=1",
      isGrpc: false,
      upgrade: "",
      header: name => headers[name],
      values: name => headers[name],
    },
    httpVersion: "1.1",
    client: "10.0.0.9:5000",
    clientId: "default.shop.serviceaccount.identity.conduit.cluster.local",
    tls: "true",
    endpoint: new Endpoint("127.0.0.1", 8080, { ...UNKNOWN_ENDPOINT, pod: "web-1" }),
    dstService: "",
    dstNamespace: "",
    route: "",
    status: 200,
    grpcStatus: -1,
    error: "",
    isFailure: false,
    requestBytes: 0,
    responseBytes: 2326,
    attempts: 1,
    totalMs: 12.3456789,
    processingMs: 0.25,
    traceId: "",
    ...more,
  }
}

test("a line in Apache's combined format has our fields behind it", () => {
  const line = apacheLine(facts({ "user-agent": "curl/8", referer: "http://a/" }), AT, new LineClock())
  expect(line).toBe(
    "10.0.0.9 - default.shop.serviceaccount.identity.conduit.cluster.local [28/Nov/2026:02:55:48 +0000] " +
      '"GET /cart?id=1 HTTP/1.1" 200 2326 "http://a/" "curl/8" host="web.shop" direction=inbound request_bytes=0 ' +
      "total_ms=12.346 processing_ms=0.25 endpoint=127.0.0.1:8080\n",
  )
})

test("a JSON line has Linkerd's names", () => {
  const traceId = "0af7651916cd43dd8448eb211c80319c"
  const line = jsonLine(
    facts({ "user-agent": "curl/8" }, { traceId, grpcStatus: 14, error: "no-endpoint" }),
    AT,
    new LineClock(),
  )
  expect(line).toEndWith("}\n")
  expect(JSON.parse(line)).toEqual({
    "client.addr": "10.0.0.9:5000",
    "client.id": "default.shop.serviceaccount.identity.conduit.cluster.local",
    host: "web.shop",
    method: "GET",
    processing_ns: 250_000,
    request_bytes: 0,
    response_bytes: 2326,
    status: 200,
    timestamp: "2026-11-28T02:55:48.007Z",
    total_ns: 12_345_679,
    trace_id: traceId,
    uri: "/cart?id=1",
    user_agent: "curl/8",
    version: "HTTP/1.1",
    direction: "inbound",
    endpoint: "127.0.0.1:8080",
    dst_pod: "web-1",
    grpc_status: 14,
    error: "no-endpoint",
  })
})

test.each([
  ["a line break", "a\r\n10.0.0.1 - - forged"],
  ["a quote and a backslash", 'a" 500 "\\'],
  ["an escape sequence of terminals", "\x1b[2Jgone"],
  ["bytes beyond ASCII", "caf\xe9 \x85"],
])("%s in a header stays one printable line, and JSON gives back what was sent", (_what, agent) => {
  for (const render of [apacheLine, jsonLine]) {
    const line = render(facts({ "user-agent": agent }), AT, new LineClock())
    expect(line.slice(0, -1)).toMatch(/^[\x20-\x7e]+$/)
  }
  expect(JSON.parse(jsonLine(facts({ "user-agent": agent }), AT, new LineClock())).user_agent).toBe(agent)
})

test("a long header is cut", () => {
  const line = jsonLine(facts({ "user-agent": "x".repeat(60_000) }), AT, new LineClock())
  expect(JSON.parse(line).user_agent).toBe(`${"x".repeat(MAX_LOGGED_TEXT)}...`)
})

test("the moment turns with the second", () => {
  const clock = new LineClock()
  expect([clock.iso(AT), clock.iso(AT + 992), clock.iso(AT + 993)]).toEqual([
    "2026-11-28T02:55:48.007Z",
    "2026-11-28T02:55:48.999Z",
    "2026-11-28T02:55:49.000Z",
  ])
  expect(clock.apache(AT + 86_400_000)).toBe("29/Nov/2026:02:55:48 +0000")
})

/** A descriptor that takes bytes when the test says so. */
function slowOutput() {
  const waiting: { bytes: Uint8Array; offset: number; done: Parameters<Write>[2] }[] = []
  const timers: (() => void)[] = []
  return {
    waiting,
    written: "",
    write: ((bytes, offset, done) => void waiting.push({ bytes, offset, done })) as Write,
    later: (callback: () => void) => void timers.push(callback),
    tick() {
      for (const callback of timers.splice(0)) callback()
    },
    /** @param bytes  how many are taken; default: all */
    take(bytes?: number) {
      const next = waiting.shift()
      if (next === undefined) throw new Error("nothing is being written")
      const taken = next.bytes.subarray(next.offset, bytes === undefined ? undefined : next.offset + bytes)
      this.written += Buffer.from(taken).toString("latin1")
      next.done(null, taken.length)
    },
  }
}

test("lines go out in batches, one write at a time, and whole also where a write took a part", () => {
  const output = slowOutput()
  const writer = new LineWriter(output)
  writer.line("one\n")
  writer.line("two\n")
  expect(output.waiting).toHaveLength(0)
  output.tick()
  expect(output.waiting).toHaveLength(1)
  writer.line("three\n")
  expect(output.waiting).toHaveLength(1)
  output.take(3)
  output.take()
  output.take()
  expect(output.written).toBe("one\ntwo\nthree\n")
})

test("much at once does not wait for the time", () => {
  const output = slowOutput()
  const writer = new LineWriter(output)
  for (let i = 0; i < LINE_BATCH_BYTES / 64; i++) writer.line(`${"x".repeat(63)}\n`)
  expect(output.waiting).toHaveLength(1)
})

test("an output that is full for now is tried again, one that is gone loses the batch only", () => {
  const output = slowOutput()
  const writer = new LineWriter(output)
  writer.line("one\n")
  output.tick()
  output.waiting.shift()?.done({ code: "EAGAIN" }, 0)
  output.tick()
  writer.line("two\n")
  output.waiting.shift()?.done({ code: "EPIPE" }, 0)
  output.take()
  expect(output.written).toBe("two\n")
})

test("an output that takes nothing costs lines, which are counted and told, never memory without bound", () => {
  const output = slowOutput()
  const registry = new Registry()
  const logged: string[] = []
  const log = createLogger({ sink: line => logged.push(line) })
  const access = new AccessLogFile({ ...output, format: "json", registry, log, wallClock: () => AT })
  const lines = 20_000
  for (let i = 0; i < lines; i++) access.ended(facts())
  const value = (name: string) =>
    [...registry.all()].find(series => series.metric.name === name && "value" in series) as { value: number }
  const dropped = value("access_log_dropped_total").value
  expect(dropped).toBeGreaterThan(0)
  expect(value("access_log_lines_total").value).toBe(lines - dropped)
  // The log says so while it lasts, and once for all of them.
  expect(logged).toEqual([])
  output.tick()
  expect(logged).toHaveLength(1)
  expect(logged[0]).toContain(`lines=${dropped}`)
  while (output.waiting.length > 0) output.take()
  output.tick()
  while (output.waiting.length > 0) output.take()
  expect(output.written.length).toBeLessThanOrEqual(MAX_WAITING_LOG_BYTES)
  expect(output.written.split("\n").length - 1 + dropped).toBe(lines)
  output.tick()
  expect(logged).toHaveLength(1)
})
