// What the truth test measures against: a server and a database with known latencies, and a generator over HTTP/1, HTTP/2, gRPC
// and raw TCP that tells what it did, how long the server took and how long it waited itself.

/** Requests of one run, by what is asked for; over each of the three protocols. */
export const REQUESTS = { one: 300, two: 100, fail: 60, slow: 10 }

/** Of the three, HTTP/1 and HTTP/2 are one route; gRPC is another one. */
const PROTOCOLS = 3

/** Raw connections of one run, and what passes each way over one. */
export const TCP = { connections: 20, bytes: 100_000 }

/** Answers of one run. */
export const RESPONSES = PROTOCOLS * Object.values(REQUESTS).reduce((sum, count) => sum + count, 0)

/** Those of them that fail: HTTP status 500, gRPC status 13. */
export const FAILURES = PROTOCOLS * REQUESTS.fail

/**
 * `one` is constant, `two` has two peaks, `slow` is one slow endpoint, `fail` fails; latencies stand in the middle of buckets.
 * HTTP/1 on 8080, HTTP/2 and gRPC on 8081; `x-took` is what passed in here, milliseconds.
 */
export const SERVER = `
const { createServer } = require("node:http2")
let twos = 0
const WAIT = { one: () => 25, two: () => (twos++ % 10 < 7 ? 25 : 150), fail: () => 25, slow: () => 700 }
async function serve(path) {
  const name = path.slice(path.lastIndexOf("/") + 1)
  const from = performance.now()
  await Bun.sleep(WAIT[name]())
  return { failed: name === "fail", took: String(performance.now() - from) }
}
Bun.serve({ hostname: "0.0.0.0", port: 8080, async fetch(request) {
  const { failed, took } = await serve(new URL(request.url).pathname)
  return new Response("", { status: failed ? 500 : 200, headers: { "x-took": took } })
} })
createServer().on("stream", async (stream, headers) => {
  const grpc = headers["content-type"] === "application/grpc"
  const { failed, took } = await serve(headers[":path"])
  if (!grpc) {
    stream.respond({ ":status": failed ? 500 : 200, "x-took": took })
    stream.end()
    return
  }
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": failed ? "13" : "0" }))
  stream.respond({ ":status": 200, "content-type": "application/grpc", "x-took": took }, { waitForTrailers: true })
  stream.end(Buffer.alloc(5))
}).listen(8081, "0.0.0.0")`

/** Speaks first, as MySQL does, takes what it is sent and answers with as much. */
export const DATABASE = `
require("node:net").createServer(socket => {
  let taken = 0
  socket.on("error", () => {}).on("data", chunk => {
    taken += chunk.length
    if (taken === ${TCP.bytes}) socket.end(Buffer.alloc(${TCP.bytes} - 5))
  })
  socket.write("hello")
}).listen(3306, "0.0.0.0")`

/** What one run did. */
export interface Generated {
  /** Names of routes as proxies learn them. */
  readonly routes: Readonly<Record<string, Counted>>
  readonly tcp: {
    readonly connections: number
    readonly bytes: number
    /** That broke, and were opened again. */
    readonly broken: number
  }
}

/** Answers of one route. */
export interface Counted {
  readonly responses: number
  readonly failures: number
  /** What passed within the server, and what the generator waited, milliseconds. */
  readonly took: readonly number[]
  readonly waited: readonly number[]
}

/** Prints a Generated. */
export const GENERATOR = `
const { connect } = require("node:http2")
const routes = {}
function note(route, failed, took, waited) {
  const of = (routes[route] ??= { responses: 0, failures: 0, took: [], waited: [] })
  of.responses++
  if (failed) of.failures++
  of.took.push(Number(took))
  of.waited.push(waited)
}
const session = connect("http://server.shop:81")
const http2 = (name, grpc) => new Promise((resolve, reject) => {
  const from = performance.now()
  const path = (grpc ? "/truth.Server/" : "/") + name
  const more = grpc ? { ":method": "POST", "content-type": "application/grpc", te: "trailers" } : {}
  const stream = session.request({ ":path": path, ...more })
  let status, took
  stream.on("response", headers => { status = headers[":status"] === 200 ? 0 : 1; took = headers["x-took"] })
  stream.on("trailers", trailers => { if (trailers["grpc-status"] !== "0") status = 1 })
  stream.on("error", reject).on("end", () => {
    note(grpc ? path : "GET " + path, status !== 0, took, performance.now() - from)
    resolve()
  }).resume()
  stream.end()
})
const http1 = async name => {
  const from = performance.now()
  const answer = await fetch("http://server.shop/" + name)
  await answer.text()
  note("GET /" + name, answer.status !== 200, answer.headers.get("x-took"), performance.now() - from)
}
const tcp = { connections: 0, bytes: 0, broken: 0 }
const attempt = () => new Promise((resolve, reject) => {
  let got = 0
  const socket = require("node:net").connect(3306, "db.shop")
  socket.once("data", () => socket.write(Buffer.alloc(${TCP.bytes})))
  socket.on("data", chunk => { got += chunk.length }).on("error", reject).on("end", () => {
    tcp.connections++
    tcp.bytes += got
    resolve()
  })
})
// As a client of a database does: one that breaks is opened again.
const overTcp = async () => {
  for (;;) {
    try { return await attempt() } catch (error) { if (++tcp.broken > 3) throw error }
  }
}
const each = async (left, ask) => await Promise.all(Array.from({ length: 10 }, async () => { while (left-- > 0) await ask() }))
for (const [name, count] of Object.entries(${JSON.stringify(REQUESTS)}))
  await Promise.all([each(count, () => http1(name)), each(count, () => http2(name, false)), each(count, () => http2(name, true))])
await each(${TCP.connections}, overTcp)
session.close()
console.log(JSON.stringify({ routes, tcp }))`
