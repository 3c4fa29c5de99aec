// What a redirected connection speaks, and who gets it: over loopback, with engines that only record.
import { afterEach, expect, test } from "bun:test"
import { fromBinary } from "@bufbuild/protobuf"
import type { Socket } from "bun"
import { tapV1 } from "../../protos/mod.ts"
import {
  Endpoint,
  EndpointSet,
  type EndpointSource,
  PROTOCOL_DETECT,
  PROTOCOL_HTTP1,
  PROTOCOL_TCP,
  SingleEndpoint,
  UNKNOWN_ENDPOINT,
} from "../balance/mod.ts"
import type { MeshTls } from "../identity/mod.ts"
import { createLogger } from "../log.ts"
import { type Conn, dial, loop, type SocketAddress } from "../net/mod.ts"
import { TapMatch } from "../tap/match.ts"
import { OUTBOUND, Telemetry } from "../telemetry/mod.ts"
import { DETECT_STALL_MS } from "./accepted.ts"
import { ConnectionTracker } from "./connection_tracker.ts"
import { Side } from "./side.ts"
import type { Target } from "./target.ts"

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

interface Fixture {
  readonly side: Side
  readonly port: number
  /** `http1:BYTES` for each connection that an engine got. */
  readonly engines: string[]
  readonly telemetry: Telemetry
  readonly tracker: ConnectionTracker
  readonly dials: () => number
}

interface FixtureOptions {
  readonly protocol?: number
  readonly opaquePort?: boolean
  readonly source?: EndpointSource
  readonly destination?: SocketAddress | null
  readonly own?: boolean
  readonly mesh?: MeshTls
}

function fixture(backendPort: number, options: FixtureOptions = {}): Fixture {
  const telemetry = new Telemetry(loop.clock)
  const tracker = new ConnectionTracker(telemetry)
  const engines: string[] = []
  let dials = 0
  const engine = (name: string) => (conn: Conn, first: Uint8Array) => {
    engines.push(`${name}:${Buffer.from(first).toString()}`)
    conn.handler = { onOpen() {}, onData() {}, onDrain() {}, onEnd() {}, onClose() {} }
    conn.write(new TextEncoder().encode(name))
    return { drain: () => conn.close(), reexamine() {} }
  }
  const labels = {
    direction: OUTBOUND,
    dstService: "s",
    dstNamespace: "n",
    tls: null,
    clientId: "",
    route: "",
  } as const
  const source = options.source ?? new SingleEndpoint(new Endpoint("127.0.0.1", backendPort))
  const target: Target = {
    protocol: options.protocol ?? PROTOCOL_DETECT,
    http: () => ({ source, labels, defaultAuthority: "", routes: null, port: 80 }),
    raw: () => source,
    connectionLabels: {
      direction: OUTBOUND,
      peer: "src",
      targetAddress: "",
      tls: "loopback",
      clientId: "",
      serverId: "",
      dstService: "s",
      dstNamespace: "n",
      dst: null,
    },
    of: () => target,
  }
  const destination =
    options.destination === undefined ? { address: "10.0.0.1", port: 7 } : options.destination
  const side = new Side({
    direction: OUTBOUND,
    listenAddresses: ["127.0.0.1"],
    port: 0,
    mesh: options.mesh ?? null,
    env: {
      clock: loop.clock,
      timers: loop.timers,
      log: createLogger({ sink() {} }),
      draining: false,
      dial(endpoint, handler) {
        dials++
        return dial(endpoint.address, endpoint.port, handler)
      },
    },
    engines: { http1: engine("http1"), http2: engine("http2") },
    telemetry,
    tracker,
    opaquePorts: options.opaquePort ? [{ from: 7, to: 7 }] : [],
    originalDestination: () => destination,
    isOwn: () => options.own ?? false,
    resolve: (_destination, ready) => ready(target),
    accessLog: null,
    tracer: null,
    tlsTo: () => "no_identity",
    random: Math.random,
  })
  side.listen()
  cleanups.push(() => side.stop())
  return { side, port: side.port, engines, telemetry, tracker, dials: () => dials }
}

interface Backend {
  readonly port: number
  readonly connections: () => number
  readonly heard: () => string
}

function backend(greeting: string | Uint8Array, reply: (heard: string) => string = heard => heard): Backend {
  let connections = 0
  let heard = ""
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        connections++
        if (greeting.length > 0) socket.write(greeting)
      },
      data(socket, chunk) {
        heard += chunk.toString()
        socket.write(reply(chunk.toString()))
      },
      end: socket => socket.shutdown(),
    },
  })
  cleanups.push(() => server.stop(true))
  return { port: server.port, connections: () => connections, heard: () => heard }
}

class Client {
  private readonly socket: Promise<Socket>
  private text = ""
  private waiting: (() => void)[] = []
  closed = false

  constructor(port: number) {
    const wake = () => {
      for (const one of this.waiting.splice(0)) one()
    }
    this.socket = Bun.connect({
      hostname: "127.0.0.1",
      port,
      allowHalfOpen: true,
      socket: {
        data: (_socket, chunk) => {
          this.text += chunk.toString("latin1")
          wake()
        },
        close: () => {
          this.closed = true
          wake()
        },
      },
    })
    cleanups.push(() => void this.socket.then(socket => socket.terminate()))
  }

  async send(text: string | Uint8Array): Promise<void> {
    ;(await this.socket).write(text)
  }

  async finish(): Promise<void> {
    ;(await this.socket).shutdown()
  }

  async hears(text: string): Promise<void> {
    while (!this.text.includes(text)) {
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.text)}`)
      await new Promise<void>(resolve => this.waiting.push(resolve))
    }
  }

  async isClosed(): Promise<void> {
    while (!this.closed) await new Promise<void>(resolve => this.waiting.push(resolve))
  }
}

function detections(telemetry: Telemetry): Record<string, number> {
  const found: Record<string, number> = {}
  for (const series of telemetry.registry.all()) {
    if (series.metric.name === "proxy_detect_total" && "value" in series) {
      found[series.labels.find(label => label[0] === "result")?.[1] ?? ""] = series.value
    }
  }
  return found
}

test.each([
  ["http1", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"],
  ["http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
])("%s goes to its engine with every byte, however it is split", async (name, bytes) => {
  const { port, engines } = fixture(backend("").port)
  const client = new Client(port)
  for (const part of [bytes.slice(0, 2), bytes.slice(2, 5), bytes.slice(5)]) {
    await client.send(part)
    await Bun.sleep(2)
  }
  await client.hears(name)
  const given = engines.join("")
  expect(given.startsWith(`${name}:`)).toBe(true)
  expect(bytes.startsWith(given.slice(name.length + 1))).toBe(true)
})

test("other bytes are relayed to the endpoint at once", async () => {
  const server = backend("", heard => heard.toUpperCase())
  const { port, telemetry, dials } = fixture(server.port)
  const client = new Client(port)
  await client.send("\u0001binary")
  await client.hears("BINARY")
  expect(dials()).toBe(1)
  expect(detections(telemetry)).toEqual({ opaque: 1 })
})

test("a server that speaks first is heard although the client says nothing, and is remembered", async () => {
  const { port, telemetry, side } = fixture(backend("220 hello").port)
  await new Client(port).hears("220 hello")
  expect(detections(telemetry)).toEqual({ "server-first": 1 })
  expect(side.memory.recall("10.0.0.1", 7)).toBe(1)
  const start = performance.now()
  await new Client(port).hears("220 hello")
  expect(performance.now() - start).toBeLessThan(20)
})

test("an HTTP client that is slow to begin still gets its engine, and the spare connection is closed", async () => {
  const server = backend("")
  const { port, engines, dials } = fixture(server.port)
  const client = new Client(port)
  while (dials() === 0) await Bun.sleep(5)
  await client.send("GET / HTTP/1.1\r\n\r\n")
  await client.hears("http1")
  expect(engines).toHaveLength(1)
  expect(server.heard()).toBe("")
})

test("the SETTINGS of an HTTP/2 server that greets first do not make its connection opaque", async () => {
  const server = backend(new Uint8Array([0, 0, 0, 4, 0, 0, 0, 0, 0]))
  const { port, engines } = fixture(server.port)
  const client = new Client(port)
  while (server.connections() === 0) await Bun.sleep(5)
  await Bun.sleep(20)
  await client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
  await client.hears("http2")
  expect(engines).toHaveLength(1)
})

test("part of a method that goes no further is relayed after a bounded time", async () => {
  const { port, telemetry } = fixture(backend("").port)
  const client = new Client(port)
  const start = performance.now()
  await client.send("ABC")
  await client.hears("ABC")
  expect(performance.now() - start).toBeGreaterThanOrEqual(DETECT_STALL_MS - 1)
  expect(performance.now() - start).toBeLessThan(DETECT_STALL_MS + 500)
  expect(detections(telemetry)).toEqual({ stalled: 1 })
})

test("a client that only half-closes is passed on to the server", async () => {
  const server = backend("")
  const { port } = fixture(server.port)
  const client = new Client(port)
  await client.finish()
  await client.isClosed()
  expect(server.connections()).toBe(1)
})

test("on an opaque port HTTP is relayed unread", async () => {
  const { port, engines } = fixture(backend("").port, { opaquePort: true })
  const client = new Client(port)
  await client.send("GET / HTTP/1.1\r\n\r\n")
  await client.hears("GET /")
  expect(engines).toEqual([])
})

test("a hint that a service is TCP is believed", async () => {
  const { port, engines } = fixture(backend("").port, { protocol: PROTOCOL_TCP })
  const client = new Client(port)
  await client.send("GET / HTTP/1.1\r\n\r\n")
  await client.hears("GET /")
  expect(engines).toEqual([])
})

test("with a hint of HTTP no spare connection is dialled for a silent client", async () => {
  const { port, dials } = fixture(backend("").port, { protocol: PROTOCOL_HTTP1 })
  const client = new Client(port)
  await Bun.sleep(80)
  expect(dials()).toBe(0)
  await client.send("GET / HTTP/1.1\r\n\r\n")
  await client.hears("http1")
})

test("an endpoint that refuses is left for another one, and nothing early is lost", async () => {
  const dead = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } })
  const deadPort = dead.port
  dead.stop(true)
  const server = backend("")
  const set = new EndpointSet(() => 0)
  set.replace(
    [
      { address: "127.0.0.1", port: deadPort, info: UNKNOWN_ENDPOINT },
      { address: "127.0.0.1", port: server.port, info: UNKNOWN_ENDPOINT },
    ],
    loop.clock.nowMs,
  )
  const { port } = fixture(server.port, { source: set })
  const client = new Client(port)
  await client.send("\u0001early")
  await client.hears("\u0001early")
  await client.finish()
  await client.isClosed()
  await Bun.sleep(5)
  for (const endpoint of set.endpoints()) expect(endpoint.pending).toBe(0)
})

test("where nothing answers a raw client gets a reset", async () => {
  const dead = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } })
  const deadPort = dead.port
  dead.stop(true)
  const { port } = fixture(deadPort)
  const client = new Client(port)
  await client.send("\u0001")
  await client.isClosed()
})

test.each([
  ["was not redirected", { destination: null }, "not-redirected"],
  ["is meant for the proxy itself", { own: true }, "loop"],
])("a connection that %s is refused and counted", async (_what, options, reason) => {
  const { port, telemetry } = fixture(1, options)
  await new Client(port).isClosed()
  const refused = [...telemetry.registry.all()].find(
    series => series.metric.name === "proxy_connections_refused_total",
  )
  expect(refused?.labels).toContainEqual(["reason", reason])
})

test("draining ends what an engine serves, and new connections are served and drained too", async () => {
  const { side, port } = fixture(backend("").port)
  const before = new Client(port)
  await before.send("GET / HTTP/1.1\r\n\r\n")
  await before.hears("http1")
  side.drain()
  const after = new Client(port)
  await after.send("GET / HTTP/1.1\r\n\r\n")
  await after.hears("http1")
  await before.finish()
  await after.finish()
  await before.isClosed()
  await after.isClosed()
  await Bun.sleep(5)
  expect(side.connections).toBe(0)
})

test("bytes and connections of a relay are counted to zero open", async () => {
  const { port, telemetry, side } = fixture(backend("").port)
  const told: Uint8Array[] = []
  const sink = { unreadBytes: 0, send: (message: Uint8Array) => void told.push(message), wake() {} }
  const match = Object.assign(new TapMatch(), { outbound: true, connections: true })
  const tap = telemetry.taps.open(match, sink)
  const client = new Client(port)
  await client.send("\u0001four")
  await client.hears("four")
  await client.finish()
  await client.isClosed()
  await Bun.sleep(5)
  const value = (name: string) => {
    const series = [...telemetry.registry.all()].find(one => one.metric.name === name)
    return series !== undefined && "value" in series ? series.value : -1
  }
  expect(value("tcp_open_total")).toBe(1)
  expect(value("tcp_open_connections")).toBe(0)
  expect(value("tcp_read_bytes_total")).toBe(5)
  expect(value("tcp_write_bytes_total")).toBe(5)
  expect(side.connections).toBe(0)
  tap?.flush()
  const moments = told.flatMap(message => fromBinary(tapV1.WatchResponseSchema, message).events)
  expect(moments.map(({ moment }) => moment)).toMatchObject([
    { case: "opened", value: { inbound: false, tls: "no_identity", protocol: "tcp" } },
    { case: "closed", value: { clientBytes: 5n, serverBytes: 5n, error: "" } },
  ])
})

/** A ClientHello with a server name, as one record. */
function clientHello(serverName: string): Buffer {
  const vector = (width: number, content: Uint8Array) => {
    const length = Buffer.alloc(width)
    length.writeUIntBE(content.length, 0, width)
    return Buffer.concat([length, content])
  }
  const name = Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(serverName, "latin1"))])
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(0)),
    vector(2, Buffer.from([0x13, 1])),
    vector(1, Buffer.from([0])),
    vector(2, Buffer.concat([Buffer.from([0, 0]), vector(2, vector(2, name))])),
  ])
  const message = Buffer.concat([Buffer.from([1]), vector(3, body)])
  return Buffer.concat([Buffer.from([22, 3, 1]), vector(2, message)])
}

function openOf(telemetry: Telemetry, authority: string): number {
  const bears = authority === "" ? "" : `,authority="${authority}"`
  const start = `tcp_open_total{direction="outbound",peer="src"${bears},`
  const lines = telemetry.text().split("\n")
  const line = lines.find(text => text.startsWith(start) && (bears !== "" || !text.includes("authority=")))
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(" ") + 1))
}

test("the name in a ClientHello becomes the authority of the connection's figures", async () => {
  const server = backend("")
  const { port, telemetry, tracker } = fixture(server.port)
  const client = new Client(port)
  const hello = clientHello("Web.Shop")
  void client.send(hello)
  await client.hears(hello.toString("latin1").slice(-8))
  tracker.collect()
  expect(openOf(telemetry, "web.shop")).toBe(1)
  expect(openOf(telemetry, "")).toBe(0)
})

test("a connection that was counted before it told its name is counted under the name from then on", async () => {
  const server = backend("")
  const { port, telemetry, tracker } = fixture(server.port)
  const client = new Client(port)
  const hello = clientHello("web.shop")
  void client.send(hello.subarray(0, 20))
  await Bun.sleep(20)
  tracker.collect()
  expect(openOf(telemetry, "")).toBe(1)
  void client.send(hello.subarray(20))
  await client.hears(hello.toString("latin1").slice(-8))
  tracker.collect()
  expect(openOf(telemetry, "web.shop")).toBe(1)
  const open = telemetry.text().match(/^tcp_open_connections\{.*peer="src".*$/gm) ?? []
  expect(open.map(line => [line.includes("authority="), line.slice(-2)]).sort()).toEqual([
    [false, " 0"],
    [true, " 1"],
  ])
})

test("what is no host name becomes no label, and the bytes pass all the same", async () => {
  const server = backend("")
  const { port, telemetry, tracker } = fixture(server.port)
  const client = new Client(port)
  const hello = clientHello('a"b\nc')
  void client.send(hello)
  await client.hears(hello.toString("latin1").slice(-8))
  tracker.collect()
  expect(openOf(telemetry, "")).toBe(1)
  expect(telemetry.text()).not.toContain("authority=")
})

test("a ClientHello that drips is relayed in bounded time, however it goes on", async () => {
  const server = backend("")
  const { port } = fixture(server.port)
  const client = new Client(port)
  const hello = clientHello("web.shop")
  const begunMs = performance.now()
  for (let at = 0; server.heard() === "" && at < hello.length; at++) {
    void client.send(hello.subarray(at, at + 1))
    await Bun.sleep(DETECT_STALL_MS / 5)
  }
  expect(server.heard()).not.toBe("")
  expect(performance.now() - begunMs).toBeLessThan(4 * DETECT_STALL_MS)
})

test("a client of the mesh that was taken for silent is none of the application's, however late it begins", async () => {
  const name = "cart.shop.serviceaccount.identity.conduit.cluster.local"
  let refused = 0
  // One that cannot take part: what matters is who gets to see the ClientHello.
  const mesh = {
    identity: { name, whenCertified: (callback: () => void) => callback() },
    accept: null,
    plainClients: { has: () => true, add() {}, remove() {} },
    refusedClient: () => refused++,
  } as unknown as MeshTls
  const server = backend("")
  const { port, dials } = fixture(server.port, { mesh })
  const client = new Client(port)
  while (dials() === 0) await Bun.sleep(5)
  void client.send(clientHello(name))
  await client.isClosed()
  expect({ refused, heard: server.heard() }).toEqual({ refused: 1, heard: "" })
})
