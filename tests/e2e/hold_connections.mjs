// Many connections on which nothing happens, for tests of memory, under Node. `serve PORT` answers whatever comes with
// a small response and keeps the connection; `tcp|http1|http2 HOST PORT COUNT` opens that many, has each answered once, and
// says `all up`.
import { connect, createServer } from "node:net"

const AT_ONCE = 64
const ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
const QUESTIONS = {
  tcp: "\x00\x01hello, no protocol that anyone knows\n",
  http1: "GET / HTTP/1.1\r\nhost: hold\r\n\r\n",
  // Preface, empty SETTINGS, and HEADERS of stream 1: GET http / of authority "h", all from the static table or literal.
  http2: Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    Buffer.from([0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, 0x68]),
  ]),
}

function serve(port) {
  const server = createServer(socket => {
    socket.on("error", () => {})
    socket.on("data", () => socket.write(ANSWER))
  })
  server.listen({ port, host: "::", backlog: 4096 }, () => console.log("listening"))
}

function hold(question, host, port, count) {
  let begun = 0
  let up = 0
  const next = () => {
    if (begun >= count) return
    begun++
    const socket = connect(port, host)
    socket.on("error", error => console.log(`after ${up} connections: ${error.message}`))
    socket.on("close", () => process.exit(1))
    socket.write(question)
    socket.once("data", () => {
      up++
      if (up === count) console.log("all up")
      next()
    })
  }
  for (let i = 0; i < AT_ONCE; i++) next()
}

const [what, ...rest] = process.argv.slice(2)
if (what === "serve") serve(Number(rest[0]))
else hold(QUESTIONS[what], rest[0], Number(rest[1]), Number(rest[2]))
