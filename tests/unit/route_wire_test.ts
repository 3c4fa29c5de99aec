// The table of route cases over the wire: real clients and servers of HTTP/1.1, HTTP/2 and gRPC on loopback, the proxy's
// engines between them. What was decided on paper must be what servers get and clients see.
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { createServer as createHttp1, type Server } from "node:http"
import {
  connect as connectHttp2,
  createServer as createHttp2,
  type Http2Server,
  type ServerHttp2Stream,
} from "node:http2"
import { type AddressInfo, connect as connectTcp } from "node:net"
import { startHttp1Loopback } from "../../proxy/http1/loopback.ts"
import { startLoopbackProxy } from "../../proxy/http2/loopback.ts"
import { type CaseAnswer, type CaseRequest, manifestsOf, ROUTE_CASES } from "../routes/cases.ts"
import { destinationOf, fieldsOf, populate, sessionNameOf, storeOf } from "../routes/decide.ts"

const BACKENDS = ["shop/web:80", "shop/v1:80", "shop/v2:80", "elsewhere/far:80", "elsewhere/kept:80"]
/** What a server sends back beside what it saw. */
const RESPONSE_FIELDS = { server: "app", "x-old": "1" }
/** Fields that clients add by themselves. */
const CLIENT_FIELDS = new Set(["host", "connection", "te"])
/** HTTP statuses of the proxy's answers by the gRPC status that callers get instead (contract). */
const STATUS_OF_GRPC: Readonly<Record<string, number>> = { "12": 404, "14": 500 }

type Fields = Readonly<Record<string, string | string[] | undefined>>

/** What a server saw. */
interface Seen {
  readonly backend: string
  readonly path: string
  readonly authority: string
  readonly headers: Record<string, string>
}

/** What a client saw. */
interface Answered {
  readonly status: number
  readonly headers: Fields
  readonly body: string
}

/** What all servers saw of the request that is under way, and of its copies. */
let arrived: Seen[] = []
const http1Ports = new Map<string, number>()
const http2Ports = new Map<string, number>()
const servers: (Server | Http2Server)[] = []

function plain(fields: Fields, except: ReadonlySet<string> = new Set()): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || name.startsWith(":") || except.has(name)) continue
    // Clients and servers of Node join repeated fields with a blank.
    kept[name] = String(value).replaceAll(", ", ",")
  }
  return kept
}

beforeAll(async () => {
  for (const backend of BACKENDS) {
    const echo = (path: string, authority: string, fields: Fields): string => {
      const seen: Seen = { backend, path, authority, headers: plain(fields, CLIENT_FIELDS) }
      arrived.push(seen)
      return JSON.stringify(seen)
    }
    const http1 = createHttp1((request, response) => {
      const body = echo(request.url ?? "", request.headers.host ?? "", request.headers)
      response.writeHead(200, { ...RESPONSE_FIELDS, "content-length": body.length })
      response.end(body)
    })
    const http2 = createHttp2()
    http2.on("stream", (stream: ServerHttp2Stream, headers) => {
      stream.respond({ ":status": 200, ...RESPONSE_FIELDS })
      stream.end(echo(String(headers[":path"]), String(headers[":authority"]), headers))
    })
    for (const [server, ports] of [
      [http1, http1Ports],
      [http2, http2Ports],
    ] as const) {
      servers.push(server)
      await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
      ports.set(backend, (server.address() as AddressInfo).port)
    }
  }
})

afterAll(() => {
  for (const server of servers) server.close()
})

/** By hand: no client of Node sends `OPTIONS *`. Every answer has a length. */
function overHttp1(port: number, { path, method, authority, headers }: CaseRequest): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(port, "127.0.0.1")
    const fields = Object.entries({ host: authority ?? "web.shop", ...headers })
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")
    socket.write(`${method ?? "GET"} ${path} HTTP/1.1\r\n${lines}\r\n`)
    let text = ""
    socket.on("error", reject)
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1")
      const end = text.indexOf("\r\n\r\n")
      if (end < 0) return
      const [first = "", ...rest] = text.slice(0, end).split("\r\n")
      const seen: Record<string, string> = {}
      for (const line of rest) {
        const colon = line.indexOf(":")
        const name = line.slice(0, colon).toLowerCase()
        const value = line.slice(colon + 1).trim()
        seen[name] = seen[name] === undefined ? value : `${seen[name]},${value}`
      }
      const body = text.slice(end + 4)
      if (body.length < Number(seen["content-length"])) return
      socket.destroy()
      resolve({ status: Number(first.split(" ")[1]), headers: seen, body })
    })
  })
}

function overHttp2(port: number, request: CaseRequest): Promise<Answered> {
  const { path, grpc = false, authority = "web.shop", headers } = request
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`)
    session.on("error", reject)
    const stream = session.request({
      ":method": request.method ?? (grpc ? "POST" : "GET"),
      ":path": path,
      ":authority": authority,
      ...(grpc ? { "content-type": "application/grpc" } : {}),
      ...headers,
    })
    let answer: Fields = {}
    let body = ""
    stream.on("response", fields => {
      answer = fields as Fields
    })
    stream.on("data", (chunk: Buffer) => {
      body += chunk.toString()
    })
    stream.on("error", reject)
    stream.on("end", () => {
      session.close()
      const grpcStatus = answer["grpc-status"]
      const status = grpcStatus === undefined ? Number(answer[":status"]) : STATUS_OF_GRPC[String(grpcStatus)]
      resolve({ status: status ?? 0, headers: answer, body })
    })
    stream.end()
  })
}

/** What the table says of an answer that came over the wire. */
function readAnswer(answered: Answered, asked: CaseAnswer, request: CaseRequest): Record<string, unknown> {
  const { status, headers, body } = answered
  const got: Record<string, unknown> = {}
  if (status === 200 && body !== "") {
    const seen = JSON.parse(body) as Seen
    const own = request.grpc === true ? { ...seen.headers } : seen.headers
    if (request.grpc === true) delete own["content-type"]
    Object.assign(got, { backend: seen.backend, path: seen.path, authority: seen.authority, headers: own })
    const fields = plain(headers)
    const given = ["set-cookie", "x-session"].find(name => fields[name] !== undefined)
    got.session = given === undefined ? null : sessionNameOf(given, fields[given] ?? "")
    got.responseHeaders = Object.fromEntries(
      Object.entries(fields).filter(
        ([name]) =>
          !["date", "connection", "transfer-encoding", "content-length", "keep-alive"].includes(name),
      ),
    )
  } else {
    got.status = status
    if (headers.location !== undefined) got.location = headers.location
  }
  return Object.fromEntries(
    Object.keys(asked)
      .filter(key => key !== "rule" && key !== "mirrors")
      .map(key => [key, got[key]]),
  )
}

/** The table has rules' names too, which no client sees. */
function visible({ rule: _, mirrors: __, ...rest }: CaseAnswer): object {
  return { ...rest }
}

/** The request and its copies all arrived, the same but for where. */
async function expectCopies({ backend = "", mirrors = [] }: CaseAnswer): Promise<void> {
  for (
    const end = Date.now() + 3000;
    arrived.length <= mirrors.length && Date.now() < end;
    await Bun.sleep(2)
  );
  expect(arrived.map(seen => seen.backend).sort()).toEqual([backend, ...mirrors].sort())
  const [first, ...others] = arrived.map(({ backend: _, ...rest }) => rest)
  for (const other of others) expect(other).toEqual(first as NonNullable<typeof first>)
}

for (const { name, routes, requests } of ROUTE_CASES) {
  describe(name, () => {
    const store = storeOf(manifestsOf(routes))
    for (const [given, answer] of requests) {
      const request = typeof given === "string" ? { path: given } : given
      // Bun's HTTP/1 server, which echoes here, answers `OPTIONS *` with 400.
      const only2 = request.grpc === true || request.path === "*"
      const wires = only2 ? (["HTTP/2"] as const) : (["HTTP/1", "HTTP/2"] as const)
      for (const wire of wires) {
        test(`${wire}: ${JSON.stringify(given)} -> ${JSON.stringify(answer)}`, async () => {
          const destination = destinationOf(store, request.from ?? "shop")
          populate(destination, wire === "HTTP/1" ? http1Ports : http2Ports)
          const options = destination.routes === null ? {} : { routes: destination.routes }
          const start = wire === "HTTP/1" ? startHttp1Loopback : startLoopbackProxy
          const proxy = start(destination.source, options)
          try {
            const call = wire === "HTTP/1" ? overHttp1 : overHttp2
            arrived = []
            const answered = await call(proxy.port, { ...request, headers: fieldsOf(destination, request) })
            expect(readAnswer(answered, answer, request)).toEqual(visible(answer) as Record<string, unknown>)
            if (answer.mirrors !== undefined) await expectCopies(answer)
          } finally {
            proxy.close()
          }
        })
      }
    }
  })
}
