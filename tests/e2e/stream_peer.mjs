// Long-lived streams for tests, under Node. `serve NAME` takes HTTP/2 on 8080 and answers each line of a stream with
// `NAME LINE`; `hold HOST PORT COUNT` keeps that many streams on one connection, sends a line on each every 100 ms, and
// prints once a second who answers how many of them and how many have ended. A line on its input opens COUNT more.
import { connect, createServer } from "node:http2"

const EVERY_MS = 100
const STATUS_MS = 500

function serve(name) {
  const server = createServer()
  server.on("stream", stream => {
    stream.on("error", () => {})
    stream.respond({ ":status": 200, "content-type": "application/grpc" })
    stream.on("data", chunk => stream.write(`${name} ${chunk}`))
    stream.on("end", () => stream.end())
  })
  server.listen(8080, "::", () => console.log("listening"))
}

class Held {
  by = ""
  sent = 0
  answered = 0
  ended = false

  constructor(session) {
    const stream = session.request({
      ":method": "POST",
      ":path": "/held",
      "content-type": "application/grpc",
    })
    stream.setEncoding("utf8")
    stream.on("error", () => {})
    stream.on("data", text => {
      this.by = text.split(" ")[0]
      this.answered += text.split("\n").length - 1
    })
    stream.on("close", () => {
      this.ended = true
      clearInterval(timer)
    })
    const timer = setInterval(() => {
      this.sent++
      stream.write("line\n")
    }, EVERY_MS)
  }
}

function hold(host, port, count) {
  const session = connect(`http://${host}:${port}`)
  session.on("error", error => console.log(JSON.stringify({ error: error.message })))
  const generations = []
  const open = () => generations.push(Array.from({ length: count }, () => new Held(session)))
  open()
  process.stdin.on("data", open)
  setInterval(() => {
    const report = generations.map(streams => {
      const by = {}
      for (const one of streams) if (one.by !== "") by[one.by] = (by[one.by] ?? 0) + 1
      return {
        by,
        ended: streams.filter(one => one.ended).length,
        answered: Math.min(...streams.map(one => one.answered)),
      }
    })
    console.log(JSON.stringify({ report }))
  }, STATUS_MS)
}

const [what, ...rest] = process.argv.slice(2)
if (what === "serve") serve(rest[0])
else hold(rest[0], Number(rest[1]), Number(rest[2]))
