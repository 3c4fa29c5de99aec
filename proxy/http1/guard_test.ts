// HTTP/1 under a guard: what a denied request's body costs, and what runs when the rules change.
import { expect, test } from "bun:test"
import type { GuardAnswer, HeldDecision, RequestGuard, RequestView } from "../http/mod.ts"
import { REFUSAL_DENIED, REFUSAL_LIMITED } from "../http/mod.ts"
import { rawClient, rawServer } from "../http/raw_peer.ts"
import { onPort, startHttp1Loopback } from "./loopback.ts"
import { DISCARD_BODY_MAX_BYTES } from "./proxy.ts"

class PathGuard implements RequestGuard {
  readonly clientId = "web.shop"
  readonly denial = REFUSAL_DENIED
  readonly refused = null
  answer: GuardAnswer | null = null
  refusal = REFUSAL_DENIED
  held: HeldDecision | null = null
  denied: string

  constructor(denied: string) {
    this.denied = denied
  }

  refuse(request: RequestView) {
    return this.stillAllows(request) ? null : this.refusal
  }

  stillAllows({ path }: RequestView): boolean {
    return path !== this.denied
  }

  refusedFields() {
    return null
  }
}

async function fixture(denied: string) {
  const guard = new PathGuard(denied)
  const server = await rawServer()
  const proxy = startHttp1Loopback(onPort(server.port), { direction: 0, guard })
  const client = await rawClient(proxy.port)
  return {
    guard,
    server,
    proxy,
    client,
    close() {
      client.socket.destroy()
      proxy.close()
      server.close()
    },
  }
}

const POST = "POST /no HTTP/1.1\r\nHost: a\r\n"
const NEXT = "GET /yes HTTP/1.1\r\nHost: a\r\n\r\n"

test("the body of a denied request is dropped up to the limit, and the connection serves the next request", async () => {
  const { client, server, close } = await fixture("/no")
  client.send(`${POST}Content-Length: ${DISCARD_BODY_MAX_BYTES}\r\n\r\n`)
  expect(await client.take("\r\n\r\n")).toContain("403 Forbidden")
  client.send(`${"x".repeat(DISCARD_BODY_MAX_BYTES)}${NEXT}`)
  const upstream = await server.peer(0)
  expect(await upstream.take("\r\n\r\n")).toStartWith("GET /yes")
  close()
})

test("a longer one costs the connection at once, and it is said", async () => {
  const { client, close } = await fixture("/no")
  client.send(`${POST}Content-Length: ${DISCARD_BODY_MAX_BYTES + 1}\r\n\r\n`)
  expect((await client.take("\r\n\r\n")).toLowerCase()).toContain("connection: close")
  await client.until(() => client.ended || client.closed !== "", "the end")
  close()
})

test("one of unknown length costs it once it is longer", async () => {
  const { client, close } = await fixture("/no")
  const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`
  client.send(`${POST}Transfer-Encoding: chunked\r\n\r\n`)
  expect((await client.take("\r\n\r\n")).toLowerCase()).not.toContain("connection: close")
  for (let sent = 0; sent <= DISCARD_BODY_MAX_BYTES; sent += 0x10000) client.send(chunk)
  await client.until(() => client.ended || client.closed !== "", "the end")
  close()
})

test("a client that waits for leave to send a body is not waited for", async () => {
  const { client, close } = await fixture("/no")
  client.send(`${POST}Content-Length: 10\r\nExpect: 100-continue\r\n\r\n`)
  expect((await client.take("\r\n\r\n")).toLowerCase()).toContain("connection: close")
  close()
})

test("a tunnel goes on under changed rules that let its request in, and is cut by those that do not", async () => {
  const { guard, client, server, proxy, close } = await fixture("/no")
  client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  upstream.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
  await client.take("\r\n\r\n")
  const [connection] = proxy.connections

  guard.denied = "/other"
  connection?.reexamine()
  client.send("still")
  expect(await upstream.take("still")).toBe("still")

  guard.denied = "/ws"
  connection?.reexamine()
  await client.until(() => client.closed !== "", "the end of the client's connection")
  await upstream.until(() => upstream.ended || upstream.closed !== "", "the end of the server's connection")
  expect(client.closed).toBe("reset")
  close()
})

test("a request that waits for its answer is denied by changed rules, one that is answered is cut", async () => {
  const { guard, client, server, proxy, close } = await fixture("/no")
  client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  guard.denied = "/slow"
  proxy.connections[0]?.reexamine()
  expect(await client.take("\r\n\r\n")).toContain("403 Forbidden")

  const second = await rawClient(proxy.port)
  second.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
  const answering = await server.peer(1)
  await answering.take("\r\n\r\n")
  answering.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
  await second.take("12345")
  guard.denied = "/long"
  proxy.connections[1]?.reexamine()
  await second.until(() => second.closed !== "", "the end")
  second.socket.destroy()
  close()
})

test("a request over a limit is told so in its fields, and the connection serves the next request", async () => {
  const { guard, client, server, proxy, close } = await fixture("/no")
  guard.refusal = REFUSAL_LIMITED
  guard.answer = { fields: [["retry-after", "7"]], detail: "the limit of the test" }
  client.send(`GET /no HTTP/1.1\r\nHost: a\r\n\r\n${NEXT}`)
  const answer = await client.take("\r\n\r\n")
  expect(answer).toStartWith("HTTP/1.1 429 Too Many Requests\r\nconduit-proxy-error: limited; id=")
  expect(answer).toContain("\r\nretry-after: 7\r\n")
  expect(await (await server.peer(0)).take("\r\n\r\n")).toStartWith("GET /yes")
  expect(proxy.telemetry.refusals.find("")[0]).toMatchObject({ status: 429, detail: "the limit of the test" })
  close()
})

/** Holds every request until the test decides. */
function holding(guard: PathGuard) {
  let decide: Parameters<HeldDecision["whenDecided"]>[0] = () => {}
  let forgotten = 0
  guard.held = {
    whenDecided: decided => {
      decide = decided
    },
    forget: () => forgotten++,
  }
  return { decide: (...answer: Parameters<typeof decide>) => decide(...answer), forgotten: () => forgotten }
}

test("a request that is held is sent once it is let through, with the body that came meanwhile", async () => {
  const { guard, client, server, proxy, close } = await fixture("/no")
  const held = holding(guard)
  client.send("POST /yes HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nfir")
  await client.until(() => proxy.admission.inFlight === 1, "the request")
  client.send("st!")
  expect(server.peers).toHaveLength(0)
  held.decide(null, null)
  const upstream = await server.peer(0)
  expect(await upstream.take("first!")).toEndWith("first!")
  expect(held.forgotten()).toBe(0)
  close()
})

test("a request that is held and then refused says why, and the connection serves the next one", async () => {
  const { guard, client, server, proxy, close } = await fixture("/no")
  const held = holding(guard)
  client.send("GET /yes HTTP/1.1\r\nHost: a\r\n\r\n")
  await client.until(() => proxy.admission.inFlight === 1, "the request")
  held.decide(REFUSAL_DENIED, {
    fields: [["x-why", "closed"]],
    detail: "plugin hours: closed",
    told: "closed",
  })
  const answer = await client.take("closed (")
  expect(answer).toStartWith("HTTP/1.1 403 Forbidden")
  expect(answer).toContain("x-why: closed\r\n")
  guard.held = null
  client.send(NEXT)
  expect(await (await server.peer(0)).take("\r\n\r\n")).toStartWith("GET /yes")
  close()
})

test("who waits for a decision is forgotten when the client goes, and when changed rules deny", async () => {
  const { guard, client, server, proxy, close } = await fixture("/no")
  const held = holding(guard)
  client.send("GET /yes HTTP/1.1\r\nHost: a\r\n\r\n")
  await client.until(() => proxy.admission.inFlight === 1, "the request")
  guard.denied = "/yes"
  proxy.connections[0]?.reexamine()
  expect(await client.take("\r\n\r\n")).toContain("403 Forbidden")
  expect(held.forgotten()).toBe(1)
  guard.denied = "/no"
  client.send("GET /yes HTTP/1.1\r\nHost: a\r\n\r\n")
  await client.until(() => proxy.admission.inFlight === 1, "the next request")
  client.socket.resetAndDestroy()
  await client.until(() => held.forgotten() === 2, "the end")
  expect(proxy.admission.inFlight).toBe(0)
  expect(server.peers).toHaveLength(0)
  close()
})
