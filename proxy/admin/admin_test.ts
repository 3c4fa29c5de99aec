// The admin port over loopback, with the runtime's own client.
import { afterAll, expect, test } from "bun:test"
import { networkInterfaces } from "node:os"
import { createLogger } from "../log.ts"
import { loop } from "../net/mod.ts"
import { serveAdmin } from "./mod.ts"

let reasons: string[] = []
let shutdowns = 0
const log = createLogger({ sink() {} })
const serve = (address: string) =>
  serveAdmin({
    address,
    port: 0,
    timers: loop.timers,
    log,
    unreadyReasons: () => reasons,
    metrics: () => "up 1\n",
    metricsContentType: "text/plain; version=0.0.4",
    identity: () => '{"identity":"web"}\n',
    discovery: () => '{"connected":true}',
    policy: () => '{"version":"1"}',
    refusals: id => JSON.stringify({ id }),
    shutdown: () => shutdowns++,
  })
const server = serve("127.0.0.1")
const url = (path: string) => `http://127.0.0.1:${server.port}${path}`

afterAll(() => server.close())

test("live answers, ready says why it is not", async () => {
  expect((await fetch(url("/live"))).status).toBe(200)
  expect((await fetch(url("/ready"))).status).toBe(200)
  reasons = ["no answer yet from destination"]
  const response = await fetch(url("/ready"))
  expect(response.status).toBe(503)
  expect(await response.text()).toContain("no answer yet from destination")
  reasons = []
})

test("metrics come with their content type, also to a scraper that adds a query", async () => {
  const response = await fetch(url("/metrics?x=1"))
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4")
  expect(await response.text()).toBe("up 1\n")
})

test("refusals are asked for by id, and all of them from within the pod", async () => {
  expect(await (await fetch(url("/refusals?id=abc%64"))).json()).toEqual({ id: "abcd" })
  expect(await (await fetch(url("/refusals"))).json()).toEqual({ id: "" })
  const outside = Object.values(networkInterfaces())
    .flat()
    .find(one => one?.family === "IPv4" && !one.internal)?.address
  if (outside === undefined) return
  const everywhere = serve("0.0.0.0")
  const from = (path: string) => fetch(`http://${outside}:${everywhere.port}${path}`)
  expect((await from("/refusals")).status).toBe(403)
  expect((await from("/refusals?id=abcd")).status).toBe(200)
  everywhere.close()
})

test("shutdown is for POST only", async () => {
  expect((await fetch(url("/shutdown"))).status).toBe(405)
  expect(shutdowns).toBe(0)
  expect((await fetch(url("/shutdown"), { method: "POST" })).status).toBe(200)
  expect(shutdowns).toBe(1)
})

test("the log level is read and set", async () => {
  expect(await (await fetch(url("/log-level"))).text()).toBe("info\n")
  expect((await fetch(url("/log-level"), { method: "PUT", body: "debug" })).status).toBe(200)
  expect(log.level).toBe("debug")
  expect((await fetch(url("/log-level"), { method: "PUT", body: "loud" })).status).toBe(400)
})

test("an unknown path is 404 and says what there is", async () => {
  const response = await fetch(url("/nothing"))
  expect(response.status).toBe(404)
  expect(await response.text()).toContain("/metrics")
})

test.each([
  ["what is no HTTP", "hello there\r\n\r\n"],
  ["a chunked body", "PUT /log-level HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"],
  ["a head without end", `GET /${"x".repeat(20_000)}`],
])("%s gets 400 and the end of the connection", async (_what, bytes) => {
  const closed = Promise.withResolvers<string>()
  let text = ""
  await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port,
    socket: {
      open: socket => void socket.write(bytes),
      data(_socket, chunk) {
        text += chunk.toString()
      },
      close: () => closed.resolve(text),
    },
  })
  expect(await closed.promise).toStartWith("HTTP/1.1 400 ")
})

test("identity is shown as JSON", async () => {
  const answer = await fetch(url("/identity"))
  expect(answer.headers.get("content-type")).toBe("application/json")
  expect(await answer.json()).toEqual({ identity: "web" })
})
