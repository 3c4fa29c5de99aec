// The HTTP/1 engine when things break: what is tried again, what is answered, what is cut, and what is counted.
import { afterEach, expect, test } from "bun:test"
import { createServer as createHttpServer } from "node:http"
import type { EndpointSource } from "../balance/mod.ts"
import { closedPort, type RawPeer, type RawServer, rawClient, rawServer } from "../http/raw_peer.ts"
import { CONN_HIGH_WATER_BYTES, TimerWheel } from "../net/mod.ts"
import { HEAD_TIMEOUT_MS } from "./client.ts"
import {
  type Http1Loopback,
  type Http1LoopbackOptions,
  inOrder,
  onPort,
  startHttp1Loopback,
} from "./loopback.ts"
import { POOL_IDLE_MS } from "./pool.ts"

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

interface Scene {
  readonly client: RawPeer
  readonly server: RawServer
  readonly proxy: Http1Loopback
}

async function scene(
  options: Http1LoopbackOptions & { readonly source?: (port: number) => EndpointSource } = {},
): Promise<Scene> {
  const server = await rawServer()
  const proxy = startHttp1Loopback((options.source ?? onPort)(server.port), options)
  const client = await rawClient(proxy.port)
  cleanups.push(
    () => server.close(),
    () => proxy.close(),
    () => client.socket.destroy(),
  )
  return { client, server, proxy }
}

function metric(proxy: Http1Loopback, name: string): number {
  let sum = 0
  for (const line of proxy.telemetry.text().split("\n")) {
    if (line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      sum += Number(line.slice(line.lastIndexOf(" ")))
  }
  return sum
}

async function nothingInFlight(proxy: Http1Loopback): Promise<void> {
  const deadline = performance.now() + 3000
  while (proxy.admission.inFlight !== 0) {
    if (performance.now() > deadline) throw new Error(`${proxy.admission.inFlight} exchanges never ended`)
    await Bun.sleep(2)
  }
}

const GET = "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
const POST = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody"
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

/** One exchange, so that a connection rests in the pool. */
async function warm({ client, server }: Scene): Promise<RawPeer> {
  client.send(GET)
  const upstream = await server.peer(server.peers.length)
  await upstream.take("\r\n\r\n")
  upstream.send(OK)
  await client.take("hi")
  return upstream
}

test("an endpoint that refuses the connection is skipped, also for a POST", async () => {
  const refusing = await closedPort()
  const { client, server } = await scene({ source: port => inOrder([refusing, port]) })
  client.send(POST)
  const upstream = await server.peer(0)
  expect(await upstream.take("body")).toBe(POST)
  upstream.send(OK)
  expect(await client.take("hi")).toBe(OK)
})

test("a body that is still coming while a dial fails is lost by nobody", async () => {
  const refusing = await closedPort()
  const { client, server } = await scene({ source: port => inOrder([refusing, port]) })
  const body = "x".repeat(2_000_000)
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  const upstream = await server.peer(0)
  await upstream.until(() => upstream.received.endsWith(`\r\n\r\n${body}`), "the whole body")
  upstream.send(OK)
  await client.take("hi")
})

test("when no endpoint takes the connection the answer is 502, and the client's connection stays", async () => {
  const refusing = await closedPort()
  const { client, proxy } = await scene({ source: () => onPort(refusing) })
  for (let i = 0; i < 2; i++) {
    client.send(GET)
    const head = await client.take("\r\n\r\n")
    expect(head).toStartWith("HTTP/1.1 502 Bad Gateway\r\nconduit-proxy-error: connect-failed; id=")
    await client.take("\n")
  }
  client.send(GET.replace("GET", "HEAD"))
  await client.take("\r\n\r\n")
  await Bun.sleep(10)
  expect(client.received).toBe("")
  await nothingInFlight(proxy)
  expect(metric(proxy, "response_total")).toBe(3)
})

test("a service without endpoints is 503", async () => {
  const { client } = await scene({ source: () => ({ pick: () => null }) })
  client.send(GET)
  expect(await client.take("\r\n\r\n")).toContain(
    "503 Service Unavailable\r\nconduit-proxy-error: no-endpoint; id=",
  )
})

test("keep-alive race: a GET on a kept connection that closes unanswered is sent once more, afresh", async () => {
  const stage = await scene()
  const upstream = await warm(stage)
  stage.client.send(GET)
  await upstream.take("\r\n\r\n")
  upstream.socket.destroy()
  const fresh = await stage.server.peer(1)
  expect(await fresh.take("\r\n\r\n")).toBe(GET)
  fresh.send(OK)
  expect(await stage.client.take("hi")).toBe(OK)
  expect(metric(stage.proxy, "response_total")).toBe(2)
  expect(metric(stage.proxy, "request_total")).toBe(2)
})

test("keep-alive race: a second failure is answered, not tried again", async () => {
  const stage = await scene()
  const upstream = await warm(stage)
  stage.client.send(GET)
  await upstream.take("\r\n\r\n")
  upstream.socket.resetAndDestroy()
  const fresh = await stage.server.peer(1)
  await fresh.take("\r\n\r\n")
  fresh.socket.resetAndDestroy()
  expect(await stage.client.take("\r\n\r\n")).toContain(
    "502 Bad Gateway\r\nconduit-proxy-error: upstream-gone",
  )
  expect(stage.server.peers.length).toBe(2)
})

test("keep-alive race: a POST is never sent twice", async () => {
  const stage = await scene()
  const upstream = await warm(stage)
  stage.client.send(POST)
  await upstream.take("body")
  upstream.socket.destroy()
  expect(await stage.client.take("\r\n\r\n")).toContain(
    "502 Bad Gateway\r\nconduit-proxy-error: upstream-gone",
  )
  expect(stage.server.peers.length).toBe(1)
})

test("a GET that a fresh connection leaves unanswered is not sent again", async () => {
  const { client, server } = await scene()
  client.send(GET)
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  upstream.socket.destroy()
  expect(await client.take("\r\n\r\n")).toContain("502 Bad Gateway\r\nconduit-proxy-error: upstream-gone")
  expect(server.peers.length).toBe(1)
})

test("a GET of which half an answer came is not sent again", async () => {
  const stage = await scene()
  const upstream = await warm(stage)
  stage.client.send(GET)
  await upstream.take("\r\n\r\n")
  upstream.send("HTTP/1.1 2")
  await Bun.sleep(20)
  upstream.socket.destroy()
  expect(await stage.client.take("\r\n\r\n")).toContain("502")
  expect(stage.server.peers.length).toBe(1)
})

for (const [what, head, part] of [
  ["a sized body", "Content-Length: 100", "part"],
  ["a chunked body", "Transfer-Encoding: chunked", "4\r\npart\r\n"],
] as const) {
  test(`a server lost within ${what} cuts the client, who must not take a part for the whole`, async () => {
    const { client, server, proxy } = await scene()
    client.send(GET)
    const upstream = await server.peer(0)
    await upstream.take("\r\n\r\n")
    upstream.send(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${part}`)
    await client.take("part")
    upstream.socket.end()
    await client.until(() => client.closed !== "", "the reset")
    expect(client.closed).toBe("reset")
    await nothingInFlight(proxy)
    expect(proxy.telemetry.text()).toContain("upstream-gone")
  })
}

test("a client that goes away takes its request with it", async () => {
  const { client, server, proxy } = await scene()
  client.send(GET)
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  client.socket.resetAndDestroy()
  await upstream.until(() => upstream.closed !== "", "the reset")
  await nothingInFlight(proxy)
})

test("a client that ends within its body takes its request with it", async () => {
  const { client, server, proxy } = await scene()
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart")
  const upstream = await server.peer(0)
  await upstream.take("part")
  client.socket.end()
  await upstream.until(() => upstream.closed !== "", "the reset")
  expect(upstream.closed).toBe("reset")
  await nothingInFlight(proxy)
})

for (const [status, request] of [
  [400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
  [400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  [400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"],
  [431, `GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(140_000)}\r\n\r\n`],
  [501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
  [505, "GET / HTTP/1.7\r\nHost: a\r\n\r\n"],
] as const) {
  test(`${JSON.stringify(request.slice(0, 70))} is answered ${status}, closed, and nothing of it is forwarded`, async () => {
    const { client, server, proxy } = await scene()
    client.send(request + GET)
    await client.end()
    expect(client.received).toStartWith(`HTTP/1.1 ${status} `)
    expect(client.received).toContain("\r\nconduit-proxy-error: ")
    expect(client.received).toContain("\r\nconnection: close\r\n")
    expect(client.received.match(/^HTTP\/1\.1 \d/gm)?.length).toBe(1)
    expect(server.peers.length).toBe(0)
    await nothingInFlight(proxy)
  })
}

test("a body that breaks off its framing midway is cut towards the server", async () => {
  const { client, server, proxy } = await scene()
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
  const upstream = await server.peer(0)
  await upstream.take("abc")
  client.send("zzz\r\n")
  expect(await client.take("\r\n\r\n")).toStartWith("HTTP/1.1 400 ")
  await upstream.until(() => upstream.closed !== "", "the reset")
  expect(upstream.received).not.toContain("zzz")
  await nothingInFlight(proxy)
})

test("a malformed response is 502, and its connection is not used again", async () => {
  const { client, server } = await scene()
  client.send(GET)
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi")
  expect(await client.take("\r\n\r\n")).toContain(
    "502 Bad Gateway\r\nconduit-proxy-error: upstream-malformed",
  )
  await upstream.until(() => upstream.closed !== "", "the reset")
})

test("bytes behind a response never answer the next request", async () => {
  const { client, server } = await scene()
  client.send(GET)
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  upstream.send(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged`)
  expect(await client.take("hi")).toBe(OK)
  client.send(GET)
  const second = await server.peer(1)
  await second.take("\r\n\r\n")
  second.send(OK)
  expect(await client.take("hi")).toBe(OK)
  expect(client.received).toBe("")
})

test("bytes on a connection at rest never answer the next request", async () => {
  const stage = await scene()
  const upstream = await warm(stage)
  upstream.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
  await upstream.until(() => upstream.closed !== "", "the reset")
  await warm(stage)
  expect(stage.server.peers.length).toBe(2)
})

test("a connection at rest is closed after its time, the one used last of all", async () => {
  const clock = { nowMs: 1000 }
  const timers = new TimerWheel(clock)
  const stage = await scene({ time: { clock, timers } })
  const upstream = await warm(stage)
  clock.nowMs += POOL_IDLE_MS - 100
  timers.advance()
  await Bun.sleep(10)
  expect(upstream.ended).toBe(false)
  clock.nowMs += 200
  timers.advance()
  await upstream.end()
})

test("a head that never ends is answered 408 when its time is over (slow loris)", async () => {
  const clock = { nowMs: 1000 }
  const timers = new TimerWheel(clock)
  const { client, server } = await scene({ time: { clock, timers } })
  client.send("GET / HTTP/1.1\r\nHost:")
  await Bun.sleep(20)
  clock.nowMs += HEAD_TIMEOUT_MS - 1000
  timers.advance()
  client.send(" a")
  await Bun.sleep(20)
  expect(client.received).toBe("")
  clock.nowMs += 1100
  timers.advance()
  await client.end()
  expect(client.received).toStartWith("HTTP/1.1 408 Request Timeout\r\nconduit-proxy-error: head-timeout")
  expect(server.peers.length).toBe(0)
})

test("a reader that stops reading stops the server, and little piles up between", async () => {
  const { client, server } = await scene()
  client.send(GET)
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  client.socket.pause()
  const size = 64 * 1024 * 1024
  upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
  const block = Buffer.alloc(1024 * 1024)
  for (let i = 0; i < 64; i++) upstream.socket.write(block)
  const before = process.memoryUsage().arrayBuffers
  await Bun.sleep(300)
  // Kernel buffers of four sockets hold some MB; the rest still waits with the server.
  expect(upstream.socket.writableLength).toBeGreaterThan(32 * 1024 * 1024)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * CONN_HIGH_WATER_BYTES)
  let received = 0
  client.socket.removeAllListeners("data")
  client.socket.on("data", (data: Uint8Array) => {
    received += data.length
  })
  client.socket.resume()
  await client.until(() => received >= size, "the whole body")
})

test("real servers and a real client: node:http behind, fetch before, bodies both ways", async () => {
  const backend = createHttpServer((request, response) => {
    let length = 0
    request.on("data", (data: Uint8Array) => {
      length += data.length
    })
    request.on("end", () => response.end(`${request.method} ${request.url} ${length}`))
  })
  await new Promise<void>(resolve => backend.listen(0, "127.0.0.1", resolve))
  const address = backend.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const proxy = startHttp1Loopback(onPort(port))
  cleanups.push(
    () => backend.close(),
    () => proxy.close(),
  )
  const requests = Array.from({ length: 200 }, async (_, i) => {
    const body = "b".repeat((i * 7919) % 100_000)
    const response = await fetch(`http://127.0.0.1:${proxy.port}/${i}`, { method: "POST", body })
    return (await response.text()) === `POST /${i} ${body.length}`
  })
  expect((await Promise.all(requests)).every(Boolean)).toBe(true)
  await nothingInFlight(proxy)
  expect(metric(proxy, "response_total")).toBe(200)
})
