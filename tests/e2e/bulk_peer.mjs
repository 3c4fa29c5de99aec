// Bulk transfers for tests of memory, under Node: 1 GiB each way over HTTP/1.1 (8081), HTTP/2 (8080) and raw TCP
// (7000 down, 7001 up), one end as fast as it can, the other at 10 KB/s. `serve` and the clients print how far they are.
import { createServer as createHttp1, request as requestHttp1 } from "node:http"
import { connect as connectHttp2, createServer as createHttp2 } from "node:http2"
import { connect, createServer } from "node:net"

const BODY_BYTES = 1024 ** 3
const CHUNK = Buffer.alloc(64 * 1024)
/** 10 KB a second. */
const READ_BYTES = 1_000
const READ_EVERY_MS = 100
const STATUS_EVERY_MS = 200

let sent = 0
let received = 0

/** Writes the body as fast as the stream takes it, counting what was handed over. */
function flood(stream) {
  let left = BODY_BYTES
  const more = () => {
    while (left > 0) {
      left -= CHUNK.length
      sent += CHUNK.length
      if (!stream.write(CHUNK)) return
    }
    stream.end()
  }
  stream.on("drain", more)
  stream.on("error", () => {})
  more()
}

/** Reads 10 KB/s, in small bites, whatever the stream has. */
function sip(stream) {
  stream.on("error", () => {})
  // With a listener of `readable` a stream reads ahead no more than its buffer's high-water mark.
  stream.on("readable", () => {})
  const timer = setInterval(() => {
    const chunk = stream.read(READ_BYTES)
    if (chunk !== null) received += chunk.length
  }, READ_EVERY_MS)
  stream.on("close", () => clearInterval(timer))
}

function serve() {
  const answer = (request, response) => {
    if (request.url === "/quick") response.end("quick\n")
    else if (request.method === "POST") sip(request)
    else {
      response.setHeader("content-length", BODY_BYTES)
      flood(response)
    }
  }
  createHttp1(answer).listen(8081, "::")
  createHttp2({ settings: { maxConcurrentStreams: 100 } }, answer).listen(8080, "::")
  createServer(flood).listen(7000, "::")
  createServer({ highWaterMark: 16_384 }, sip).listen(7001, "::", () => console.log("listening"))
}

/** HTTP/2 by hand, with windows as large as they get, so that nothing but the socket holds the server back. */
function readWithHugeWindows(host, port) {
  const frame = (type, flags, stream, payload) => {
    const head = Buffer.alloc(9)
    head.writeUIntBE(payload.length, 0, 3)
    head[3] = type
    head[4] = flags
    head.writeUInt32BE(stream, 5)
    return Buffer.concat([head, payload])
  }
  const literal = (name, value) =>
    Buffer.concat([
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ])
  const fields = [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/down"],
    [":authority", "bulk"],
  ]
  const socket = connect(port, host)
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
  // SETTINGS_INITIAL_WINDOW_SIZE 2^31-1, and the connection's window raised to the same.
  socket.write(frame(4, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])))
  socket.write(frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0x00, 0x00])))
  socket.write(frame(1, 5, 1, Buffer.concat(fields.map(([name, value]) => literal(name, value)))))
  sip(socket)
}

const CLIENTS = {
  "http1 down": host => requestHttp1({ host, port: 80, path: "/down" }, sip).end(),
  "http1 up": host =>
    flood(
      requestHttp1({
        host,
        port: 80,
        path: "/up",
        method: "POST",
        headers: { "content-length": BODY_BYTES },
      }),
    ),
  "http2 down": host => sip(connectHttp2(`http://${host}:82`).request({ ":path": "/down" })),
  "http2 up": host => flood(connectHttp2(`http://${host}:82`).request({ ":path": "/up", ":method": "POST" })),
  "http2 down with huge windows": host => readWithHugeWindows(host, 82),
  "tcp down": host => sip(connect(70, host)),
  "tcp up": host => flood(connect(71, host)),
}

process.on("uncaughtException", error => console.log(JSON.stringify({ error: String(error) })))
setInterval(() => console.log(JSON.stringify({ sent, received })), STATUS_EVERY_MS)
const [what, host] = process.argv.slice(2)
if (what === "serve") serve()
else CLIENTS[what](host)
