// The HTTP/1 engine between a client and a server that both misbehave at random: it never throws, never loses count
// of an exchange, and serves the next client as if nothing had been. Every failure prints its seed.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { connect, createServer, type Server, type Socket } from "node:net"
import { loop } from "../net/mod.ts"
import { type Http1Loopback, onPort, startHttp1Loopback } from "./loopback.ts"

const REQUESTS: readonly string[] = [
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly",
  "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nearly",
  "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
  "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
  "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
  "\x00\x01garbage\r\n\r\n",
]

const RESPONSES: readonly string[] = [
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: 1\r\n\r\n",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
  "HTTP/1.0 200 OK\r\n\r\nuntil the end",
  "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\ntunnel",
  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more",
  "HTTP/1.1 2xx what\r\n\r\n",
  "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n",
]

/** xorshift32. */
function random(seed: number): (below: number) => number {
  let state = seed | 1
  return below => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

function pick(from: readonly string[], next: (below: number) => number): string {
  return from[next(from.length)] as string
}

/** Sometimes a byte is changed, sometimes the end is missing. */
function damage(text: string, next: (below: number) => number): string {
  const at = next(text.length)
  switch (next(8)) {
    case 0:
      return text.slice(0, at)
    case 1:
      return text.slice(0, at) + String.fromCharCode(next(256)) + text.slice(at + 1)
    default:
      return text
  }
}

const SEED = Number(process.env.CONDUIT_FUZZ_SEED ?? Date.now() % 0x7fffffff)
const ROUNDS = Number(process.env.CONDUIT_FUZZ_ROUNDS ?? 600)
let server: Server
let proxy: Http1Loopback
let serverRandom = random(SEED)
const thrown: string[] = []
const accepted = new Set<Socket>()
const onHandlerError = loop.onHandlerError

beforeAll(async () => {
  loop.onHandlerError = (where, error) => {
    thrown.push(`${where}: ${error instanceof Error ? error.stack : String(error)}`)
  }
  server = createServer({ allowHalfOpen: true }, socket => {
    accepted.add(socket)
    socket.on("close", () => accepted.delete(socket))
    socket.on("error", () => {})
    socket.on("end", () => socket.end())
    socket.on("data", (data: Uint8Array) => {
      if (data.length === HONEST.length && Buffer.from(data).toString() === HONEST) {
        socket.write(RESPONSES[0] as string)
        return
      }
      const response = Buffer.from(damage(pick(RESPONSES, serverRandom), serverRandom), "latin1")
      const half = serverRandom(response.length + 1)
      socket.write(response.subarray(0, half))
      setImmediate(() => socket.write(response.subarray(half)))
      const ending = serverRandom(6)
      if (ending === 0) setTimeout(() => socket.end(), 1)
      else if (ending === 1) setTimeout(() => socket.resetAndDestroy(), 1)
    })
  })
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  proxy = startHttp1Loopback(onPort(typeof address === "object" && address !== null ? address.port : 0))
})

afterAll(() => {
  loop.onHandlerError = onHandlerError
  proxy.close()
  server.close()
})

const HONEST = "GET /honest HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

/** One client's life: a few requests in odd pieces, then a FIN, a reset, or nothing for a moment. */
async function misbehave(next: (below: number) => number): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port: proxy.port, allowHalfOpen: true })
  socket.on("error", () => {})
  socket.on("data", () => {})
  let stream = ""
  for (let i = 0; i <= next(3); i++) stream += damage(pick(REQUESTS, next), next)
  const bytes = Buffer.from(stream, "latin1")
  let at = 0
  while (at < bytes.length && !socket.destroyed) {
    const end = Math.min(bytes.length, at + 1 + next(80))
    socket.write(bytes.subarray(at, end))
    at = end
    if (next(3) === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await Bun.sleep(next(4))
  if (next(3) === 0) socket.end()
  else if (next(2) === 0) socket.resetAndDestroy()
  await Bun.sleep(next(6))
  socket.destroy()
}

async function honest(): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port: proxy.port })
  let received = ""
  socket.on("data", (data: Uint8Array) => {
    received += Buffer.from(data).toString("latin1")
  })
  const closed = new Promise<void>(resolve => socket.on("close", () => resolve()))
  socket.write(HONEST)
  await closed
  return received
}

test(`between two that misbehave (CONDUIT_FUZZ_SEED=${SEED})`, async () => {
  for (let round = 0; round < ROUNDS; round += 20) {
    const seed = (SEED + round * 2654435761) | 0
    const next = random(seed)
    serverRandom = random(seed ^ 0x5bd1e995)
    await Promise.all(Array.from({ length: 20 }, () => misbehave(random(next(0x7fffffff)))))
    if (thrown.length > 0) throw new Error(`CONDUIT_FUZZ_SEED=${SEED}, round ${round}: ${thrown[0]}`)
  }
  // Behind pipelined requests a FIN is not seen before its turn; where the server owes an answer, its end is the end.
  for (const socket of accepted) socket.destroy()
  const deadline = performance.now() + 5000
  while (proxy.admission.inFlight !== 0 && performance.now() < deadline) await Bun.sleep(5)
  expect(proxy.admission.inFlight).toBe(0)
  expect(await honest()).toBe(RESPONSES[0] as string)
}, 60_000)
