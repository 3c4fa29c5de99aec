// A gRPC stream against servers that others wrote (grpc-js), and against one that misbehaves.
import { afterEach, expect, test } from "bun:test"
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2"
import { createServer as createTcpServer } from "node:net"
import { status as grpcStatus, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js"
import fc from "fast-check"
import { Conn, dial, loop, TimerWheel } from "../net/mod.ts"
import { MAX_MESSAGE_BYTES } from "./grpc_messages.ts"
import { GrpcStream } from "./grpc_stream.ts"
import { FieldTable } from "./http2_wire.ts"

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

class Recorder {
  readonly messages: Uint8Array[] = []
  readonly opened = Promise.withResolvers<void>()
  readonly ended = Promise.withResolvers<{ code: number; reason: string }>()
  private waiting: { count: number; resolve: () => void } | null = null

  onOpen(): void {
    this.opened.resolve()
  }
  onMessage(message: Uint8Array): void {
    this.messages.push(message)
    if (this.waiting !== null && this.messages.length >= this.waiting.count) this.waiting.resolve()
  }
  onEnd(code: number, reason: string): void {
    this.ended.resolve({ code, reason })
  }
  messagesReach(count: number): Promise<void> {
    if (this.messages.length >= count) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.waiting = { count, resolve }
    return promise
  }
}

function connect(port: number, path = "/echo.Echo/Echo"): { stream: GrpcStream; recorder: Recorder } {
  const recorder = new Recorder()
  loop.clock.refresh()
  const stream = new GrpcStream(recorder, {
    authority: `127.0.0.1:${port}`,
    path,
    userAgent: "test",
    fields: new FieldTable(),
    clock: loop.clock,
    timers: loop.timers,
  })
  stream.start(dial("127.0.0.1", port, stream))
  closers.push(() => stream.abort())
  return { stream, recorder }
}

async function grpcServer(handle: (call: ServerDuplexStream<Buffer, Buffer>) => void): Promise<number> {
  const server = new Server({ "grpc.max_receive_message_length": -1 })
  const raw = {
    path: "/echo.Echo/Echo",
    requestStream: true,
    responseStream: true,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  }
  server.addService({ echo: raw }, { echo: handle })
  closers.push(() => server.forceShutdown())
  return await new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
}

function http2Server(handle: (stream: ServerHttp2Stream) => void): Promise<number> {
  const server: Http2Server = createServer()
  server.on("stream", handle)
  closers.push(() => server.close())
  return new Promise(resolve => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port))
  })
}

function tcpServer(bytes: Uint8Array | string): Promise<number> {
  const server = createTcpServer(socket => {
    socket.on("error", () => {})
    socket.write(bytes)
  })
  closers.push(() => server.close())
  return new Promise(resolve => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port))
  })
}

const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255)

test("messages go both ways, empty and large ones too, and the status ends the stream", async () => {
  const port = await grpcServer(call => {
    call.on("data", bytes => call.write(bytes))
    call.on("end", () => call.end())
  })
  const { stream, recorder } = connect(port)
  const sizes = [0, 1, 5, 16_379, 16_384, 70_000, 3_000_000]
  for (const size of sizes) stream.send(pattern(size))
  await recorder.messagesReach(sizes.length)
  expect(recorder.messages.map(message => message.length)).toEqual(sizes)
  for (const message of recorder.messages) expect(Buffer.compare(message, pattern(message.length))).toBe(0)
  expect(stream.queuedBytes).toBe(0)
  stream.finish()
  expect((await recorder.ended.promise).code).toBe(0)
})

test("an error of the server arrives with its code and text", async () => {
  const port = await grpcServer(call => {
    call.emit("error", { code: grpcStatus.RESOURCE_EXHAUSTED, details: "100 % full: ä" })
  })
  const { recorder } = connect(port)
  expect(await recorder.ended.promise).toEqual({
    code: grpcStatus.RESOURCE_EXHAUSTED,
    reason: "100 % full: ä",
  })
})

test("an unknown method is reported as such", async () => {
  const port = await grpcServer(() => {})
  const { recorder } = connect(port, "/echo.Echo/Nothing")
  expect((await recorder.ended.promise).code).toBe(grpcStatus.UNIMPLEMENTED)
})

test("a server that does not read holds back what is sent", async () => {
  const port = await http2Server(stream => {
    stream.on("error", () => {})
    stream.pause()
    stream.respond({ ":status": 200, "content-type": "application/grpc" })
  })
  const { stream, recorder } = connect(port)
  await recorder.opened.promise
  for (let i = 0; i < 100; i++) stream.send(new Uint8Array(100_000))
  expect(stream.queuedBytes).toBeGreaterThan(5_000_000)
})

test("a plain HTTP/2 server's refusal names its status", async () => {
  const port = await http2Server(stream => stream.respond({ ":status": 404 }, { endStream: true }))
  const { recorder } = connect(port)
  expect((await recorder.ended.promise).reason).toContain("HTTP status 404")
})

test("a port on which nobody listens is reported", async () => {
  const { recorder } = connect(1)
  expect((await recorder.ended.promise).reason).toContain("ECONNREFUSED")
})

test("a server of another protocol is named as that", async () => {
  for (const bytes of ["HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\x06\0\0\0\0\0abcdef"]) {
    const { recorder } = connect(await tcpServer(bytes))
    expect((await recorder.ended.promise).reason).toContain("is this a gRPC port?")
  }
})

test("a message beyond the limit ends the stream before room is made for it", async () => {
  const port = await http2Server(stream => {
    stream.on("error", () => {})
    stream.respond({ ":status": 200, "content-type": "application/grpc" })
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(MAX_MESSAGE_BYTES + 1, 1)
    stream.write(prefix)
  })
  const { recorder } = connect(port)
  const { code, reason } = await recorder.ended.promise
  expect([code, reason]).toEqual([
    grpcStatus.RESOURCE_EXHAUSTED,
    `a message of ${MAX_MESSAGE_BYTES + 1} bytes exceeds the limit of ${MAX_MESSAGE_BYTES}`,
  ])
})

/** What a server sends, put together by hand. */
function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Uint8Array {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(streamId, 5)
  return Buffer.concat([head, payload])
}

function literal(name: string, value: string): Uint8Array {
  const bytes = [0, name.length, ...Buffer.from(name), value.length, ...Buffer.from(value)]
  return Uint8Array.from(bytes)
}

/** A stream on a connection that never opens: bytes are handed to it. */
function offline(): {
  stream: GrpcStream
  messages: Uint8Array[]
  ends: { code: number; reason: string }[]
  conn: Conn
} {
  const messages: Uint8Array[] = []
  const ends: { code: number; reason: string }[] = []
  const clock = { nowMs: 0 }
  const stream = new GrpcStream(
    {
      onOpen() {},
      onMessage: message => messages.push(message.slice()),
      onEnd: (code, reason) => ends.push({ code, reason }),
    },
    {
      authority: "a:1",
      path: "/a.B/C",
      userAgent: "t",
      fields: new FieldTable(),
      clock,
      timers: new TimerWheel(clock),
    },
  )
  const conn = new Conn(stream)
  stream.start(conn)
  return { stream, messages, ends, conn }
}

function feed(stream: GrpcStream, conn: Conn, bytes: Uint8Array, cuts: readonly number[]): void {
  let at = 0
  for (const cut of [...cuts.map(each => each % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    if (cut > at) stream.onData(conn, bytes.slice(at, cut))
    at = Math.max(at, cut)
  }
}

test("messages are the same wherever frames and chunks are cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 6 }),
      fc.array(fc.nat(5000), { maxLength: 12 }),
      fc.array(fc.nat(5000), { maxLength: 12 }),
      fc.nat(40),
      fc.boolean(),
      (bodies, dataCuts, chunkCuts, padding, continued) => {
        const framed = bodies.map(body => {
          const prefix = Buffer.alloc(5)
          prefix.writeUInt32BE(body.length, 1)
          return Buffer.concat([prefix, body])
        })
        const data = Buffer.concat(framed)
        const head = Buffer.concat([literal(":status", "200"), literal("content-type", "application/grpc")])
        const parts: Uint8Array[] = [frame(4, 0, 0, new Uint8Array(0))]
        if (continued) parts.push(frame(1, 0, 1, head.subarray(0, 7)), frame(9, 4, 1, head.subarray(7)))
        else parts.push(frame(1, 4, 1, head))
        let at = 0
        for (const cut of [
          ...dataCuts.map(each => each % (data.length + 1)).sort((a, b) => a - b),
          data.length,
        ]) {
          const piece = data.subarray(at, Math.max(at, cut))
          at = Math.max(at, cut)
          const padded = Buffer.concat([Uint8Array.of(padding), piece, new Uint8Array(padding)])
          parts.push(frame(0, 8, 1, padded), frame(6, 0, 0, new Uint8Array(8)))
        }
        parts.push(frame(1, 5, 1, literal("grpc-status", "7")))
        const { stream, messages, ends, conn } = offline()
        feed(stream, conn, Buffer.concat(parts), chunkCuts)
        expect(messages.map(message => [...message])).toEqual(bodies.map(body => [...body]))
        expect(ends.map(end => end.code)).toEqual([7])
      },
    ),
  )
})

test("bytes of any kind end the stream at worst, once, and never throw", () => {
  const anyFrame = fc
    .tuple(fc.nat(12), fc.nat(255), fc.nat(3), fc.uint8Array({ maxLength: 40 }))
    .map(([type, flags, streamId, payload]) => frame(type, flags, streamId, payload))
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 5, arbitrary: anyFrame }, fc.uint8Array({ maxLength: 30 })), {
        maxLength: 12,
      }),
      fc.array(fc.nat(500), { maxLength: 6 }),
      (frames, cuts) => {
        const { stream, ends, conn } = offline()
        feed(stream, conn, Buffer.concat([frame(4, 0, 0, new Uint8Array(0)), ...frames]), cuts)
        stream.onClose(conn, null)
        expect(ends).toHaveLength(1)
      },
    ),
    { numRuns: 1000 },
  )
})
