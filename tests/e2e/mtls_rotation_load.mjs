// Load for tests of rotation, under Node: `HOST RATE` sends RATE requests a second over HTTP/1.1 to port 80 and as many
// over HTTP/2 to port 82, some on kept connections and some on new ones, until its input ends; then prints what came.
import { Agent, request as requestHttp1 } from "node:http"
import { connect } from "node:http2"

const [host, rate] = process.argv.slice(2)
const TICK_MS = 20
/** One connection in so many requests is a new one, so that handshakes go on all the time. */
const FRESH_EVERY = 20
const TIMEOUT_MS = 5_000

const report = { http1: 0, http2: 0, failures: [] }
const running = new Set()
const agent = new Agent({ keepAlive: true, maxSockets: 8 })

function fail(what) {
  if (report.failures.length < 20) report.failures.push(`${new Date().toISOString()} ${what}`)
}

function begin() {
  const one = {}
  running.add(one)
  return () => running.delete(one)
}

function http1(fresh) {
  const over = begin()
  const request = requestHttp1(
    { host, path: "/", agent: fresh ? false : agent, timeout: TIMEOUT_MS },
    response => {
      response.resume()
      response.on("end", () => {
        if (response.statusCode === 200) report.http1++
        else fail(`HTTP/1 status ${response.statusCode} ${response.headers["conduit-proxy-error"]}`)
        over()
      })
    },
  )
  request.on("timeout", () => request.destroy(new Error("timeout")))
  request.on("error", error => {
    fail(`HTTP/1 ${error.message}`)
    over()
  })
  request.end()
}

const session = connect(`http://${host}:82`)
session.on("error", error => fail(`HTTP/2 session ${error.message}`))

function http2() {
  const over = begin()
  const stream = session.request({ ":path": "/" })
  stream.setTimeout(TIMEOUT_MS, () => stream.destroy(new Error("timeout")))
  stream.on("response", fields => {
    if (fields[":status"] !== 200) fail(`HTTP/2 status ${fields[":status"]} ${fields["conduit-proxy-error"]}`)
  })
  stream.on("error", error => fail(`HTTP/2 ${error.message}`))
  stream.on("end", () => report.http2++)
  stream.on("close", over)
  stream.resume()
  stream.end()
}

let owed = 0
let sent = 0
let lastMs = performance.now()
const timer = setInterval(() => {
  const now = performance.now()
  owed += ((now - lastMs) / 1000) * Number(rate)
  lastMs = now
  for (; owed >= 1; owed--) {
    http1(++sent % FRESH_EVERY === 0)
    http2()
  }
}, TICK_MS)
console.log("begun")
process.stdin.resume()
process.stdin.on("end", () => {
  clearInterval(timer)
  const wait = setInterval(() => {
    if (running.size > 0) return
    clearInterval(wait)
    console.log(JSON.stringify(report))
    process.exit(0)
  }, 50)
})
