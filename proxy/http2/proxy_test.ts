// The HTTP/2 engine between scripted clients and servers on loopback: what passes, what is retried, what is answered,
// and how each side learns of the other's end.
import { expect, test } from "bun:test"
import { Endpoint, SingleEndpoint } from "../balance/mod.ts"
import { CONN_HIGH_WATER_BYTES, TimerWheel } from "../net/mod.ts"
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
import { OUTPUT_HIGH_WATER_BYTES } from "../wire/mod.ts"
import { type LoopbackOptions, roundRobin, startLoopbackProxy } from "./loopback.ts"
import { KEEPALIVE_PING_MS, KEEPALIVE_TIMEOUT_MS, UPSTREAM_IDLE_MS } from "./upstream.ts"
import { type WirePeer, type WireServer, wireClient, wireServer } from "./wire_peer.ts"

const END = frame.FLAG_END_STREAM
const GRPC: Pairs = [...REQUEST, ["content-type", "application/grpc"], ["te", "trailers"]]
const GET: Pairs = REQUEST.map(([name, value]) => [name, name === ":method" ? "GET" : value])
const OK: Pairs = [[":status", "200"]]

const data = (id: number, length: number, flags = 0): Uint8Array =>
  frameBytes(frame.FRAME_DATA, flags, id, new Uint8Array(length).fill(120))
const reset = (id: number, code: number): Uint8Array => frameBytes(frame.FRAME_RST_STREAM, 0, id, word(code))
const goaway = (lastId: number): Uint8Array =>
  frameBytes(frame.FRAME_GOAWAY, 0, 0, [...word(lastId), ...word(0)])

/** A port that nobody listens on. */
function deadPort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } })
  const port = server.port
  server.stop(true)
  return port
}

async function scene(
  servers: number,
  options: LoopbackOptions & { readonly hello?: Uint8Array; readonly dead?: number } = {},
): Promise<{
  client: WirePeer
  servers: WireServer[]
  server: WireServer
  proxy: ReturnType<typeof startLoopbackProxy>
}> {
  const made = Array.from({ length: servers }, () => wireServer(options.hello ?? settingsFrame()))
  const dead = Array.from({ length: options.dead ?? 0 }, deadPort)
  const proxy = startLoopbackProxy(roundRobin([...dead, ...made.map(server => server.port)]), {
    ...options,
  })
  const client = await wireClient(proxy.port, CLIENT_HELLO)
  return { client, servers: made, server: made[0] as WireServer, proxy }
}

test("heads, interim heads, bodies and trailers pass both ways as sent", async () => {
  const { client, server } = await scene(1)
  client.send(
    headersFrame(1, [...REQUEST, ["x-a", "1"]]),
    data(1, 10),
    headersFrame(1, [["x-sum", "2"]], END),
  )
  const up = await server.peer(0)
  expect(await up.line("HEADERS")).toBe("HEADERS 1 :method=POST :scheme=http :path=/a :authority=web x-a=1")
  expect(await up.line("DATA")).toBe("DATA 1 10")
  expect(await up.line("HEADERS")).toBe("HEADERS 1 x-sum=2 END")
  up.send(
    headersFrame(1, [
      [":status", "103"],
      ["link", "</x>"],
    ]),
    headersFrame(1, OK),
    data(1, 5),
    headersFrame(1, [["x-t", "3"]], END),
  )
  expect(await client.line("HEADERS")).toBe("HEADERS 1 :status=103 link=</x>")
  expect(await client.line("HEADERS")).toBe("HEADERS 1 :status=200")
  expect(await client.line("DATA")).toBe("DATA 1 5")
  expect(await client.line("HEADERS")).toBe("HEADERS 1 x-t=3 END")
})

test("streams of one connection go to all endpoints", async () => {
  const { client, servers } = await scene(3)
  for (const id of [1, 3, 5]) client.send(headersFrame(id, GET, END))
  for (const server of servers) expect(await (await server.peer(0)).line("HEADERS")).toContain(":path=/a")
})

test("an endpoint that refuses the connection is skipped, body and all", async () => {
  const { client, server } = await scene(1, { dead: 1 })
  client.send(headersFrame(1, REQUEST), data(1, 1000, END))
  const up = await server.peer(0)
  expect(await up.line("HEADERS")).toContain(":path=/a")
  expect(await up.line("DATA")).toBe("DATA 1 1000 END")
})

test("when no endpoint can be connected to, the answer is 502, for gRPC status 14 in trailers only", async () => {
  const { client } = await scene(0, { dead: 2 })
  client.send(headersFrame(1, GET, END), headersFrame(3, GRPC))
  expect(await client.line("HEADERS 1")).toMatch(
    /:status=502 content-length=0 conduit-proxy-error=connect-failed; id=\w{8} END/,
  )
  expect(await client.line("HEADERS 3")).toMatch(
    /:status=200 content-type=application\/grpc grpc-status=14 grpc-message=.* conduit-proxy-error=connect-failed; id=\w{8} END/,
  )
  // The rest of the request is not wanted.
  expect(await client.line("RST_STREAM 3")).toBe("RST_STREAM 3 NO_ERROR")
})

test("without endpoints the answer is 503", async () => {
  const { client } = await scene(0)
  client.send(headersFrame(1, GET, END))
  expect(await client.line("HEADERS 1")).toContain(
    ":status=503 content-length=0 conduit-proxy-error=no-endpoint",
  )
})

test("a server that goes away: 502 before a response, a reset in the middle of one", async () => {
  const { client, server } = await scene(1)
  client.send(headersFrame(1, REQUEST, END), headersFrame(3, REQUEST, END))
  const up = await server.peer(0)
  await up.line("HEADERS 3")
  up.send(headersFrame(1, OK), data(1, 5))
  await client.line("DATA 1")
  up.close()
  expect(await client.line("HEADERS 3")).toContain(
    ":status=502 content-length=0 conduit-proxy-error=upstream-gone",
  )
  expect(await client.line("RST_STREAM 1")).toBe("RST_STREAM 1 INTERNAL_ERROR")
})

test("a kept connection that closes as a GET is sent costs the client nothing", async () => {
  const { client, server } = await scene(1)
  client.send(headersFrame(1, GET, END))
  const first = await server.peer(0)
  await first.line("HEADERS 1")
  first.send(headersFrame(1, OK, END))
  await client.line("HEADERS 1")
  await Bun.sleep(5)
  client.send(headersFrame(3, GET, END))
  await first.line("HEADERS 3")
  first.close()
  const second = await server.peer(1)
  await second.line("HEADERS 1")
  second.send(headersFrame(1, OK, END))
  expect(await client.line("HEADERS 3")).toBe("HEADERS 3 :status=200 END")
})

test("a GET without an answer when its busy connection breaks is asked once more, and not a third time", async () => {
  const { client, server } = await scene(1)
  client.send(headersFrame(1, GET, END), headersFrame(3, GET, END))
  const first = await server.peer(0)
  await first.line("HEADERS 3")
  await Bun.sleep(5)
  first.send(headersFrame(1, OK, END))
  await client.line("HEADERS 1")
  first.close()
  const second = await server.peer(1)
  await second.line("HEADERS 1")
  client.send(headersFrame(5, GET, END))
  await second.line("HEADERS 3")
  await Bun.sleep(5)
  second.send(headersFrame(3, OK, END))
  await client.line("HEADERS 5")
  second.close()
  expect(await client.line("HEADERS 3")).toContain(
    ":status=502 content-length=0 conduit-proxy-error=upstream-gone",
  )
})

test("REFUSED_STREAM is tried elsewhere while the request is whole, else passed on", async () => {
  const { client, servers } = await scene(2, { replayBytes: 50 })
  client.send(headersFrame(1, REQUEST, END))
  const first = await (servers[0] as WireServer).peer(0)
  await first.line("HEADERS 1")
  first.send(reset(1, frame.REFUSED_STREAM))
  const second = await (servers[1] as WireServer).peer(0)
  await second.line("HEADERS 1")
  second.send(headersFrame(1, OK, END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
  // More than is kept to be sent again.
  client.send(headersFrame(3, REQUEST), data(3, 100))
  await first.line("DATA 3")
  first.send(reset(3, frame.REFUSED_STREAM))
  expect(await client.line("RST_STREAM 3")).toBe("RST_STREAM 3 REFUSED_STREAM")
})

test("GOAWAY: streams that the server never saw move to a new connection, the others finish", async () => {
  const { client, server } = await scene(1)
  client.send(headersFrame(1, REQUEST, END), headersFrame(3, REQUEST, END))
  const first = await server.peer(0)
  await first.line("HEADERS 3")
  first.send(goaway(1))
  const second = await server.peer(1)
  await second.line("HEADERS 1")
  second.send(headersFrame(1, [[":status", "201"]], END))
  first.send(headersFrame(1, OK, END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
  expect(await client.line("HEADERS 3")).toBe("HEADERS 3 :status=201 END")
  await first.closing()
  client.send(headersFrame(5, REQUEST, END))
  await second.line("HEADERS 3")
})

test("a cancelled stream is cancelled at the server; so are all of a client that is gone", async () => {
  const { client, server } = await scene(1)
  client.send(headersFrame(1, REQUEST), headersFrame(3, REQUEST))
  const up = await server.peer(0)
  await up.line("HEADERS 3")
  client.send(reset(1, frame.CANCEL))
  expect(await up.line("RST_STREAM")).toBe("RST_STREAM 1 CANCEL")
  client.close()
  expect(await up.line("RST_STREAM")).toBe("RST_STREAM 3 CANCEL")
})

test("a reset by the server reaches the client with its code; codes of one connection do not", async () => {
  const { client, server } = await scene(1)
  client.send(headersFrame(1, REQUEST), headersFrame(3, REQUEST))
  const up = await server.peer(0)
  await up.line("HEADERS 3")
  up.send(reset(1, frame.ENHANCE_YOUR_CALM), reset(3, frame.FLOW_CONTROL_ERROR))
  expect(await client.line("RST_STREAM 1")).toBe("RST_STREAM 1 ENHANCE_YOUR_CALM")
  expect(await client.line("RST_STREAM 3")).toBe("RST_STREAM 3 INTERNAL_ERROR")
})

test("a response that comes before the request is complete is passed on whole", async () => {
  const { client, server } = await scene(1)
  client.send(headersFrame(1, REQUEST), data(1, 100))
  const up = await server.peer(0)
  await up.line("DATA 1")
  up.send(headersFrame(1, [[":status", "413"]], END), reset(1, frame.NO_ERROR))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=413 END")
  expect(await client.line("RST_STREAM 1")).toBe("RST_STREAM 1 NO_ERROR")
})

test("a malformed response is answered with 502", async () => {
  const { client, server } = await scene(1)
  client.send(headersFrame(1, REQUEST, END))
  const up = await server.peer(0)
  await up.line("HEADERS 1")
  up.send(headersFrame(1, [...OK, ["connection", "close"]], END))
  expect(await client.line("HEADERS 1")).toContain(
    ":status=502 content-length=0 conduit-proxy-error=upstream-malformed",
  )
  expect(await up.line("RST_STREAM 1")).toBe("RST_STREAM 1 PROTOCOL_ERROR")
})

test("conduit-proxy-error is stripped from what applications send", async () => {
  const { client, server } = await scene(1, { direction: 0 })
  client.send(headersFrame(1, [...REQUEST, ["conduit-proxy-error", "fake"]], END))
  const up = await server.peer(0)
  expect(await up.line("HEADERS 1")).not.toContain("conduit")
  up.send(
    headersFrame(1, [...OK, ["conduit-proxy-error", "fake"]]),
    headersFrame(
      1,
      [
        ["conduit-proxy-error", "fake"],
        ["x", "1"],
      ],
      END,
    ),
  )
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200")
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 x=1 END")
})

test("a head over the limits is answered with 431", async () => {
  const { client } = await scene(1)
  client.send(
    headersFrame(
      1,
      [...REQUEST, ...Array.from({ length: 501 }, (_, i): [string, string] => [`x${i}`, "1"])],
      END,
    ),
  )
  expect(await client.line("HEADERS 1")).toContain(
    ":status=431 content-length=0 conduit-proxy-error=head-too-large",
  )
})

test("CONNECT becomes a tunnel of DATA", async () => {
  const { client, server } = await scene(1)
  client.send(
    headersFrame(1, [
      [":method", "CONNECT"],
      [":authority", "db:5432"],
    ]),
  )
  const up = await server.peer(0)
  expect(await up.line("HEADERS 1")).toBe("HEADERS 1 :method=CONNECT :authority=db:5432")
  up.send(headersFrame(1, OK), data(1, 7))
  expect(await client.line("DATA 1")).toBe("DATA 1 7")
  client.send(data(1, 9, END))
  expect(await up.line("DATA 1")).toBe("DATA 1 9 END")
})

test("extended CONNECT passes where the server takes it and is refused where it does not", async () => {
  const websocket: Pairs = [
    [":method", "CONNECT"],
    [":protocol", "websocket"],
    [":scheme", "http"],
    [":path", "/ws"],
    [":authority", "web"],
  ]
  const able = await scene(1, { hello: settingsFrame([8, 1]) })
  able.client.send(headersFrame(1, websocket))
  expect(await (await able.server.peer(0)).line("HEADERS 1")).toContain(":protocol=websocket")
  const unable = await scene(1)
  unable.client.send(headersFrame(1, websocket))
  expect(await unable.client.line("HEADERS 1")).toContain(":status=502")
})

test("another connection is opened when the server's limit of streams is reached", async () => {
  const { client, server } = await scene(1, { hello: settingsFrame([3, 2]) })
  client.send(headersFrame(1, REQUEST, END))
  const first = await server.peer(0)
  await first.line("HEADERS 1")
  await Bun.sleep(5)
  for (const id of [3, 5, 7]) client.send(headersFrame(id, REQUEST, END))
  await first.line("HEADERS 3")
  const second = await server.peer(1)
  await second.line("HEADERS 3")
  expect(server.peers.length).toBe(2)
})

test("draining: requests under way finish, then GOAWAY names the last and the connection closes", async () => {
  const { client, server, proxy } = await scene(1)
  client.send(headersFrame(1, REQUEST, END))
  const up = await server.peer(0)
  await up.line("HEADERS 1")
  proxy.connections[0]?.drain()
  expect(await client.line("GOAWAY")).toBe("GOAWAY 2147483647 NO_ERROR")
  await client.line("PING")
  // A request that crosses the notice on its way is served.
  client.send(headersFrame(3, REQUEST, END))
  await up.line("HEADERS 3")
  client.send(frameBytes(frame.FRAME_PING, frame.FLAG_ACK, 0, new Uint8Array(8)))
  expect(await client.line("GOAWAY")).toBe("GOAWAY 3 NO_ERROR")
  up.send(headersFrame(1, OK, END), headersFrame(3, OK), data(3, 3, END))
  expect(await client.line("DATA 3")).toBe("DATA 3 3 END")
  await client.closing()
})

test("a client that does not read holds its server back, and nobody else's", async () => {
  const { client, server, proxy } = await scene(1)
  client.send(settingsFrame([4, 0]), headersFrame(1, GET, END))
  const up = await server.peer(0)
  await up.line("HEADERS 1")
  up.send(headersFrame(1, OK), data(1, 16_384), data(1, 16_384), data(1, 16_384), data(1, 16_383))
  await client.line("HEADERS 1")
  const other = await wireClient(proxy.port, CLIENT_HELLO)
  other.send(headersFrame(1, GET, END))
  await up.line("HEADERS 3")
  up.send(headersFrame(3, OK), data(3, 16_384), data(3, 16_384), data(3, 1, END))
  expect(await other.line("DATA 1 1 ")).toBe("DATA 1 1 END")
  // The server got no window back for what waits.
  expect(up.lines.filter(line => line.startsWith("WINDOW_UPDATE 1"))).toEqual([])
  client.send(frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 1, word(65_535)))
  expect(await up.line("WINDOW_UPDATE 1")).toBe("WINDOW_UPDATE 1 32768")
})

test("DATA waits no earlier than the connection tells of draining", () => {
  expect(OUTPUT_HIGH_WATER_BYTES).toBeGreaterThanOrEqual(CONN_HIGH_WATER_BYTES)
})

/** A clock and its timers, driven by the test. */
function drivenTime(): { clock: { nowMs: number }; timers: TimerWheel; pass(ms: number): void } {
  const clock = { nowMs: 1000 }
  const timers = new TimerWheel(clock)
  return {
    clock,
    timers,
    pass(ms) {
      // In steps, since a timer that fires may set another.
      for (const until = clock.nowMs + ms; clock.nowMs < until; ) {
        clock.nowMs = Math.min(until, clock.nowMs + 1000)
        timers.advance()
      }
    },
  }
}

test("a silent server is asked by PING while streams are open, and left if it does not answer", async () => {
  const { clock, timers, pass } = drivenTime()
  const { client, server } = await scene(1, { clock, timers })
  client.send(headersFrame(1, REQUEST, END))
  const up = await server.peer(0)
  await up.line("HEADERS 1")
  pass(KEEPALIVE_PING_MS + 10)
  await up.line("PING")
  up.send(frameBytes(frame.FRAME_PING, frame.FLAG_ACK, 0, new Uint8Array(8)))
  up.send(headersFrame(1, [[":status", "103"]]))
  await client.line("HEADERS 1")
  pass(KEEPALIVE_TIMEOUT_MS + 10)
  expect(up.closed).toBe(false)
  // Silent since the answer, which is as long ago as the timeout.
  pass(KEEPALIVE_PING_MS - KEEPALIVE_TIMEOUT_MS + 10)
  await up.line("PING")
  pass(KEEPALIVE_TIMEOUT_MS + 10)
  expect(await client.line("HEADERS 1")).toContain(
    ":status=502 content-length=0 conduit-proxy-error=upstream-gone",
  )
  await up.closing()
})

test("a connection without streams is closed after the idle time, and another is made when needed", async () => {
  const { clock, timers, pass } = drivenTime()
  const { client, server } = await scene(1, { clock, timers })
  client.send(headersFrame(1, REQUEST, END))
  const up = await server.peer(0)
  await up.line("HEADERS 1")
  up.send(headersFrame(1, OK, END))
  await client.line("HEADERS 1")
  pass(UPSTREAM_IDLE_MS - 2000)
  expect(up.lines).toEqual([])
  pass(KEEPALIVE_PING_MS)
  expect(await up.line("GOAWAY")).toBe("GOAWAY 0 NO_ERROR")
  await up.closing()
  client.send(headersFrame(3, REQUEST, END))
  await (await server.peer(1)).line("HEADERS 1")
})

test("an endpoint that is dropped keeps its streams and loses its idle connections", async () => {
  const server = wireServer(settingsFrame())
  const endpoint = new Endpoint("127.0.0.1", server.port)
  const proxy = startLoopbackProxy(new SingleEndpoint(endpoint))
  const client = await wireClient(proxy.port, CLIENT_HELLO)
  client.send(headersFrame(1, REQUEST))
  const up = await server.peer(0)
  await up.line("HEADERS 1")
  endpoint.remove()
  client.send(data(1, 10, END))
  await up.line("DATA 1")
  up.send(headersFrame(1, OK, END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
  await up.closing()
  expect(endpoint.pending).toBe(0)
})
