// gRPC probes against a health service: what it answers is what the probe says.
import { afterEach, expect, test } from "bun:test"
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2"
import { createServer as createTcpServer } from "node:net"
import { probeGrpc } from "./grpc_probe.ts"

const servers: { close(): void }[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

async function portOf(server: Http2Server | ReturnType<typeof createTcpServer>): Promise<number> {
  servers.push(server)
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", () => resolve()))
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** A health service that knows "" and "shop.Cart"; what it was asked is kept. */
async function health(statusOf: (service: string) => number | null): Promise<number> {
  const server = createServer()
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const chunks: Buffer[] = []
    stream.on("data", (chunk: Buffer) => chunks.push(chunk))
    stream.on("end", () => {
      const body = Buffer.concat(chunks)
      const service = body.length > 5 ? body.subarray(7).toString() : ""
      const known = headers[":path"] === "/grpc.health.v1.Health/Check" ? statusOf(service) : null
      if (known === null) {
        stream.respond(
          { ":status": 200, "content-type": "application/grpc", "grpc-status": "5" },
          { endStream: true },
        )
        return
      }
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true })
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }))
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, known]))
    })
  })
  return await portOf(server)
}

test.each([
  ["", true, ""],
  ["shop.Cart", false, "it is NOT_SERVING"],
  ["shop.Nope", false, 'the health service does not know the service "shop.Nope"'],
])("the state of the service %p is asked for by its name", async (service, ok, reason) => {
  const port = await health(name => (name === "" ? 1 : name === "shop.Cart" ? 2 : null))
  expect(await probeGrpc("127.0.0.1", port, service, 1_000)).toEqual({ ok, reason })
})

test("a port that is open but speaks no gRPC is not healthy", async () => {
  const port = await portOf(createTcpServer(socket => socket.end("hello\n")))
  expect((await probeGrpc("127.0.0.1", port, "", 1_000)).ok).toBe(false)
})

test("a server that does not answer is given up in time", async () => {
  const port = await portOf(createTcpServer(() => {}))
  expect(await probeGrpc("127.0.0.1", port, "", 50)).toEqual({ ok: false, reason: "no answer in time" })
})

test("a closed port is refused", async () => {
  const server = createTcpServer(() => {})
  const port = await portOf(server)
  await new Promise<void>(resolve => server.close(() => resolve()))
  expect(await probeGrpc("127.0.0.1", port, "", 1_000)).toEqual({ ok: false, reason: "connection refused" })
})
