// A gRPC stream against servers that others wrote (grpc-js), and against one that misbehaves.
import { afterEach, expect, test } from "bun:test"
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2"
import { createServer as createTcpServer } from "node:net"
import { status as grpcStatus, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js"
import { dial, loop } from "../net/mod.ts"
import { GrpcStream, MAX_MESSAGE_BYTES } from "./grpc_stream.ts"
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
