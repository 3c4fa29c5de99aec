// Requests that reached no application: the HTTP/2 engine sends them elsewhere with their body as it was, whether the
// endpoint's proxy says so, or the server by GOAWAY or REFUSED_STREAM. And what waits for a full endpoint.
import { expect, test } from "bun:test"
import { TimerWheel } from "../net/mod.ts"
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
import { REPLAY_BODY_BYTES } from "../wire/mod.ts"
import { type LoopbackOptions, roundRobin, startLoopbackProxy } from "./loopback.ts"
import { MAX_CONNECTIONS_PER_ENDPOINT, POOL_WAIT_MS } from "./pool.ts"
import { type WirePeer, type WireServer, wireClient, wireServer } from "./wire_peer.ts"

const END = frame.FLAG_END_STREAM
const GRPC: Pairs = [...REQUEST, ["content-type", "application/grpc"], ["te", "trailers"]]
const OK: Pairs = [[":status", "200"]]
const UNREACHED: Pairs = [
  [":status", "502"],
  ["content-length", "0"],
  ["conduit-proxy-error", "connect-failed; id=0a1b2c3d"],
]
const GRPC_UNREACHED: Pairs = [
  [":status", "200"],
  ["content-type", "application/grpc"],
  ["grpc-status", "14"],
  ["conduit-proxy-error", "connect-failed; id=0a1b2c3d"],
]

const data = (id: number, text: string, flags = 0): Uint8Array =>
  frameBytes(frame.FRAME_DATA, flags, id, new Uint8Array(Buffer.from(text, "latin1")))
const reset = (id: number, code: number): Uint8Array => frameBytes(frame.FRAME_RST_STREAM, 0, id, word(code))
const goaway = (lastId: number): Uint8Array =>
  frameBytes(frame.FRAME_GOAWAY, 0, 0, [...word(lastId), ...word(0)])
const windowUpdate = (id: number, octets: number): Uint8Array =>
  frameBytes(frame.FRAME_WINDOW_UPDATE, 0, id, word(octets))

interface Scene {
  readonly client: WirePeer
  readonly proxy: ReturnType<typeof startLoopbackProxy>
  /** The connection of this number of the server of this number. */
  readonly peer: (server: number, connection?: number) => Promise<WirePeer>
  readonly servers: readonly WireServer[]
}

async function scene(
  count: number,
  options: LoopbackOptions & { readonly unmeshed?: boolean; readonly hello?: Uint8Array } = {},
): Promise<Scene> {
  const servers = Array.from({ length: count }, () => wireServer(options.hello ?? settingsFrame()))
  const source = roundRobin(
    servers.map(server => server.port),
    options.unmeshed !== true,
  )
  const proxy = startLoopbackProxy(source, options)
  const client = await wireClient(proxy.port, CLIENT_HELLO)
  return {
    client,
    proxy,
    servers,
    // Every test asks for servers that its scene has.
    peer: (server, connection = 0) => servers[server]!.peer(connection),
  }
}

function metric(proxy: Scene["proxy"], name: string): number {
  let sum = 0
  for (const line of proxy.telemetry.text().split("\n")) {
    if (line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      sum += Number(line.slice(line.lastIndexOf(" ")))
  }
  return sum
}

test("a POST that did not reach the application is sent elsewhere as it was", async () => {
  const { client, peer, proxy } = await scene(2)
  client.send(headersFrame(1, [...REQUEST, ["x-a", "1"]]), data(1, "hello "), data(1, "world", END))
  const first = await peer(0)
  await first.line("DATA 1 5 END")
  first.send(headersFrame(1, UNREACHED, END))
  const second = await peer(1)
  expect(await second.line("HEADERS 1")).toBe(
    "HEADERS 1 :method=POST :scheme=http :path=/a :authority=web x-a=1",
  )
  await second.line("DATA 1 5 END")
  expect(second.body(1)).toBe("hello world")
  second.send(headersFrame(1, OK, END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
  expect(metric(proxy, "request_total")).toBe(1)
  expect(metric(proxy, "route_actual_request_total")).toBe(2)
  expect(proxy.lines.some(line => line.includes("by its proxy: connect-failed; id=0a1b2c3d"))).toBe(true)
  expect(proxy.admission.replay.used).toBe(0)
  // The first connection goes on to be used.
  client.send(headersFrame(3, REQUEST, END))
  expect(await first.line("HEADERS 3")).toContain(":path=/a")
})

test("a gRPC call with trailers-only status 14 counts alike, and the request's trailers are sent again", async () => {
  const { client, peer } = await scene(2)
  client.send(headersFrame(1, GRPC), data(1, "message"), headersFrame(1, [["x-sum", "1"]], END))
  const first = await peer(0)
  await first.line("HEADERS 1 x-sum=1 END")
  first.send(headersFrame(1, GRPC_UNREACHED, END))
  const second = await peer(1)
  await second.line("HEADERS 1 :method=POST")
  expect(await second.line("HEADERS 1")).toBe("HEADERS 1 x-sum=1 END")
  expect(second.body(1)).toBe("message")
  second.send(headersFrame(1, OK), headersFrame(1, [["grpc-status", "0"]], END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200")
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 grpc-status=0 END")
})

test("a body that is still coming is sent again in full, and its rest goes on to the new endpoint", async () => {
  const { client, peer, proxy } = await scene(3)
  client.send(headersFrame(1, GRPC), data(1, "one "))
  const first = await peer(0)
  await first.line("DATA 1")
  client.send(data(1, "two "))
  await first.line("DATA 1")
  expect(proxy.admission.replay.used).toBeGreaterThan(0)
  first.send(headersFrame(1, GRPC_UNREACHED, END), reset(1, frame.NO_ERROR))
  expect(await first.line("RST_STREAM 1")).toBe("RST_STREAM 1 CANCEL")
  const second = await peer(1)
  await second.line("DATA 1")
  client.send(data(1, "three "))
  await second.line("DATA 1 6")
  second.send(headersFrame(1, GRPC_UNREACHED, END))
  const third = await peer(2)
  await third.line("DATA 1 6")
  client.send(data(1, "four", END))
  await third.line("DATA 1 4 END")
  expect(third.body(1)).toBe("one two three four")
  third.send(headersFrame(1, OK, END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
  expect(proxy.admission.replay.used).toBe(0)
})

test("a body that waits for the server's window moves on with what was sent, and flows on", async () => {
  const hello = settingsFrame([4, 10])
  const { client, peer, proxy } = await scene(2, { hello })
  const body = "0123456789abcdefghijklmnopqrstuvwxyz"
  // Once each, so that the windows are known.
  for (const [id, server] of [
    [1, 0],
    [3, 1],
  ] as const) {
    client.send(headersFrame(id, REQUEST, END))
    const up = await peer(server)
    await up.line("HEADERS 1")
    up.send(headersFrame(1, OK, END))
    await client.line(`HEADERS ${id}`)
  }
  client.send(headersFrame(5, REQUEST), data(5, body, END))
  const first = await peer(0)
  await first.line("DATA 3 10")
  first.send(windowUpdate(3, 5))
  await first.line("DATA 3 5")
  first.send(headersFrame(3, UNREACHED, END))
  const second = await peer(1)
  await second.line("DATA 3 10")
  second.send(windowUpdate(3, 100))
  // What was sent to the first is a piece of its own.
  await second.line("DATA 3 21 END")
  expect(second.body(3)).toBe(body)
  second.send(headersFrame(3, OK, END))
  expect(await client.line("HEADERS 5")).toBe("HEADERS 5 :status=200 END")
  expect(proxy.admission.replay.used).toBe(0)
})

test("each endpoint is asked once; when all refuse the answer is the proxy's own", async () => {
  const { client, peer, proxy, servers } = await scene(3)
  client.send(headersFrame(1, GRPC), data(1, "x", END))
  for (let n = 0; n < 3; n++) {
    const server = await peer(n)
    await server.line("DATA 1")
    server.send(headersFrame(1, GRPC_UNREACHED, END))
  }
  const answer = await client.line("HEADERS 1")
  expect(answer).toMatch(/grpc-status=14 .*conduit-proxy-error=connect-failed; id=\w{8} END/)
  expect(answer).not.toContain("0a1b2c3d")
  expect(servers.map(server => server.peers.length)).toEqual([1, 1, 1])
  expect(proxy.admission.inFlight).toBe(0)
  expect(proxy.admission.replay.used).toBe(0)
})

test(`a body over ${REPLAY_BODY_BYTES} octets is not kept, and the 502 is passed on`, async () => {
  const { client, peer, proxy, servers } = await scene(2, { hello: settingsFrame([4, 1 << 20]) })
  const first = peer(0)
  client.send(headersFrame(1, REQUEST))
  await (await first).line("HEADERS 1")
  ;(await first).send(windowUpdate(0, 1 << 20))
  for (let n = 0; n < 4; n++) client.send(data(1, "x".repeat(16_384)))
  client.send(data(1, "x", END))
  await (await first).line("DATA 1 1 END")
  ;(await first).send(headersFrame(1, UNREACHED, END))
  expect(await client.line("HEADERS 1")).toBe(
    "HEADERS 1 :status=502 content-length=0 conduit-proxy-error=connect-failed; id=0a1b2c3d END",
  )
  expect(servers[1]?.peers.length).toBe(0)
  expect(proxy.admission.replay.used).toBe(0)
})

test("without room for what all requests keep, the 502 is passed on", async () => {
  const { client, peer } = await scene(2, { replayBytes: 3 })
  client.send(headersFrame(1, REQUEST), data(1, "body", END))
  const first = await peer(0)
  await first.line("DATA 1")
  first.send(headersFrame(1, UNREACHED, END))
  expect(await client.line("HEADERS 1")).toContain("0a1b2c3d")
})

test("an endpoint without a proxy is not believed, and its field is stripped", async () => {
  const { client, peer, servers } = await scene(2, { unmeshed: true })
  client.send(headersFrame(1, REQUEST, END))
  const first = await peer(0)
  await first.line("HEADERS 1")
  first.send(headersFrame(1, UNREACHED, END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=502 content-length=0 END")
  expect(servers[1]?.peers.length).toBe(0)
})

test("after an interim response, and for other reasons, nothing is sent again", async () => {
  const { client, peer, servers } = await scene(2)
  client.send(headersFrame(1, REQUEST, END))
  const first = await peer(0)
  await first.line("HEADERS 1")
  first.send(headersFrame(1, [[":status", "103"]]), headersFrame(1, UNREACHED, END))
  expect(await client.line("HEADERS 1 :status=502")).toContain("0a1b2c3d")
  expect(servers[1]?.peers.length).toBe(0)
  client.send(headersFrame(3, REQUEST, END))
  const second = await peer(1)
  await second.line("HEADERS 1")
  const gone: Pairs = UNREACHED.map(([name, value]) => [
    name,
    value.replace("connect-failed", "upstream-gone"),
  ])
  second.send(headersFrame(1, gone, END))
  expect(await client.line("HEADERS 3")).toContain("upstream-gone; id=0a1b2c3d")
})

test("a client that goes away while its request is sent elsewhere leaves nothing behind", async () => {
  const { client, peer, proxy } = await scene(2)
  client.send(headersFrame(1, REQUEST), data(1, "half"))
  const first = await peer(0)
  await first.line("DATA 1")
  first.send(headersFrame(1, UNREACHED, END))
  const second = await peer(1)
  await second.line("DATA 1")
  client.close()
  expect(await second.line("RST_STREAM 1")).toBe("RST_STREAM 1 CANCEL")
  expect(proxy.admission.inFlight).toBe(0)
  expect(proxy.admission.replay.used).toBe(0)
})

test("REFUSED_STREAM: a request whose body was sent is sent elsewhere with it", async () => {
  const { client, peer } = await scene(2, { unmeshed: true })
  client.send(headersFrame(1, REQUEST), data(1, "half "))
  const first = await peer(0)
  await first.line("DATA 1")
  first.send(reset(1, frame.REFUSED_STREAM))
  const second = await peer(1)
  await second.line("DATA 1")
  client.send(data(1, "whole", END))
  await second.line("DATA 1 5 END")
  expect(second.body(1)).toBe("half whole")
  second.send(headersFrame(1, OK, END))
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
})

test("GOAWAY: inbound too, what the server never saw moves to a new connection with its body", async () => {
  const { client, peer } = await scene(1, { direction: 0 })
  client.send(headersFrame(1, GRPC), data(1, "a", END), headersFrame(3, GRPC), data(3, "b", END))
  const first = await peer(0)
  await first.line("DATA 3")
  first.send(goaway(1))
  const second = await peer(0, 1)
  await second.line("DATA 1 1 END")
  expect(second.body(1)).toBe("b")
  second.send(headersFrame(1, OK, END))
  first.send(headersFrame(1, OK, END))
  expect(await client.line("HEADERS 3")).toBe("HEADERS 3 :status=200 END")
  expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
})

test("inbound, while the pod is ending, gRPC callers are told so", async () => {
  const { client, proxy, servers } = await scene(1, { direction: 0 })
  for (const server of servers) server.close()
  proxy.env.draining = true
  client.send(headersFrame(1, GRPC), data(1, "a", END))
  expect(await client.line("HEADERS 1")).toContain("grpc-message=conduit: connect-failed: the pod is ending")
})

test("a request that waits too long for a full endpoint is refused with 503; one that gets room is served", async () => {
  const clock = { nowMs: 1000 }
  const timers = new TimerWheel(clock)
  const pass = (ms: number) => {
    for (const until = clock.nowMs + ms; clock.nowMs < until; timers.advance()) clock.nowMs += 10
  }
  // One stream at a time on each connection.
  const stage = await scene(1, { clock, timers, hello: settingsFrame([3, 1]) })
  const { peer, proxy } = stage
  const clients = [stage.client, await wireClient(proxy.port, CLIENT_HELLO)]
  for (let n = 0; n < MAX_CONNECTIONS_PER_ENDPOINT; n++) {
    stage.client.send(headersFrame(1 + 2 * n, REQUEST, END))
    await (await peer(0, n)).line("HEADERS 1")
  }
  const [, waiting] = clients as [WirePeer, WirePeer]
  waiting.send(headersFrame(1, REQUEST, END), headersFrame(3, GRPC, END))
  await Bun.sleep(20)
  const server = await peer(0)
  pass(POOL_WAIT_MS - 100)
  server.send(headersFrame(1, OK, END))
  await stage.client.line("HEADERS 1 :status=200")
  await server.line("HEADERS 3")
  expect(waiting.lines).toEqual([])
  pass(200)
  expect(await waiting.line("HEADERS 3")).toMatch(
    /grpc-status=14 .*conduit-proxy-error=overload; id=\w{8} END/,
  )
  server.send(headersFrame(3, OK, END))
  expect(await waiting.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
  expect(proxy.admission.inFlight).toBe(MAX_CONNECTIONS_PER_ENDPOINT - 1)
})
