// Retries and timeouts in the HTTP/2 engine, of HTTP and gRPC, on a clock that the test drives.
import { afterEach, expect, test } from "bun:test"
import { RETRY, routesOf, settings } from "../http/route_fixture.ts"
import { TimerWheel } from "../net/mod.ts"
import type { RoutesConfig } from "../route/mod.ts"
import * as frame from "../wire/http2/frame.ts"
import {
  CLIENT_HELLO,
  frameBytes,
  headersFrame,
  type Pairs,
  REQUEST,
  settingsFrame,
  word,
} from "../wire/http2/session_fixture.ts"
import { roundRobin, startLoopbackProxy } from "./loopback.ts"
import { type WirePeer, wireClient, wireServer } from "./wire_peer.ts"

const END = frame.FLAG_END_STREAM
const GET: Pairs = REQUEST.map(([name, value]) => [name, name === ":method" ? "GET" : value])
const GRPC: Pairs = [...REQUEST, ["content-type", "application/grpc"], ["te", "trailers"]]
const OK: Pairs = [[":status", "200"]]
const BUSY: Pairs = [[":status", "503"]]
const UNAVAILABLE: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc"],
  ["grpc-status", "14"],
]

const data = (id: number, text: string, flags = 0): Uint8Array =>
  frameBytes(frame.FRAME_DATA, flags, id, new Uint8Array(Buffer.from(text, "latin1")))
const reset = (id: number, code: number): Uint8Array => frameBytes(frame.FRAME_RST_STREAM, 0, id, word(code))

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

async function scene(config: RoutesConfig) {
  const clock = { nowMs: 1000 }
  const timers = new TimerWheel(clock)
  const server = wireServer(settingsFrame())
  const proxy = startLoopbackProxy(roundRobin([server.port]), { clock, timers, routes: routesOf(config) })
  const client = await wireClient(proxy.port, CLIENT_HELLO)
  cleanups.push(
    () => proxy.close(),
    () => client.close(),
  )
  const pass = async (ms: number): Promise<void> => {
    // What was sent arrives first.
    await Bun.sleep(5)
    for (let passed = 0; passed < ms; passed += 5) {
      clock.nowMs += 5
      timers.advance()
    }
    await Bun.sleep(5)
  }
  const silent = (peer: WirePeer, start: string): boolean => !peer.lines.some(line => line.startsWith(start))
  return { client, proxy, pass, silent, server: () => server.peer(0) }
}

test("a response that the route retries is asked for again after the pause", async () => {
  const { client, server, pass, silent, proxy } = await scene(settings({ retry: RETRY }))
  client.send(headersFrame(1, GET, END))
  const peer = await server()
  await peer.line("HEADERS 1")
  peer.send(headersFrame(1, BUSY), data(1, "busy", END))
  await pass(50)
  expect(silent(peer, "HEADERS 3")).toBe(true)
  await pass(60)
  await peer.line("HEADERS 3")
  peer.send(headersFrame(3, OK), data(3, "hi", END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200")
  await client.line("DATA 1 2 END")
  expect(client.body(1)).toBe("hi")
  expect(proxy.admission.inFlight).toBe(0)
})

test("an attempt whose answer was whole is not reset", async () => {
  const { client, server, pass, silent } = await scene(settings({ retry: RETRY }))
  client.send(headersFrame(1, GET, END))
  const peer = await server()
  await peer.line("HEADERS 1")
  peer.send(headersFrame(1, BUSY, END))
  await pass(150)
  await peer.line("HEADERS 3")
  expect(silent(peer, "RST_STREAM 1")).toBe(true)
})

test("a gRPC call is asked again by its status, with its body, and no sooner than the server says", async () => {
  const { client, server, pass, silent } = await scene(settings({ retry: RETRY }))
  client.send(headersFrame(1, GRPC), data(1, "message", END))
  const peer = await server()
  await peer.line("DATA 1 7 END")
  peer.send(headersFrame(1, [...UNAVAILABLE, ["grpc-retry-pushback-ms", "400"]], END))
  await pass(380)
  expect(silent(peer, "HEADERS 3")).toBe(true)
  await pass(30)
  await peer.line("DATA 3 7 END")
  expect(peer.body(3)).toBe("message")
  peer.send(headersFrame(3, OK), headersFrame(3, [["grpc-status", "0"]], END))
  await client.line("HEADERS 1 :status=200")
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 grpc-status=0 END")
})

test("a server that says never is not asked again", async () => {
  const { client, server, pass } = await scene(settings({ retry: RETRY }))
  client.send(headersFrame(1, GRPC, END))
  const peer = await server()
  await peer.line("HEADERS 1")
  peer.send(headersFrame(1, [...UNAVAILABLE, ["grpc-retry-pushback-ms", "-1"]], END))
  await pass(500)
  expect(await client.line("HEADERS 1")).toContain("grpc-status=14")
})

test("a status in trailers behind a head is an answer that was passed on", async () => {
  const { client, server, pass } = await scene(settings({ retry: RETRY }))
  client.send(headersFrame(1, GRPC, END))
  const peer = await server()
  await peer.line("HEADERS 1")
  peer.send(headersFrame(1, OK), headersFrame(1, [["grpc-status", "14"]], END))
  await pass(500)
  await client.line("HEADERS 1 :status=200")
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 grpc-status=14 END")
})

test("a stream that the server resets before it answers is asked again", async () => {
  const { client, server, pass } = await scene(settings({ retry: RETRY }))
  client.send(headersFrame(1, GET, END))
  const peer = await server()
  await peer.line("HEADERS 1")
  peer.send(reset(1, frame.INTERNAL_ERROR))
  await pass(150)
  await peer.line("HEADERS 3")
  peer.send(headersFrame(3, OK, END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
})

test("a request that takes too long is answered 504, and its stream to the server is cancelled", async () => {
  const { client, server, pass } = await scene(settings({}, { requestMs: 200 }))
  client.send(headersFrame(1, GET, END))
  const peer = await server()
  await peer.line("HEADERS 1")
  await pass(210)
  expect(await client.line("HEADERS 1")).toMatch(/:status=504 .*conduit-proxy-error=timeout; id=/)
  expect(await peer.line("RST_STREAM 1")).toBe("RST_STREAM 1 CANCEL")
})

test("the caller's own grpc-timeout holds where the service has settings: DEADLINE_EXCEEDED", async () => {
  const { client, server, pass } = await scene(settings({}, { requestMs: 5000 }))
  client.send(headersFrame(1, [...GRPC, ["grpc-timeout", "100m"]], END))
  const peer = await server()
  await peer.line("HEADERS 1")
  await pass(110)
  expect(await client.line("HEADERS 1")).toMatch(/grpc-status=4 /)
  expect(await peer.line("RST_STREAM 1")).toBe("RST_STREAM 1 CANCEL")
})

test("a gRPC server is told how long the route, or what is left of the caller's time, lets it work", async () => {
  const { client, server, pass } = await scene(settings({ retry: RETRY }, { requestMs: 1000 }))
  client.send(headersFrame(1, [...GRPC, ["grpc-timeout", "5S"]], END))
  const peer = await server()
  expect(await peer.line("HEADERS 1")).toContain("grpc-timeout=1000000u")
  client.send(headersFrame(3, [...GRPC, ["grpc-timeout", "300m"]], END))
  expect(await peer.line("HEADERS 3")).toContain("grpc-timeout=300m")
  peer.send(headersFrame(3, UNAVAILABLE, END))
  await pass(105)
  const left = Number(/grpc-timeout=(\d+)u/.exec(await peer.line("HEADERS 5"))?.[1])
  // The pause was 50 to 100 ms, by chance.
  expect(left).toBeGreaterThanOrEqual(195_000)
  expect(left).toBeLessThanOrEqual(250_000)
})

test("an attempt that takes too long is followed by another", async () => {
  const { client, server, pass } = await scene(
    settings({ retry: RETRY }, { requestMs: 1000, backendRequestMs: 100 }),
  )
  client.send(headersFrame(1, GET, END))
  const peer = await server()
  await peer.line("HEADERS 1")
  await pass(110)
  expect(await peer.line("RST_STREAM 1")).toBe("RST_STREAM 1 CANCEL")
  await pass(105)
  await peer.line("HEADERS 3")
  peer.send(headersFrame(3, OK, END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
})

test("a body that comes while the next attempt waits is sent with it", async () => {
  const { client, server, pass } = await scene(settings({ retry: RETRY }))
  client.send(headersFrame(1, GRPC), data(1, "one "))
  const peer = await server()
  await peer.line("DATA 1 4")
  peer.send(headersFrame(1, UNAVAILABLE, END))
  expect(await peer.line("RST_STREAM 1")).toBe("RST_STREAM 1 CANCEL")
  client.send(data(1, "two", END))
  await pass(150)
  await peer.line("HEADERS 3")
  await peer.line("DATA 3 3 END")
  expect(peer.body(3)).toBe("one two")
})

test("a client that goes during the pause leaves nothing behind", async () => {
  const { client, server, pass, silent, proxy } = await scene(settings({ retry: RETRY }))
  client.send(headersFrame(1, GET, END))
  const peer = await server()
  await peer.line("HEADERS 1")
  peer.send(headersFrame(1, BUSY, END))
  await pass(10)
  client.send(reset(1, frame.CANCEL))
  await pass(300)
  expect(silent(peer, "HEADERS 3")).toBe(true)
  expect(proxy.admission.inFlight).toBe(0)
  expect(proxy.admission.replay.used).toBe(0)
})
