// One port, two versions of HTTP: told apart by their first bytes, however these arrive.
import { afterEach, expect, test } from "bun:test"
import { connect as connectHttp2 } from "node:http2"
import { connect, type Socket } from "node:net"
import { connect as connectTls, createSecureContext } from "node:tls"
import { makeServerCertificate } from "../../deploy/identity/mod.ts"
import { type Listening, listen } from "./listener.ts"

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean()
})

async function serve(keepalive = {}): Promise<Listening> {
  const listening = await listen({
    host: "127.0.0.1",
    port: 0,
    keepalive,
    onRequest: (request, response) => {
      response.statusCode = 200
      response.end(`${request.httpVersion} ${request.url}`)
    },
  })
  cleanups.push(() => listening.close())
  return listening
}

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1")
  socket.setNoDelay(true)
  cleanups.push(() => socket.destroy())
  await new Promise<void>(resolve => socket.once("connect", resolve))
  return socket
}

/** HTTP/2 preface and an empty SETTINGS frame (RFC 9113 section 3.4). */
const PREFACE = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
])

function received(socket: Socket, enough: (bytes: Buffer) => boolean): Promise<Buffer> {
  let bytes = Buffer.alloc(0)
  return new Promise(resolve => {
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      if (enough(bytes)) resolve(bytes)
    })
  })
}

test("HTTP/1.1 and HTTP/2 are served on one port at the same time", async () => {
  const { port } = await serve()
  expect(await (await fetch(`http://127.0.0.1:${port}/one`)).text()).toBe("1.1 /one")
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  cleanups.push(() => session.destroy())
  const request = session.request({ ":path": "/two" })
  let body = ""
  for await (const chunk of request) body += chunk
  expect(body).toBe("2.0 /two")
})

test("a request that arrives byte by byte is served", async () => {
  const socket = await dial((await serve()).port)
  const answer = received(socket, bytes => bytes.includes("1.1 /slow"))
  for (const byte of Buffer.from("PUT /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")) {
    socket.write(Uint8Array.of(byte))
    await Bun.sleep(0)
  }
  expect((await answer).toString()).toStartWith("HTTP/1.1 200")
})

test("a preface that arrives byte by byte begins HTTP/2", async () => {
  const socket = await dial((await serve()).port)
  const settings = received(socket, bytes => bytes.length >= 9)
  for (const byte of PREFACE) {
    socket.write(Uint8Array.of(byte))
    await Bun.sleep(0)
  }
  expect((await settings)[3]).toBe(4)
})

test("an HTTP/2 peer that answers no PING is cut off", async () => {
  const socket = await dial((await serve({ intervalMs: 50, timeoutMs: 50 })).port)
  const closed = new Promise<void>(resolve => socket.once("close", () => resolve()))
  socket.resume()
  socket.write(PREFACE)
  await closed
})

test("an HTTP/2 peer that answers PINGs stays", async () => {
  const { port } = await serve({ intervalMs: 20, timeoutMs: 2_000 })
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  cleanups.push(() => session.destroy())
  let pings = 0
  session.on("ping", () => pings++)
  while (pings < 5) await Bun.sleep(5)
  expect(session.destroyed).toBe(false)
})

test("closing a listener cuts its connections and frees its port", async () => {
  const listening = await serve()
  const socket = await dial(listening.port)
  const closed = new Promise<void>(resolve => socket.once("close", () => resolve()))
  socket.resume()
  listening.close()
  await closed
  const again = await listen({ host: "127.0.0.1", port: listening.port, onRequest: () => {} })
  again.close()
})

/** What a client that offers these protocols gets on a TLS port of one version: the start of the answer, or nothing. */
async function overTls(alpn: "h2" | "http/1.1", offered: string[]) {
  const { certificate, key } = await makeServerCertificate({
    name: "a",
    dnsNames: ["a.test"],
    nowMs: Date.now(),
    lifetimeMs: 60_000,
  })
  const context = createSecureContext({ cert: certificate, key })
  const refused: string[] = []
  const listening = await listen({
    host: "127.0.0.1",
    port: 0,
    onRequest: (_request, response) => response.end("x"),
    tls: {
      context: () => context,
      names: null,
      alpn,
      client: "optional",
      plaintext: "refused",
      onRefused: reason => refused.push(reason),
    },
  })
  cleanups.push(() => listening.close())
  const socket = connectTls({
    ...{ host: "127.0.0.1", port: listening.port, ca: certificate, servername: "a.test" },
    ALPNProtocols: offered,
  })
  cleanups.push(() => socket.destroy())
  const text = await new Promise<string>(resolve => {
    socket.on("error", () => resolve(""))
    socket.on("close", () => resolve(""))
    socket.on("data", (chunk: Buffer) => resolve(chunk.toString("latin1", 0, 12)))
    socket.once("secureConnect", () => socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"))
  })
  return { text, refused }
}

test("over TLS a port of HTTP/1.1 serves who asks for it, or for nothing", async () => {
  expect((await overTls("http/1.1", ["h2", "http/1.1"])).text).toBe("HTTP/1.1 200")
  expect((await overTls("http/1.1", [])).text).toBe("HTTP/1.1 200")
})

test("over TLS a port of HTTP/2 turns away who asks for nothing, and says why", async () => {
  expect(await overTls("h2", [])).toEqual({ text: "", refused: ["handshake"] })
})
