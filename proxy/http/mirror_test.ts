// Copies of requests for mirrors, in both engines: what the mirror gets, and that whatever it does is nothing to the
// client.
import { afterEach, describe, expect, test } from "bun:test"
import { UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import { onPort, startHttp1Loopback } from "../http1/loopback.ts"
import { roundRobin, startLoopbackProxy } from "../http2/loopback.ts"
import { wireClient, wireServer } from "../http2/wire_peer.ts"
import { type MirrorConfig, NO_FILTERS, ROUTE_KIND_HTTP, ServiceRoutes } from "../route/mod.ts"
import * as frame from "../wire/http2/frame.ts"
import {
  CLIENT_HELLO,
  frameBytes,
  headersFrame,
  type Pairs,
  REQUEST,
  settingsFrame,
} from "../wire/http2/session_fixture.ts"
import { MAX_MIRRORS_IN_FLIGHT, MIRROR_HELD_BYTES } from "./mirror.ts"
import { rawClient, rawServer } from "./raw_peer.ts"
import { ruleForAll, setOf, settings } from "./route_fixture.ts"

const GET = "GET / HTTP/1.1\r\nHost: web\r\n\r\n"
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
const ALL: Pick<MirrorConfig, "numerator" | "denominator"> = { numerator: 100, denominator: 100 }
const END = frame.FLAG_END_STREAM
const POST: Pairs = REQUEST.map(([name, value]) => [name, name === ":method" ? "POST" : value])

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

/** Routes with one rule that sends to the service itself and copies to servers on ports. */
function mirroring(port: number, mirrorPorts: readonly number[], share = ALL): ServiceRoutes {
  const own = setOf(UNKNOWN_ENDPOINT, [port], () => 0)
  const backends = mirrorPorts.map((mirrorPort, i) => ({
    info: {
      namespace: "shop",
      name: `m${i}`,
      port: 80,
      fqdn: "",
      protocol: 0,
      accrual: null,
      balancing: null,
    },
    endpoints: mirrorPort === 0 ? [] : [{ address: "127.0.0.1", port: mirrorPort, info: UNKNOWN_ENDPOINT }],
  }))
  const mirrors = mirrorPorts.map((_, i) => ({ backend: i + 1, ...share }))
  const rule = ruleForAll({ filters: { ...NO_FILTERS, mirrors } })
  const config = settings({ kind: ROUTE_KIND_HTTP, rules: [rule] })
  return ServiceRoutes.replace(null, config, backends, own, 0)
}

const counted = (text: string, outcome: string): number =>
  Number(new RegExp(`request_mirror_total\\{outcome="${outcome}"\\} (\\d+)`).exec(text)?.[1] ?? Number.NaN)

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 3000; !condition(); await Bun.sleep(2))
    if (Date.now() > end) throw new Error("waited in vain")
}

async function http1(share = ALL) {
  const server = await rawServer()
  const shadow = await rawServer()
  const routes = mirroring(server.port, [shadow.port], share)
  const proxy = startHttp1Loopback(onPort(server.port), { routes })
  const client = await rawClient(proxy.port)
  cleanups.push(
    () => server.close(),
    () => shadow.close(),
    () => proxy.close(),
    () => client.socket.destroy(),
  )
  const count = (outcome: string): number => counted(proxy.telemetry.text(), outcome)
  return { client, server, shadow, proxy, count }
}

describe("HTTP/1", () => {
  test("the mirror gets the request, and the client only the answer of the backend", async () => {
    const { client, server, shadow, count } = await http1()
    client.send(GET)
    const [main, copy] = [await server.peer(0), await shadow.peer(0)]
    expect(await copy.take("\r\n\r\n")).toBe(GET)
    copy.send("HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nwrong")
    await main.take("\r\n\r\n")
    main.send(OK)
    expect(await client.take("hi")).toBe(OK)
    await until(() => count("answered") === 1)
    // The mirror's connection was kept, and serves the next copy.
    client.send(GET)
    expect(await copy.take("\r\n\r\n")).toBe(GET)
  })

  test("a body is copied as it streams, and a client that goes cuts the copy too", async () => {
    const { client, server, shadow, count } = await http1()
    client.send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    const [main, copy] = [await server.peer(0), await shadow.peer(0)]
    await main.take("abc\r\n")
    await copy.take("abc\r\n")
    client.send("2\r\nde\r\n")
    expect(await copy.take("de\r\n")).toBe("2\r\nde\r\n")
    client.socket.destroy()
    await copy.end()
    expect(count("dropped")).toBe(1)
  })

  test("a mirror that does not read loses its copy, and the request goes on", async () => {
    const { client, server, shadow, count } = await http1()
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 16000000\r\n\r\n")
    const copy = await shadow.peer(0)
    copy.socket.pause()
    const main = await server.peer(0)
    await main.take("\r\n\r\n")
    client.send("x".repeat(16_000_000))
    await main.until(() => main.received.length === 16_000_000, "the body")
    main.send(OK)
    expect(await client.take("hi")).toBe(OK)
    expect(count("dropped")).toBe(1)
  })

  test("a mirror that cannot be connected to, or has no endpoint, is counted and nothing else", async () => {
    const server = await rawServer()
    const gone = await rawServer()
    gone.close()
    const proxy = startHttp1Loopback(onPort(server.port), {
      routes: mirroring(server.port, [gone.port, 0]),
    })
    const client = await rawClient(proxy.port)
    cleanups.push(
      () => server.close(),
      () => proxy.close(),
      () => client.socket.destroy(),
    )
    client.send(GET)
    const main = await server.peer(0)
    await main.take("\r\n\r\n")
    main.send(OK)
    expect(await client.take("hi")).toBe(OK)
    await until(() => counted(proxy.telemetry.text(), "failed") === 2)
  })

  test("a share of nothing is copied nowhere, and no more copies run at once than there is room for", async () => {
    const none = await http1({ numerator: 0, denominator: 100 })
    none.client.send(GET)
    const main = await none.server.peer(0)
    await main.take("\r\n\r\n")
    main.send(OK)
    await none.client.take("hi")
    expect(none.shadow.peers.length).toBe(0)

    const full = await http1()
    full.proxy.admission.mirrors.inFlight = MAX_MIRRORS_IN_FLIGHT
    full.client.send(GET)
    await (await full.server.peer(0)).take("\r\n\r\n")
    expect(full.count("dropped")).toBe(1)
    expect(full.shadow.peers.length).toBe(0)
  })
})

describe("HTTP/2", () => {
  const data = (id: number, text: string, flags = 0): Uint8Array =>
    frameBytes(frame.FRAME_DATA, flags, id, new Uint8Array(Buffer.from(text, "latin1")))

  async function http2() {
    const server = wireServer(settingsFrame())
    const shadow = wireServer(settingsFrame())
    const routes = mirroring(server.port, [shadow.port])
    const proxy = startLoopbackProxy(roundRobin([server.port]), { routes })
    const client = await wireClient(proxy.port, CLIENT_HELLO)
    cleanups.push(
      () => proxy.close(),
      () => server.close(),
      () => shadow.close(),
      () => client.close(),
    )
    const count = (outcome: string): number => counted(proxy.telemetry.text(), outcome)
    return { client, server, shadow, proxy, count }
  }

  test("the mirror gets head, body and trailers, and its answer is dropped", async () => {
    const { client, server, shadow, count } = await http2()
    client.send(headersFrame(1, POST), data(1, "one "))
    const [main, copy] = [await server.peer(0), await shadow.peer(0)]
    await copy.line("HEADERS 1 :method=POST")
    await copy.line("DATA 1 4")
    client.send(data(1, "two"), headersFrame(1, [["x-sum", "7"]], END))
    await copy.line("HEADERS 1 x-sum=7 END")
    expect(copy.body(1)).toBe("one two")
    await main.line("HEADERS 1 x-sum=7 END")
    expect(main.body(1)).toBe("one two")
    copy.send(headersFrame(1, [[":status", "500"]]), data(1, "wrong", END))
    main.send(headersFrame(1, [[":status", "200"]]), data(1, "hi", END))
    expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200")
    await client.line("DATA 1 2 END")
    await until(() => count("answered") === 1)
  })

  test("a mirror whose window is shut loses its copy, and the request goes on", async () => {
    const { client, server, shadow, count } = await http2()
    client.send(headersFrame(1, POST))
    const [main, copy] = [await server.peer(0), await shadow.peer(0)]
    await copy.line("HEADERS 1")
    const piece = "x".repeat(16_000)
    let sent = 0
    for (; sent <= MIRROR_HELD_BYTES + 80_000; sent += piece.length) {
      client.send(data(1, piece))
      main.send(
        frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 0, new Uint8Array([0, 0, 0x3e, 0x80])),
        frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 1, new Uint8Array([0, 0, 0x3e, 0x80])),
      )
      await Bun.sleep(1)
    }
    await copy.line("RST_STREAM 1 CANCEL")
    expect(count("dropped")).toBe(1)
    client.send(data(1, "", END))
    await main.line("DATA 1 0 END")
    expect(main.body(1).length).toBe(sent)
  })

  test("a client that resets its stream resets the copy", async () => {
    const { client, shadow, count } = await http2()
    client.send(headersFrame(1, POST))
    const copy = await shadow.peer(0)
    await copy.line("HEADERS 1")
    client.send(frameBytes(frame.FRAME_RST_STREAM, 0, 1, new Uint8Array([0, 0, 0, frame.CANCEL])))
    await copy.line("RST_STREAM 1 CANCEL")
    expect(count("dropped")).toBe(1)
  })
})
