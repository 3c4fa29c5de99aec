// What is told of exchanges that are over, in both versions of HTTP: sizes, status, attempts, and why they failed.
import { expect, test } from "bun:test"
import { connect, createServer, type ServerHttp2Stream } from "node:http2"
import { type Http1LoopbackOptions, inOrder, onPort, startHttp1Loopback } from "../http1/loopback.ts"
import { roundRobin, startLoopbackProxy } from "../http2/loopback.ts"
import type { ExchangeFacts } from "./exchange_facts.ts"

/** Takes facts, and gives the next of them. */
class Told {
  private readonly facts: ExchangeFacts[] = []
  private wake: (() => void) | null = null

  ended(facts: ExchangeFacts): void {
    this.facts.push(facts)
    this.wake?.()
  }

  async next(): Promise<ExchangeFacts> {
    while (this.facts.length === 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.wake = resolve
      await promise
    }
    return this.facts.shift() as ExchangeFacts
  }
}

async function http1(
  serve: (request: Request) => Response | Promise<Response>,
  use: (url: string, told: Told) => Promise<void>,
  options: Http1LoopbackOptions & { readonly deadFirst?: boolean } = {},
): Promise<void> {
  const told = new Told()
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: serve })
  const port = server.port as number
  const source = options.deadFirst === true ? inOrder([1, port]) : onPort(port)
  const proxy = startHttp1Loopback(source, { ...options, accessLog: told })
  try {
    await use(`http://127.0.0.1:${proxy.port}`, told)
  } finally {
    proxy.close()
    await server.stop(true)
  }
}

test("HTTP/1: bodies are counted as they pass, the framing of chunks with them", async () => {
  await http1(
    async request => {
      await request.text()
      return new Response("five!")
    },
    async (url, told) => {
      await (await fetch(`${url}/sized`, { method: "POST", body: "x".repeat(1000) })).text()
      expect(await told.next()).toMatchObject({
        httpVersion: "1.1",
        status: 200,
        requestBytes: 1000,
        responseBytes: 5,
        attempts: 1,
        error: "",
        isFailure: false,
      })
      const chunks = new ReadableStream({
        start(controller) {
          controller.enqueue(Buffer.from("ten bytes!"))
          controller.close()
        },
      })
      await (await fetch(`${url}/chunked`, { method: "POST", body: chunks })).text()
      // a CRLF, ten bytes, CRLF; 0 CRLF CRLF.
      expect((await told.next()).requestBytes).toBe(3 + 10 + 2 + 5)
      await (await fetch(`${url}/next`)).text()
      // Nothing of the request before it on the same connection.
      expect(await told.next()).toMatchObject({ requestBytes: 0, responseBytes: 5 })
    },
  )
})

test("HTTP/1: an endpoint that could not be connected to is an attempt, and time that the proxy took", async () => {
  await http1(
    () => new Response("ok"),
    async (url, told) => {
      await (await fetch(url)).text()
      const facts = await told.next()
      expect(facts).toMatchObject({ status: 200, attempts: 2 })
      expect(facts.endpoint?.port).toBeGreaterThan(1)
      expect(facts.processingMs).toBeGreaterThan(0)
      expect(facts.processingMs).toBeLessThanOrEqual(facts.totalMs)
    },
    { deadFirst: true },
  )
})

test("HTTP/1: what the proxy answers itself has its reason, and no bytes of an answer before it", async () => {
  const told = new Told()
  const proxy = startHttp1Loopback({ pick: () => null }, { accessLog: told })
  try {
    await (await fetch(`http://127.0.0.1:${proxy.port}/`)).text()
    expect(await told.next()).toMatchObject({
      status: 503,
      error: "no-endpoint",
      isFailure: true,
      endpoint: null,
      attempts: 0,
      responseBytes: 0,
    })
  } finally {
    proxy.close()
  }
})

test("HTTP/1: a client that is gone is told as such", async () => {
  const asked = Promise.withResolvers<void>()
  await http1(
    async () => {
      asked.resolve()
      return await new Promise<Response>(() => {})
    },
    async (url, told) => {
      const leaves = new AbortController()
      const answer = fetch(url, { signal: leaves.signal }).catch(() => {})
      await asked.promise
      leaves.abort()
      await answer
      expect(await told.next()).toMatchObject({ status: 0, error: "client-gone", responseBytes: 0 })
    },
  )
})

test("HTTP/2: bodies of both ways are counted, and a gRPC call has its status", async () => {
  const told = new Told()
  const server = createServer()
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true })
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "5" }))
    stream.resume()
    stream.on("end", () => stream.end("seven!!"))
  })
  const listening = Promise.withResolvers<void>()
  server.listen(0, "127.0.0.1", () => listening.resolve())
  await listening.promise
  const { port } = server.address() as { port: number }
  const proxy = startLoopbackProxy(roundRobin([port]), { direction: 0, accessLog: told })
  const session = connect(`http://127.0.0.1:${proxy.port}`)
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": "/a.B/C",
      "content-type": "application/grpc",
    })
    stream.resume()
    stream.end("x".repeat(3000))
    expect(await told.next()).toMatchObject({
      direction: 0,
      httpVersion: "2",
      status: 200,
      grpcStatus: 5,
      requestBytes: 3000,
      responseBytes: 7,
    })
  } finally {
    session.close()
    proxy.close()
    server.close()
  }
})
