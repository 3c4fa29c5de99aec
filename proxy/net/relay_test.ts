// Byte relay over loopback: client, relay, server, each a real socket.
import { afterEach, expect, test } from "bun:test"
import type { Socket } from "bun"
import type { Conn } from "./conn.ts"
import { dial } from "./dial.ts"
import { type Listener, listen } from "./listen.ts"
import { relay } from "./relay.ts"

const ignore = { onOpen() {}, onData() {}, onDrain() {}, onEnd() {}, onClose() {} }
const cleanups: (() => void)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

type Handlers = {
  data?(socket: Socket, chunk: Uint8Array): void
  open?(socket: Socket): void
  end?(socket: Socket): void
  close?(socket: Socket, error?: Error): void
}

/** A relay in front of a plain server; resolves with the relay's outcome. */
function relayTo(server: Handlers): { port: number; done: Promise<string | null>; upstream: () => Conn } {
  const backend = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: { data() {}, ...server },
  })
  const outcome = Promise.withResolvers<string | null>()
  let upstream: Conn
  const front: Listener = listen({
    address: "127.0.0.1",
    port: 0,
    accept(conn) {
      upstream = dial("127.0.0.1", backend.port, ignore)
      relay(conn, upstream, outcome.resolve)
      return conn.handler
    },
  })
  cleanups.push(() => {
    front.close()
    backend.stop(true)
  })
  return { port: front.port, done: outcome.promise, upstream: () => upstream }
}

async function connect(port: number, handlers: Handlers): Promise<Socket> {
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: { data() {}, ...handlers },
  })
  cleanups.push(() => socket.terminate())
  return socket
}

test("a server that speaks first is heard", async () => {
  const { port } = relayTo({ open: socket => void socket.write("220 ready") })
  const heard = Promise.withResolvers<string>()
  await connect(port, { data: (_socket, chunk) => heard.resolve(Buffer.from(chunk).toString()) })
  expect(await heard.promise).toBe("220 ready")
})

test("half-close passes through, the answer comes after it, and the end is orderly", async () => {
  let received = ""
  const { port, done } = relayTo({
    data: (_socket, chunk) => {
      received += Buffer.from(chunk).toString()
    },
    end: socket => {
      socket.write(`got ${received}`)
      socket.shutdown()
    },
  })
  const heard = Promise.withResolvers<string>()
  const client = await connect(port, {
    data: (_socket, chunk) => heard.resolve(Buffer.from(chunk).toString()),
  })
  client.write("question")
  client.shutdown()
  expect(await heard.promise).toBe("got question")
  expect(await done).toBe(null)
})

test("a reset of the client resets the server", async () => {
  const closed = Promise.withResolvers<string | undefined>()
  const { port, done } = relayTo({
    data: () => client.terminate(),
    close: (_socket, error) => closed.resolve((error as { code?: string } | undefined)?.code),
  })
  const client = await connect(port, {})
  client.write("x")
  expect(await closed.promise).toBe("ECONNRESET")
  expect(await done).toBe("ECONNRESET")
})

test("a reset of the server resets the client", async () => {
  const closed = Promise.withResolvers<string | undefined>()
  const { port } = relayTo({ data: socket => socket.terminate() })
  const client = await connect(port, {
    close: (_socket, error) => closed.resolve((error as { code?: string } | undefined)?.code),
  })
  client.write("x")
  expect(await closed.promise).toBe("ECONNRESET")
})

test("a server that cannot be reached resets the client", async () => {
  const probe = listen({ address: "127.0.0.1", port: 0, accept: () => ignore })
  const nowhere = probe.port
  probe.close()
  const outcome = Promise.withResolvers<string | null>()
  const front = listen({
    address: "127.0.0.1",
    port: 0,
    accept(conn) {
      relay(conn, dial("127.0.0.1", nowhere, ignore), outcome.resolve)
      return conn.handler
    },
  })
  cleanups.push(() => front.close())
  const closed = Promise.withResolvers<void>()
  await connect(front.port, { close: () => closed.resolve() })
  await closed.promise
  expect(await outcome.promise).toBe("ECONNREFUSED")
})

test("a slow reader slows its writer, the queue stays small, and every byte arrives in order", async () => {
  const total = 48 * 1024 * 1024
  let received = 0
  let ordered = true
  const finished = Promise.withResolvers<void>()
  let reader: Socket | null = null
  const { port, upstream } = relayTo({
    open: socket => {
      reader = socket
      socket.pause()
    },
    data: (_socket, chunk) => {
      for (let i = 0; i < chunk.length; i += 4093) if (chunk[i] !== ((received + i) & 0xff)) ordered = false
      received += chunk.length
    },
    end: socket => {
      finished.resolve()
      socket.end()
    },
  })
  const block = new Uint8Array(256 * 1024).map((_, i) => i & 0xff)
  let sent = 0
  const push = (socket: Socket) => {
    while (sent < total) {
      const offset = sent % block.length
      const taken = socket.write(block, offset, block.length - offset)
      if (taken <= 0) return
      sent += taken
    }
    socket.shutdown()
  }
  const client = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: { data() {}, drain: push },
  })
  cleanups.push(() => client.terminate())
  push(client)
  await Bun.sleep(200)
  expect(sent).toBeLessThan(total)
  // One chunk of the runtime (512 KiB) may come on top of the high-water mark.
  expect(upstream().queuedBytes).toBeLessThan(1024 * 1024)
  expect(upstream().queuedBytes).toBeGreaterThan(0)
  ;(reader as Socket | null)?.resume()
  await finished.promise
  expect(received).toBe(total)
  expect(ordered).toBe(true)
})
