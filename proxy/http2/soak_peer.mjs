// An echo server and clients of it, run by Node for http2_soak_test.ts: random sizes, pieces, pauses, windows and
// cancellations from a seed. Prints the server's port, reads the proxy's from stdin, prints what came of it.
import { createHash } from "node:crypto"
import http2 from "node:http2"
import { createInterface } from "node:readline"

const REQUESTS = 800
const AT_ONCE = 40
const WINDOWS = [65_535, 1000, 200_000, 16_384]

let state = Number(process.argv[2])
const random = () => {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const server = http2.createServer()
server.on("stream", stream => {
  stream.on("error", () => {})
  stream.respond({ ":status": 200 })
  stream.pipe(stream)
})

const counts = { whole: 0, wrong: 0, cancelled: 0, failed: 0 }

function request(session, number) {
  const size = Math.floor(random() ** 3 * 200_000)
  const body = Buffer.alloc(size, `request ${number} `)
  const cancel = random() < 0.15
  const pause = random() < 0.1
  const pieces = Array.from({ length: 20 }, () => 1 + Math.floor(random() * 20_000))
  const sent = createHash("sha1").update(body).digest("hex")
  return new Promise(resolve => {
    const stream = session.request({ ":method": "POST", ":path": "/echo", "x-number": String(number) })
    const got = createHash("sha1")
    let done = false
    const end = outcome => {
      if (done) return
      done = true
      counts[outcome]++
      resolve()
    }
    if (cancel) setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), random() * 8)
    stream.on("data", chunk => got.update(chunk))
    stream.on("end", () => {
      if (got.digest("hex") === sent) end("whole")
      else end(cancel ? "cancelled" : "wrong")
    })
    stream.on("error", () => end(cancel ? "cancelled" : "failed"))
    stream.on("close", () => end(cancel ? "cancelled" : "failed"))
    if (pause) {
      stream.pause()
      setTimeout(() => stream.resume(), 20)
    }
    let at = 0
    const write = () => {
      while (at < size && !stream.destroyed) {
        const piece = body.subarray(at, at + pieces[at % pieces.length])
        at += piece.length
        if (!stream.write(piece)) {
          stream.once("drain", write)
          return
        }
      }
      stream.end()
    }
    write()
  })
}

async function play(port) {
  const sessions = WINDOWS.map(initialWindowSize =>
    http2.connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize } }),
  )
  let next = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < REQUESTS) {
        const number = next++
        await request(sessions[number % sessions.length], number)
      }
    }),
  )
  process.stdout.write(`${JSON.stringify(counts)}\n`)
}

server.listen(0, "127.0.0.1", () =>
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`),
)
createInterface({ input: process.stdin }).once("line", line => void play(Number(line)))
