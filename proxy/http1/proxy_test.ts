// The HTTP/1 engine as conversations over loopback sockets: what goes in on one side and comes out on the other.
import { afterEach, expect, test } from "bun:test"
import type { EndpointSource } from "../balance/mod.ts"
import { type RawPeer, type RawServer, rawClient, rawServer } from "../http/raw_peer.ts"
import {
  type Http1Loopback,
  type Http1LoopbackOptions,
  inOrder,
  onPort,
  startHttp1Loopback,
} from "./loopback.ts"

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

interface Scene {
  readonly client: RawPeer
  readonly server: RawServer
  readonly proxy: Http1Loopback
}

async function scene(
  options: Http1LoopbackOptions & { readonly source?: (port: number) => EndpointSource } = {},
): Promise<Scene> {
  const server = await rawServer()
  const proxy = startHttp1Loopback((options.source ?? onPort)(server.port), options)
  const client = await rawClient(proxy.port)
  cleanups.push(
    () => server.close(),
    () => proxy.close(),
    () => client.socket.destroy(),
  )
  return { client, server, proxy }
}

function metric(proxy: Http1Loopback, name: string): number {
  let sum = 0
  for (const line of proxy.telemetry.text().split("\n")) {
    if (line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      sum += Number(line.slice(line.lastIndexOf(" ")))
  }
  return sum
}

const GET = "GET /a?b HTTP/1.1\r\nHost: web\r\nX-Mixed-CASE: Yes\r\n\r\n"
const OK = "HTTP/1.1 200 OK\r\nx-Odd-Case: 1\r\nContent-Length: 2\r\n\r\nhi"

test("request and response pass byte for byte, and both connections are used again", async () => {
  const { client, server, proxy } = await scene()
  for (let i = 0; i < 3; i++) {
    client.send(GET)
    const upstream = await server.peer(0)
    expect(await upstream.take("\r\n\r\n")).toBe(GET)
    upstream.send(OK)
    expect(await client.take("hi")).toBe(OK)
  }
  expect(server.peers.length).toBe(1)
  expect(metric(proxy, "response_total")).toBe(3)
  expect(proxy.admission.inFlight).toBe(0)
})

test("pipelined requests are answered in order, the second sent only after the first answer", async () => {
  const { client, server } = await scene()
  const second = GET.replace("/a?b", "/second")
  client.send(GET + second)
  const upstream = await server.peer(0)
  expect(await upstream.take("\r\n\r\n")).toBe(GET)
  await Bun.sleep(20)
  expect(upstream.received).toBe("")
  upstream.send(OK)
  expect(await client.take("hi")).toBe(OK)
  expect(await upstream.take("\r\n\r\n")).toBe(second)
  upstream.send(OK.replace("hi", "ho"))
  expect(await client.take("ho")).toContain("ho")
})

test("heads and bodies cut into single bytes pass unchanged", async () => {
  const { client, server } = await scene()
  const request =
    "POST /p HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\nT: 1\r\n\r\n"
  for (const character of request) {
    client.send(character)
    await Bun.sleep(0)
  }
  const upstream = await server.peer(0)
  expect(await upstream.take("T: 1\r\n\r\n")).toBe(request)
  const response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 2\r\n\r\n"
  for (const character of response) {
    upstream.send(character)
    await Bun.sleep(0)
  }
  expect(await client.take("Sum: 2\r\n\r\n")).toBe(response)
})

test("a HEAD response, 204 and 304 have no body, whatever their length says", async () => {
  const { client, server } = await scene()
  const heads = [
    ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\n"],
    ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"],
  ] as const
  for (const [method, head] of heads) {
    client.send(GET.replace("GET", method))
    const upstream = await server.peer(0)
    await upstream.take("\r\n\r\n")
    upstream.send(head)
    expect(await client.take("\r\n\r\n")).toBe(head)
  }
  expect(server.peers.length).toBe(1)
})

test("a response until close ends with the client's connection closed", async () => {
  const { client, server, proxy } = await scene()
  client.send("GET / HTTP/1.0\r\n\r\n")
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  upstream.send("HTTP/1.0 200 OK\r\nServer: SimpleHTTP\r\n\r\nall of ")
  await client.take("all of ")
  upstream.send("it")
  upstream.socket.end()
  await client.end()
  expect(client.received).toBe("it")
  expect(metric(proxy, "response_total")).toBe(1)
})

test("a FIN behind a request is passed on, and the answer still comes", async () => {
  const { client, server } = await scene()
  client.send(GET)
  client.socket.end()
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  await upstream.end()
  upstream.send(OK)
  await client.end()
  expect(client.received).toBe(OK)
})

test("an answer before the body's end goes out at once, and the body goes on", async () => {
  const { client, server } = await scene()
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
  const upstream = await server.peer(0)
  await upstream.take("hello")
  upstream.send(OK)
  expect(await client.take("hi")).toBe(OK)
  client.send("world")
  expect(await upstream.take("world")).toBe("world")
  client.send(GET)
  expect(await upstream.take("\r\n\r\n")).toBe(GET)
})

test("an early answer that closes ends the client's connection without losing the answer", async () => {
  const { client, server } = await scene()
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n${"x".repeat(1000)}`)
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  const answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
  upstream.send(answer)
  upstream.socket.end()
  client.send("x".repeat(1000))
  await client.end()
  expect(client.received).toBe(answer)
})

test("a GET with a body passes, and neither connection is used again", async () => {
  const { client, server } = await scene()
  client.send("GET /_search HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}")
  const upstream = await server.peer(0)
  expect(await upstream.take("{}")).toBe(
    "GET /_search HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
  )
  upstream.send(OK)
  await client.end()
  expect(client.received).toBe(
    "HTTP/1.1 200 OK\r\nx-Odd-Case: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
  )
  await upstream.end()
})

test("WebSocket: after 101 both ways are open, with the bytes that came early on either side", async () => {
  const { client, server, proxy } = await scene()
  const request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
  client.send(`${request}early`)
  const upstream = await server.peer(0)
  expect(await upstream.take("\r\n\r\n")).toBe(request)
  const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
  upstream.send(`${answer}hello`)
  expect(await client.take("hello")).toBe(`${answer}hello`)
  expect(await upstream.take("early")).toBe("early")
  client.send("\x81\x00")
  expect(await upstream.take("\x81\x00")).toBe("\x81\x00")
  upstream.socket.end()
  await client.end()
  expect(metric(proxy, "response_total")).toBe(1)
})

test("101 to a request that asked for no upgrade is refused", async () => {
  const { client, server } = await scene()
  client.send(GET)
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  upstream.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
  expect(await client.take("\r\n\r\n")).toStartWith("HTTP/1.1 502 ")
})

test("draining inbound, the next response says Connection: close, and the connection ends", async () => {
  const { client, server, proxy } = await scene({ direction: 0 })
  client.send(GET)
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  proxy.connections[0]?.drain()
  upstream.send("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi")
  await client.end()
  expect(client.received).toBe("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
})

test("draining outbound changes nothing", async () => {
  const { client, server, proxy } = await scene({ direction: 1 })
  proxy.connections[0]?.drain()
  for (let i = 0; i < 2; i++) {
    client.send(GET)
    const upstream = await server.peer(0)
    await upstream.take("\r\n\r\n")
    upstream.send(OK)
    expect(await client.take("hi")).toBe(OK)
  }
})

test("conduit-proxy-error of an application is stripped; that of an endpoint with a proxy passes", async () => {
  const answer = "HTTP/1.1 200 OK\r\nConduit-Proxy-Error: forged\r\nContent-Length: 2\r\n\r\nhi"
  const stripped = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
  for (const [direction, meshed, expected] of [
    [0, false, stripped],
    [1, false, stripped],
    [1, true, answer],
  ] as const) {
    const { client, server } = await scene({ direction, source: port => inOrder([port], meshed) })
    client.send(GET)
    const upstream = await server.peer(0)
    await upstream.take("\r\n\r\n")
    upstream.send(answer)
    expect(await client.take("hi")).toBe(expected)
  }
  const { client, server } = await scene({ direction: 1 })
  client.send("GET / HTTP/1.1\r\nConduit-Proxy-Error: forged\r\nHost: a\r\n\r\n")
  expect(await (await server.peer(0)).take("\r\n\r\n")).toBe("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
})

// What people found broken at the edges of other meshes' HTTP/1: each passes as it was sent.

test("HTTP/1.0 is served, kept alive where both sides say so, and never answered with 426", async () => {
  const { client, server } = await scene()
  const request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
  const answer = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"
  for (let i = 0; i < 2; i++) {
    client.send(request)
    const upstream = await server.peer(0)
    expect(await upstream.take("\r\n\r\n")).toBe(request)
    upstream.send(answer)
    expect(await client.take("hi")).toBe(answer)
  }
  const other = await rawClient((await scene({ source: () => onPort(server.port) })).proxy.port)
  cleanups.push(() => other.socket.destroy())
  other.send("GET / HTTP/1.0\r\n\r\n")
  const upstream = await server.peer(1)
  await upstream.take("\r\n\r\n")
  upstream.send(OK)
  await other.end()
  expect(other.received).toBe(OK)
})

for (const version of ["1.0", "1.1"] as const) {
  test(`CONNECT over HTTP/${version} becomes a tunnel, its target untouched`, async () => {
    const { client, server } = await scene()
    const request = `CONNECT Db.Example:5432 HTTP/${version}\r\nHost: Db.Example:5432\r\n\r\n`
    client.send(request)
    const upstream = await server.peer(0)
    expect(await upstream.take("\r\n\r\n")).toBe(request)
    upstream.send(`HTTP/${version} 200 Connection established\r\n\r\n`)
    await client.take("\r\n\r\n")
    client.send("\x00\x01")
    expect(await upstream.take("\x00\x01")).toBe("\x00\x01")
    upstream.send("\x02")
    expect(await client.take("\x02")).toBe("\x02")
  })
}

test("a refused CONNECT does not turn the tunnel's bytes into requests", async () => {
  const { client, server } = await scene()
  client.send(`CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n${GET}`)
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
  await client.end()
  expect(client.received).toContain("Connection: close")
  expect(upstream.received).toBe("")
})

test("100-continue is the server's to answer", async () => {
  const { client, server } = await scene()
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
  const upstream = await server.peer(0)
  expect(await upstream.take("\r\n\r\n")).toContain("Expect: 100-continue")
  await Bun.sleep(30)
  expect(client.received).toBe("")
  upstream.send("HTTP/1.1 100 Continue\r\nX: y\r\n\r\n")
  expect(await client.take("\r\n\r\n")).toBe("HTTP/1.1 100 Continue\r\nX: y\r\n\r\n")
  client.send("body")
  await upstream.take("body")
  upstream.send(`HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${OK}`)
  expect(await client.take("hi")).toBe(`HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${OK}`)
})

test("interim responses are kept from clients of HTTP/1.0", async () => {
  const { client, server } = await scene()
  client.send("GET / HTTP/1.0\r\n\r\n")
  const upstream = await server.peer(0)
  await upstream.take("\r\n\r\n")
  upstream.send(`HTTP/1.1 103 Early Hints\r\n\r\n${OK}`)
  expect(await client.take("hi")).toBe(OK)
})

test("more than 100 fields and heads of 60 KiB pass both ways", async () => {
  const { client, server } = await scene()
  const fields = "X-Field: some value\r\n".repeat(400)
  const large = `Cookie: ${"c".repeat(60 * 1024)}\r\n`
  const request = `GET / HTTP/1.1\r\nHost: a\r\n${fields}${large}\r\n`
  client.send(request)
  const upstream = await server.peer(0)
  expect(await upstream.take("\r\n\r\n")).toBe(request)
  const answer = `HTTP/1.1 200 OK\r\n${fields}Set-${large}Content-Length: 2\r\n\r\nhi`
  upstream.send(answer)
  expect(await client.take("\r\n\r\nhi")).toBe(answer)
})

test("an unknown Upgrade passes, and declining it is the server's choice", async () => {
  const { client, server } = await scene()
  const request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo/2, TLS/1.0\r\n\r\n"
  client.send(request)
  const upstream = await server.peer(0)
  expect(await upstream.take("\r\n\r\n")).toBe(request)
  upstream.send(OK)
  expect(await client.take("hi")).toBe(OK)
  client.send(GET)
  expect(await upstream.take("\r\n\r\n")).toBe(GET)
})

test("Connection: close of either side is passed on and honoured", async () => {
  const fromClient = await scene()
  const request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
  fromClient.client.send(request)
  const first = await fromClient.server.peer(0)
  expect(await first.take("\r\n\r\n")).toBe(request)
  first.send(OK)
  await fromClient.client.end()
  expect(fromClient.client.received).toBe(OK)
  await first.end()

  const fromServer = await scene()
  fromServer.client.send(GET)
  const second = await fromServer.server.peer(0)
  await second.take("\r\n\r\n")
  const answer = "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi"
  second.send(answer)
  await fromServer.client.end()
  expect(fromServer.client.received).toBe(answer)
})
