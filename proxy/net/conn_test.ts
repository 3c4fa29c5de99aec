// Connections over loopback: each trap of the runtime's sockets, met once.
import { afterEach, expect, test } from "bun:test"
import { Conn, type ConnHandler } from "./conn.ts"
import { dial } from "./dial.ts"
import { setSocketLimit } from "./fd_limit.ts"
import { type Listener, listen } from "./listen.ts"
import { loop } from "./loop.ts"

/** Records what happens and lets a test wait for it. */
class Recorder implements ConnHandler {
  conn: Conn | null = null
  events: string[] = []
  received: Uint8Array[] = []
  onFirstData: ((conn: Conn) => void) | null = null
  private waiting: { event: string; resolve: () => void }[] = []

  private note(event: string): void {
    this.events.push(event)
    this.waiting = this.waiting.filter(waiter => {
      if (!event.startsWith(waiter.event)) return true
      waiter.resolve()
      return false
    })
  }

  /** Resolves when an event of that name has happened or happens. */
  async saw(event: string): Promise<void> {
    if (this.events.some(one => one.startsWith(event))) return
    await new Promise<void>(resolve => this.waiting.push({ event, resolve }))
  }

  get text(): string {
    return Buffer.concat(this.received).toString()
  }

  get bytes(): number {
    return this.received.reduce((sum, chunk) => sum + chunk.length, 0)
  }

  onOpen(conn: Conn): void {
    this.conn = conn
    this.note("open")
  }
  onData(conn: Conn, chunk: Uint8Array): void {
    this.received.push(chunk)
    this.note("data")
    this.onFirstData?.(conn)
    this.onFirstData = null
  }
  onDrain(): void {
    this.note("drain")
  }
  onEnd(): void {
    this.note("end")
  }
  onClose(_conn: Conn, error: string | null): void {
    this.note(`close ${error}`)
  }
}

const listeners: Listener[] = []
const conns: Conn[] = []

afterEach(() => {
  for (const listener of listeners.splice(0)) listener.close()
  for (const conn of conns.splice(0)) conn.reset()
  setSocketLimit(0)
})

async function pair(): Promise<{ client: Conn; server: Conn; clientSide: Recorder; serverSide: Recorder }> {
  const serverSide = new Recorder()
  const listener = listen({
    address: "127.0.0.1",
    port: 0,
    accept(conn) {
      serverSide.onOpen(conn)
      return serverSide
    },
  })
  listeners.push(listener)
  const clientSide = new Recorder()
  const client = dial("127.0.0.1", listener.port, clientSide)
  await clientSide.saw("open")
  await serverSide.saw("open")
  const server = serverSide.conn as Conn
  conns.push(client, server)
  return { client, server, clientSide, serverSide }
}

const bytes = (text: string) => new TextEncoder().encode(text)

test("output written before a dial is open goes out once it is", async () => {
  const serverSide = new Recorder()
  const listener = listen({ address: "::", port: 0, accept: () => serverSide })
  listeners.push(listener)
  const client = dial("127.0.0.1", listener.port, new Recorder())
  conns.push(client)
  expect(client.open).toBe(false)
  client.write(bytes("early"))
  await serverSide.saw("data")
  expect(serverSide.text).toBe("early")
})

test("write, send and commit keep their order", async () => {
  const { client, serverSide } = await pair()
  const big = new Uint8Array(20_000).fill(66)
  for (let round = 0; round < 50; round++) {
    const start = client.reserve(3)
    client.out.set(bytes(`<${round % 10}>`), start)
    client.commit(start + 3)
    client.send(bytes("small"))
    client.send(big)
    client.write(bytes("written"))
  }
  client.shutdown()
  await serverSide.saw("end")
  let expected = ""
  for (let round = 0; round < 50; round++) expected += `<${round % 10}>small${"B".repeat(20_000)}written`
  expect(serverSide.text === expected).toBe(true)
})

test("a reader that pauses makes the writer see false, then a drain, and nothing is lost", async () => {
  const { client, server, clientSide, serverSide } = await pair()
  server.pause()
  const chunk = new Uint8Array(64 * 1024)
  let sent = 0
  while (client.write(chunk)) sent += chunk.length
  sent += chunk.length
  expect(client.queuedBytes).toBeGreaterThan(0)
  await Bun.sleep(20)
  expect(clientSide.events).not.toContain("drain")
  server.resume()
  await clientSide.saw("drain")
  client.shutdown()
  await serverSide.saw("end")
  expect(serverSide.bytes).toBe(sent)
  expect(client.bytesWritten).toBe(sent)
})

test("shutdown while blocked loses nothing, and the answer still comes back", async () => {
  const { client, server, clientSide, serverSide } = await pair()
  server.pause()
  const size = 8 * 1024 * 1024
  client.write(new Uint8Array(size))
  client.shutdown()
  expect(client.queuedBytes).toBeGreaterThan(0)
  server.resume()
  await serverSide.saw("end")
  expect(serverSide.bytes).toBe(size)
  expect(serverSide.events.some(event => event.startsWith("close"))).toBe(false)
  server.write(bytes("answer"))
  server.shutdown()
  await clientSide.saw("end")
  expect(clientSide.text).toBe("answer")
  await clientSide.saw("close null")
  await serverSide.saw("close null")
})

test("close while blocked loses nothing", async () => {
  const { client, server, serverSide, clientSide } = await pair()
  server.pause()
  const size = 8 * 1024 * 1024
  client.write(new Uint8Array(size))
  client.close()
  server.resume()
  await serverSide.saw("end")
  expect(serverSide.bytes).toBe(size)
  server.close()
  await clientSide.saw("close null")
})

test("what is answered just before close arrives although the peer is still sending", async () => {
  const { client, server, clientSide, serverSide } = await pair()
  serverSide.onFirstData = conn => {
    conn.write(bytes("431"))
    conn.close()
  }
  for (let i = 0; i < 20; i++) client.write(new Uint8Array(100_000))
  await clientSide.saw("end")
  expect(clientSide.text).toBe("431")
  client.close()
  await serverSide.saw("close null")
  expect(server.closed).toBe(true)
})

test("a FIN that comes while paused is seen after resume, behind the data", async () => {
  const { client, server, serverSide } = await pair()
  server.pause()
  client.write(bytes("last words"))
  client.shutdown()
  await Bun.sleep(20)
  expect(serverSide.events).toEqual(["open"])
  server.resume()
  await serverSide.saw("end")
  expect(serverSide.text).toBe("last words")
})

test("a reset comes as close with ECONNRESET", async () => {
  const { client, clientSide, serverSide } = await pair()
  client.reset()
  expect(clientSide.events).toEqual(["open"])
  await serverSide.saw("close ECONNRESET")
  await clientSide.saw("close null")
})

test("a reset is noticed while paused", async () => {
  const { client, server, serverSide } = await pair()
  server.pause()
  client.write(bytes("unread"))
  client.reset()
  await serverSide.saw("close ECONNRESET")
  expect(server.closed).toBe(true)
})

test("writing after the peer's reset ends in one close and no throw", async () => {
  const { client, server, clientSide, serverSide } = await pair()
  server.reset()
  for (let i = 0; i < 10; i++) {
    client.write(bytes("into the void"))
    client.send(bytes("x"))
    await Bun.sleep(1)
  }
  await clientSide.saw("close")
  client.write(bytes("later"))
  client.close()
  await Bun.sleep(10)
  expect(clientSide.events.filter(event => event.startsWith("close"))).toHaveLength(1)
  await serverSide.saw("close null")
})

test("a refused dial closes with ECONNREFUSED, after dial returned", async () => {
  const side = new Recorder()
  const probe = listen({ address: "127.0.0.1", port: 0, accept: () => new Recorder() })
  const port = probe.port
  probe.close()
  const conn = dial("127.0.0.1", port, side)
  expect(side.events).toEqual([])
  await side.saw("close ECONNREFUSED")
  expect(conn.closed).toBe(true)
})

test("a dial that gets no answer closes with ETIMEDOUT after its timeout", async () => {
  const side = new Recorder()
  // A backlog that is full leaves the next SYN unanswered; where the system answers anyway, the timer must not fire.
  const conn = new Conn(side)
  conn.armConnectTimeout(30)
  const start = performance.now()
  await side.saw("close ETIMEDOUT")
  expect(performance.now() - start).toBeGreaterThanOrEqual(29)
})

test("a dial given up tells its handler once and sends nothing", async () => {
  const serverSide = new Recorder()
  const listener = listen({ address: "127.0.0.1", port: 0, accept: () => serverSide })
  listeners.push(listener)
  const side = new Recorder()
  const conn = dial("127.0.0.1", listener.port, side)
  conn.write(bytes("never"))
  conn.close()
  expect(side.events).toEqual([])
  await side.saw("close null")
  await Bun.sleep(20)
  expect(side.events).toEqual(["close null"])
  expect(serverSide.text).toBe("")
})

test("a handler that throws leaves no zombie behind", async () => {
  const { client, server, clientSide, serverSide } = await pair()
  const seen: string[] = []
  const before = loop.onHandlerError
  loop.onHandlerError = (where, error) => seen.push(`${where} ${(error as Error).message}`)
  serverSide.onFirstData = () => {
    throw new Error("bug")
  }
  client.write(bytes("boom"))
  await clientSide.saw("close ECONNRESET")
  await serverSide.saw("close null")
  expect(server.closed).toBe(true)
  expect(seen).toHaveLength(1)
  expect(seen[0]).toContain("bug")
  loop.onHandlerError = before
})

test("onClose never comes from within a call, also when both FINs are there", async () => {
  const { client, server, clientSide, serverSide } = await pair()
  server.shutdown()
  await clientSide.saw("end")
  client.shutdown()
  expect(clientSide.events.some(event => event.startsWith("close"))).toBe(false)
  await clientSide.saw("close null")
  await serverSide.saw("close null")
})

test("connections beyond the descriptor limit are reset and counted, and the others live", async () => {
  const base = Conn.openSockets
  setSocketLimit(base + 2)
  let refused = 0
  const serverSide = new Recorder()
  const listener = listen({
    address: "127.0.0.1",
    port: 0,
    accept: () => serverSide,
    refused: () => refused++,
  })
  listeners.push(listener)
  const first = await Bun.connect({ hostname: "127.0.0.1", port: listener.port, socket: { data() {} } })
  const second = await Bun.connect({ hostname: "127.0.0.1", port: listener.port, socket: { data() {} } })
  const closed = Promise.withResolvers<void>()
  await Bun.connect({
    hostname: "127.0.0.1",
    port: listener.port,
    socket: { data() {}, close: () => closed.resolve() },
  })
  await closed.promise
  expect(refused).toBe(1)
  const dialled = new Recorder()
  dial("127.0.0.1", listener.port, dialled)
  await dialled.saw("close EMFILE")
  expect(first.readyState).toBe(1)
  first.end()
  second.end()
})

test("sockets are counted back to where they were", async () => {
  const before = Conn.openSockets
  const { client, server, clientSide, serverSide } = await pair()
  expect(Conn.openSockets).toBe(before + 2)
  client.close()
  await serverSide.saw("end")
  server.close()
  await clientSide.saw("close")
  await serverSide.saw("close")
  expect(Conn.openSockets).toBe(before)
})
