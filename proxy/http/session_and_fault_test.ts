// Sessions and injected faults in both engines, on a clock that the test drives.
import { afterEach, describe, expect, setSystemTime, test } from "bun:test"
import { UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import { startHttp1Loopback } from "../http1/loopback.ts"
import { startLoopbackProxy } from "../http2/loopback.ts"
import { wireClient, wireServer } from "../http2/wire_peer.ts"
import { TimerWheel } from "../net/mod.ts"
import {
  drawFault,
  type FaultConfig,
  MAX_SESSION_CHARS,
  ROUTE_KIND_HTTP,
  type RoutesConfig,
  type SessionConfig,
  sessionField,
  sessionOfRequest,
} from "../route/mod.ts"
import * as frame from "../wire/http2/frame.ts"
import {
  CLIENT_HELLO,
  headersFrame,
  type Pairs,
  REQUEST,
  settingsFrame,
} from "../wire/http2/session_fixture.ts"
import { rawClient, rawServer } from "./raw_peer.ts"
import { routesOf, ruleForAll, setOf, settings } from "./route_fixture.ts"

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
const COOKIE: SessionConfig = { cookie: "sid", header: "", maxAgeS: 0, absoluteS: 0, idleS: 0 }
const HEADER: SessionConfig = { cookie: "", header: "x-session", maxAgeS: 0, absoluteS: 0, idleS: 0 }
const END = frame.FLAG_END_STREAM
const GET: Pairs = REQUEST.map(([name, value]) => [name, name === ":method" ? "GET" : value])

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

function sessions(session: SessionConfig): RoutesConfig {
  return settings({ kind: ROUTE_KIND_HTTP, rules: [ruleForAll({ session })] })
}

async function http1(config: RoutesConfig, servers = 1) {
  const clock = { nowMs: 1000 }
  const timers = new TimerWheel(clock)
  const all = await Promise.all(Array.from({ length: servers }, () => rawServer()))
  let state = 0
  // First choices go around, so that sessions and not chance keep a client.
  const random = (): number => (state++ * 0.37) % 1
  const set = setOf(
    UNKNOWN_ENDPOINT,
    all.map(({ port }) => port),
    random,
  )
  const proxy = startHttp1Loopback(set, { time: { clock, timers }, routes: routesOf(config, set) })
  const client = await rawClient(proxy.port)
  cleanups.push(
    () => proxy.close(),
    () => client.socket.destroy(),
    ...all.map(server => () => server.close()),
  )
  const pass = async (ms: number): Promise<void> => {
    await Bun.sleep(5)
    for (let passed = 0; passed < ms; passed += 5) {
      clock.nowMs += 5
      timers.advance()
    }
    await Bun.sleep(5)
  }
  return { all, client, proxy, pass }
}

describe("sessions", () => {
  test("a cookie is found among others, and what is none of ours is none", () => {
    const asked = (cookie: string) => sessionOfRequest(COOKIE, { values: () => cookie }, 0)?.endpoint ?? ""
    expect(["sid=a", "x=1; sid=a; y=2", "xsid=b; sid=a", "x=1;sid=a"].map(asked)).toEqual(Array(4).fill("a"))
    expect(["", "sid", "xsid=a", `sid=${"a".repeat(33)}`].map(asked)).toEqual(["", "", "", ""])
    const values = (name: string) => (name === "x-session" ? "a" : undefined)
    expect(sessionOfRequest(HEADER, { values }, 0)?.endpoint).toBe("a")
    expect(sessionField({ ...COOKIE, maxAgeS: 60 }, "a", 5, 5)).toEqual([
      "set-cookie",
      "sid=a; Path=/; HttpOnly; Max-Age=60",
    ])
    expect(sessionField(HEADER, "a", 5, 5)).toEqual(["x-session", "a"])
  })

  test("a session ends after its time, and after a time without requests", () => {
    const config = { ...HEADER, absoluteS: 100, idleS: 10 }
    const nowS = 1_800_000_000
    const bears = (session: string, at: number) => sessionOfRequest(config, { values: () => session }, at)
    const [, given] = sessionField(config, "1z141z41z141z4", nowS, nowS)
    expect(given.length).toBeLessThanOrEqual(MAX_SESSION_CHARS)
    expect(bears(given, nowS + 9)).toEqual({ endpoint: "1z141z41z141z4", startedS: nowS, seenS: nowS })
    expect(bears(given, nowS + 10)).toBeNull()
    const [, renewed] = sessionField(config, "1z141z41z141z4", nowS, nowS + 95)
    expect(bears(renewed, nowS + 99)).toMatchObject({ startedS: nowS, seenS: nowS + 95 })
    expect(bears(renewed, nowS + 100)).toBeNull()
    for (const wrong of ["1z", "1z-", "1z--", "1z-$-$", "1z-zzzzzzzzz-0"])
      expect(bears(wrong, nowS)).toBeNull()
    const permanent = { ...COOKIE, absoluteS: 100, maxAgeS: 100 }
    expect(sessionField(permanent, "a", nowS, nowS + 40)[1]).toContain("; Max-Age=60")
  })

  test("a client is given a session once, and stays with its endpoint", async () => {
    const { all, client } = await http1(sessions(COOKIE), 5)
    /** Asks, lets whichever server is asked answer, and gives which that was. */
    const ask = async (cookie: string): Promise<[server: number, answer: string]> => {
      client.send(`GET / HTTP/1.1\r\nHost: web\r\n${cookie}\r\n`)
      for (let tries = 0; tries < 1000; tries++, await Bun.sleep(2)) {
        const at = all.findIndex(({ peers }) => peers.some(peer => peer.received.endsWith("\r\n\r\n")))
        const peer = all[at]?.peers.find(({ received }) => received.endsWith("\r\n\r\n"))
        if (peer === undefined) continue
        peer.received = ""
        peer.send(OK)
        return [at, await client.take("hi")]
      }
      throw new Error("no server was asked")
    }
    const [first, answer] = await ask("")
    const given = /set-cookie: (sid=[a-z0-9]+); Path=\/; HttpOnly\r\n/.exec(answer)?.[1] ?? ""
    expect(given).not.toBe("")
    for (let i = 0; i < 10; i++) expect(await ask(`Cookie: a=b; ${given}\r\n`)).toEqual([first, OK])
    const without = new Set<number>()
    for (let i = 0; i < 10; i++) without.add((await ask(""))[0])
    expect(without.size).toBeGreaterThan(1)
    // A session of an endpoint that is gone is given anew.
    expect((await ask("Cookie: sid=gone\r\n"))[1]).toContain("set-cookie: sid=")
  })

  test("a session with an idle time is told again as it goes on, and is given anew once it has ended", async () => {
    const { all, client } = await http1(sessions({ ...HEADER, idleS: 60 }))
    const ask = async (session: string): Promise<string> => {
      client.send(`GET / HTTP/1.1\r\nHost: web\r\nX-Session: ${session}\r\n\r\n`)
      for (let tries = 0; tries < 1000; tries++, await Bun.sleep(2)) {
        const peer = all[0]?.peers.find(({ received }) => received.endsWith("\r\n\r\n"))
        if (peer === undefined) continue
        peer.received = ""
        peer.send(OK)
        return /x-session: (\S+)/.exec(await client.take("hi"))?.[1] ?? ""
      }
      throw new Error("the server was not asked")
    }
    const start = Math.floor(Date.now() / 1000)
    const after = (seconds: number): void => void setSystemTime(new Date((start + seconds) * 1000))
    cleanups.push(() => void setSystemTime())
    after(0)
    const first = await ask("none")
    const began = start.toString(36)
    expect(first).toEndWith(`-${began}-${began}`)
    expect(await ask(first)).toBe("")
    after(50)
    const second = await ask(first)
    expect(second).toEndWith(`-${began}-${(start + 50).toString(36)}`)
    after(109)
    expect(await ask(second)).toContain(`-${began}-`)
    after(120)
    expect(await ask(second)).toEndWith(`-${(start + 120).toString(36)}-${(start + 120).toString(36)}`)
  })

  test("in HTTP/2 by a header field", async () => {
    const server = wireServer(settingsFrame())
    const set = setOf(UNKNOWN_ENDPOINT, [server.port], () => 0)
    const proxy = startLoopbackProxy(set, { routes: routesOf(sessions(HEADER), set) })
    const client = await wireClient(proxy.port, CLIENT_HELLO)
    cleanups.push(
      () => proxy.close(),
      () => server.close(),
      () => client.close(),
    )
    client.send(headersFrame(1, GET, END))
    const peer = await server.peer(0)
    await peer.line("HEADERS 1")
    peer.send(headersFrame(1, [[":status", "200"]], END))
    const session = /x-session=(\S+)/.exec(await client.line("HEADERS 1"))?.[1] ?? ""
    client.send(headersFrame(3, [...GET, ["x-session", session]], END))
    await peer.line("HEADERS 3")
    peer.send(headersFrame(3, [[":status", "200"]], END))
    expect(await client.line("HEADERS 3")).toBe("HEADERS 3 :status=200 END")
  })
})

describe("injected faults", () => {
  const fault = (more: Partial<FaultConfig>): RoutesConfig =>
    settings({ injected: { delayMs: 0, delayPercent: 0, abortStatus: 0, abortPercent: 0, ...more } })

  test("shares are drawn apart", () => {
    let state = 1
    const random = (): number => {
      state = (state * 1103515245 + 12345) & 0x7fffffff
      return state / 0x7fffffff
    }
    const config = { delayMs: 100, delayPercent: 30, abortStatus: 503, abortPercent: 10 }
    const drawn = Array.from({ length: 10_000 }, () => drawFault(config, random))
    expect(drawn.filter(({ delayMs }) => delayMs === 100).length / 10_000).toBeCloseTo(0.3, 1)
    expect(drawn.filter(({ status }) => status === 503).length / 10_000).toBeCloseTo(0.1, 1)
    expect(drawn.filter(({ delayMs, status }) => delayMs > 0 && status > 0).length).toBeGreaterThan(100)
  })

  test("an abort is answered, says what it is, and reaches no server", async () => {
    const { all, client } = await http1(fault({ abortStatus: 418, abortPercent: 100 }))
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    const answer = await client.take("\r\n\r\n")
    expect(answer).toStartWith("HTTP/1.1 418 ")
    expect(answer).toContain("conduit-proxy-error: fault-injected; id=")
    expect(all[0]?.peers.length).toBe(0)
  })

  test("a delay holds a request back with its body, then it goes on; an abort comes after it", async () => {
    const { all, client, pass } = await http1(fault({ delayMs: 500, delayPercent: 100 }))
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbo")
    await pass(450)
    client.send("dy")
    expect(all[0]?.peers.length).toBe(0)
    await pass(60)
    const peer = await all[0]?.peer(0)
    expect(await peer?.take("body")).toEndWith("\r\n\r\nbody")
    peer?.send(OK)
    expect(await client.take("hi")).toBe(OK)

    const both = await http1(fault({ delayMs: 500, delayPercent: 100, abortStatus: 503, abortPercent: 100 }))
    both.client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    await both.pass(450)
    expect(both.client.received).toBe("")
    await both.pass(60)
    expect(await both.client.take("\r\n\r\n")).toStartWith("HTTP/1.1 503 ")
  })

  test("a delay beyond the request's timeout ends as a timeout", async () => {
    const config = { ...fault({ delayMs: 500, delayPercent: 100 }) }
    const { client, pass } = await http1({ ...config, timeouts: { ...config.timeouts, requestMs: 100 } })
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    await pass(110)
    expect(await client.take("\r\n\r\n")).toStartWith("HTTP/1.1 504 ")
  })

  test("in HTTP/2 a delayed request goes on, and an aborted gRPC call gets its status", async () => {
    const clock = { nowMs: 1000 }
    const timers = new TimerWheel(clock)
    const server = wireServer(settingsFrame())
    const set = setOf(UNKNOWN_ENDPOINT, [server.port], () => 0)
    const start = (config: RoutesConfig) =>
      startLoopbackProxy(set, { clock, timers, routes: routesOf(config, set) })
    const delayed = start(fault({ delayMs: 200, delayPercent: 100 }))
    const aborted = start(fault({ abortStatus: 503, abortPercent: 100 }))
    const [one, two] = [
      await wireClient(delayed.port, CLIENT_HELLO),
      await wireClient(aborted.port, CLIENT_HELLO),
    ]
    cleanups.push(
      () => delayed.close(),
      () => aborted.close(),
      () => server.close(),
      () => one.close(),
      () => two.close(),
    )
    one.send(headersFrame(1, GET, END))
    await Bun.sleep(10)
    expect(server.peers.length).toBe(0)
    clock.nowMs += 205
    timers.advance()
    const peer = await server.peer(0)
    await peer.line("HEADERS 1")
    two.send(headersFrame(1, [...GET, ["content-type", "application/grpc"]], END))
    expect(await two.line("HEADERS 1")).toContain("grpc-status=14")
  })
})
