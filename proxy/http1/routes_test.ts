// Retries, timeouts and circuit breaking in the HTTP/1 engine, on a clock that the test drives.
import { afterEach, expect, test } from "bun:test"
import { UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import { type RawPeer, type RawServer, rawClient, rawServer } from "../http/raw_peer.ts"
import { RETRY, routesOf, setOf, settings } from "../http/route_fixture.ts"
import { TimerWheel } from "../net/mod.ts"
import type { RoutesConfig } from "../route/mod.ts"
import { REPLAY_BODY_BYTES } from "../wire/mod.ts"
import { onPort, startHttp1Loopback } from "./loopback.ts"

const GET = "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
const UNAVAILABLE = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

interface Scene {
  readonly client: RawPeer
  readonly server: RawServer
  readonly metrics: () => string
  readonly logs: readonly string[]
  /** Lets time pass, in steps of a tick. */
  readonly pass: (ms: number) => Promise<void>
}

async function scene(config: RoutesConfig): Promise<Scene> {
  const clock = { nowMs: 1000 }
  const timers = new TimerWheel(clock)
  const server = await rawServer()
  const proxy = startHttp1Loopback(onPort(server.port), {
    time: { clock, timers },
    routes: routesOf(config),
  })
  const client = await rawClient(proxy.port)
  cleanups.push(
    () => server.close(),
    () => proxy.close(),
    () => client.socket.destroy(),
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
  return { client, server, metrics: () => proxy.telemetry.text(), logs: proxy.lines, pass }
}

/** The next request that the server gets, on its connection of this number. */
async function asked(server: RawServer, connection: number, end = "\r\n\r\n"): Promise<[RawPeer, string]> {
  const peer = await server.peer(connection)
  return [peer, await peer.take(end)]
}

test("a response that the route retries is asked for again after the pause, and the client sees one answer", async () => {
  const { client, server, metrics, pass } = await scene(settings({ retry: RETRY }))
  client.send(GET)
  const [first] = await asked(server, 0)
  first.send(UNAVAILABLE)
  await pass(45)
  expect(client.received).toBe("")
  await pass(60)
  // The connection was kept: its answer was whole.
  expect(await first.take("\r\n\r\n")).toBe(GET)
  first.send(OK)
  expect(await client.take("hi")).toBe(OK)
  expect(metrics()).toMatch(/route_actual_request_total\{[^}]*\} 2\n/)
  expect(metrics()).toMatch(/route_request_total\{[^}]*\} 1\n/)
})

test("after the last attempt the answer is passed on as it came", async () => {
  const { client, server, pass } = await scene(settings({ retry: { ...RETRY, attempts: 1 } }))
  client.send(GET)
  const [peer] = await asked(server, 0)
  peer.send(UNAVAILABLE)
  await pass(150)
  await peer.take("\r\n\r\n")
  peer.send(UNAVAILABLE)
  expect(await client.take("busy")).toBe(UNAVAILABLE)
})

test("a POST is sent once, unless the route takes any method", async () => {
  const once = await scene(settings({ retry: RETRY }))
  const post = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody"
  once.client.send(post)
  const [peer] = await asked(once.server, 0, "body")
  peer.send(UNAVAILABLE)
  expect(await once.client.take("busy")).toBe(UNAVAILABLE)

  const again = await scene(settings({ retry: { ...RETRY, anyMethod: true } }))
  again.client.send(post)
  const [first] = await asked(again.server, 0, "body")
  first.send(UNAVAILABLE)
  await again.pass(150)
  expect(await first.take("body")).toBe(post)
  first.send(OK)
  await again.client.take("hi")
})

test("a body that is more than can be kept is not sent again", async () => {
  const { client, server, pass } = await scene(settings({ retry: { ...RETRY, anyMethod: true } }))
  const body = "x".repeat(REPLAY_BODY_BYTES + 1)
  client.send(`POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  const peer = await server.peer(0)
  await peer.until(() => peer.received.length >= body.length, "the body")
  peer.send(UNAVAILABLE)
  await pass(150)
  expect(await client.take("busy")).toBe(UNAVAILABLE)
})

test("a connection that breaks before an answer is asked again, an idempotent request only", async () => {
  const { client, server, pass } = await scene(settings({ retry: RETRY }))
  client.send(GET)
  const [first] = await asked(server, 0)
  first.socket.destroy()
  await first.end()
  await Bun.sleep(5)
  await pass(150)
  const [second] = await asked(server, 1)
  second.send(OK)
  await client.take("hi")

  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n")
  await second.take("\r\n\r\n")
  second.socket.destroy()
  expect(await client.take("\r\n\r\n")).toContain("502 Bad Gateway")
})

test("a request that takes longer than its route allows is answered 504, and the server sees it end", async () => {
  const { client, server, pass, logs } = await scene(settings({}, { requestMs: 200 }))
  client.send(GET)
  const [peer] = await asked(server, 0)
  await pass(190)
  expect(client.received).toBe("")
  await pass(20)
  expect(await client.take("\r\n\r\n")).toMatch(
    /^HTTP\/1.1 504 Gateway Timeout\r\nconduit-proxy-error: timeout; id=/,
  )
  await peer.end()
  expect(logs.join("\n")).toContain("the request took longer than its route allows")
})

test("an attempt that takes too long is followed by another, within the time of the request", async () => {
  const { client, server, pass } = await scene(
    settings({ retry: RETRY }, { requestMs: 1000, backendRequestMs: 100 }),
  )
  client.send(GET)
  const [first] = await asked(server, 0)
  await pass(110)
  await first.end()
  await pass(105)
  const [second] = await asked(server, 1)
  second.send(OK)
  await client.take("hi")
  await pass(2000)
  expect(client.closed).toBe("")
})

test("a response that does not end in time is cut, not completed", async () => {
  const { client, server, pass } = await scene(settings({}, { responseMs: 100 }))
  client.send(GET)
  const [peer] = await asked(server, 0)
  await pass(90)
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
  await client.take("part")
  await pass(20)
  await client.until(() => client.closed !== "", "the end")
  expect(client.closed).toBe("reset")
})

test("a stream that rests for too long is cut, one that goes on is not", async () => {
  const { client, server, pass } = await scene(settings({}, { idleMs: 100 }))
  client.send(GET)
  const [peer] = await asked(server, 0)
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
  for (let i = 0; i < 5; i++) {
    peer.send("tick")
    await client.take("tick")
    await pass(80)
    expect(client.closed).toBe("")
  }
  await pass(40)
  await client.until(() => client.closed !== "", "the end")
})

test("a client that goes during the pause leaves nothing behind", async () => {
  const { client, server, pass, metrics } = await scene(settings({ retry: RETRY }))
  client.send(GET)
  const [peer] = await asked(server, 0)
  peer.send(UNAVAILABLE)
  await pass(10)
  client.socket.resetAndDestroy()
  await pass(0)
  await pass(300)
  expect(peer.received).toBe("")
  expect(metrics()).not.toMatch(/route_actual_request_total\{[^}]*\} 2\n/)
})

test("the service's endpoint that fails in a row is left out until its penalty is over", async () => {
  const clock = { nowMs: 1000 }
  const timers = new TimerWheel(clock)
  const bad = await rawServer()
  const good = await rawServer()
  let draws = 0
  // A fixed sequence: both endpoints win their share of draws while both are alike.
  const set = setOf(UNKNOWN_ENDPOINT, [bad.port, good.port], () => ((draws++ * 7) % 10) / 10)
  const config = settings({ accrual: { maxFailures: 3, minPenaltyMs: 1000, maxPenaltyMs: 60_000 } })
  const proxy = startHttp1Loopback(set, { time: { clock, timers }, routes: routesOf(config, set) })
  cleanups.push(
    () => bad.close(),
    () => good.close(),
    () => proxy.close(),
  )
  const counts = { bad: 0, good: 0 }
  const ask = async (): Promise<void> => {
    const client = await rawClient(proxy.port)
    client.send(GET)
    const before = { ...counts }
    await client.until(() => {
      for (const [name, server, answer] of [
        ["bad", bad, UNAVAILABLE],
        ["good", good, OK],
      ] as const) {
        for (const peer of server.peers) {
          if (!peer.received.includes("\r\n\r\n")) continue
          peer.received = ""
          counts[name]++
          peer.send(answer)
        }
      }
      return client.received.includes("\r\n\r\n")
    }, "an answer")
    client.socket.destroy()
    expect(counts.bad + counts.good).toBe(before.bad + before.good + 1)
  }
  for (let i = 0; i < 40; i++) await ask()
  expect(counts.bad).toBe(3)
  clock.nowMs += 2000
  timers.advance()
  for (let i = 0; i < 10; i++) await ask()
  // One probe, which failed.
  expect(counts.bad).toBe(4)
})
