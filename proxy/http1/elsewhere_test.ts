// A meshed endpoint whose proxy says that its application was not reached: the HTTP/1 engine sends the request
// elsewhere, byte for byte, as long as it has all of it.
import { afterEach, expect, test } from "bun:test"
import { closedPort, type RawPeer, type RawServer, rawClient, rawServer } from "../http/raw_peer.ts"
import { REPLAY_BODY_BYTES } from "../wire/mod.ts"
import { type Http1Loopback, type Http1LoopbackOptions, inOrder, startHttp1Loopback } from "./loopback.ts"

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

interface Scene {
  readonly client: RawPeer
  readonly servers: readonly RawServer[]
  readonly proxy: Http1Loopback
}

async function scene(
  count: number,
  options: Http1LoopbackOptions & { readonly unmeshed?: boolean } = {},
): Promise<Scene> {
  const servers = await Promise.all(Array.from({ length: count }, rawServer))
  const source = inOrder(
    servers.map(server => server.port),
    options.unmeshed !== true,
  )
  const proxy = startHttp1Loopback(source, options)
  const client = await rawClient(proxy.port)
  cleanups.push(
    ...servers.map(server => () => server.close()),
    () => proxy.close(),
    () => client.socket.destroy(),
  )
  return { client, servers, proxy }
}

function metric(proxy: Http1Loopback, name: string): number {
  let sum = 0
  for (const line of proxy.telemetry.text().split("\n")) {
    if (line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      sum += Number(line.slice(line.lastIndexOf(" ")))
  }
  return sum
}

function unreached(more = "", reason = "connect-failed"): string {
  return `HTTP/1.1 502 Bad Gateway\r\nconduit-proxy-error: ${reason}; id=0a1b2c3d\r\n${more}content-length: 5\r\n\r\nnone\n`
}
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

/** Connection number `connection` of server number `index`. */
const peerOf = ({ servers }: Scene, index: number, connection = 0): Promise<RawPeer> =>
  // Every test asks for servers that its scene has.
  servers[index]!.peer(connection)

for (const [what, request] of [
  ["a GET", "GET / HTTP/1.1\r\nHost: web\r\n\r\n"],
  ["a POST with its length", "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody"],
  [
    "a chunked POST with trailers",
    "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nbod\r\n1\r\ny\r\n0\r\nX-Sum: 1\r\n\r\n",
  ],
] as const) {
  test(`${what} that did not reach the application is sent elsewhere as it was`, async () => {
    const stage = await scene(2)
    stage.client.send(request)
    const first = await peerOf(stage, 0)
    await first.until(() => first.received.length >= request.length, "the request")
    first.send(unreached())
    const second = await peerOf(stage, 1)
    await second.until(() => second.received.length >= request.length, "the request again")
    expect(second.received).toBe(request)
    second.send(OK)
    expect(await stage.client.take("hi")).toBe(OK)
    // The refused answer was complete, so its connection stays.
    expect(first.closed).toBe("")
    // One request of the client's, two sent.
    expect(metric(stage.proxy, "request_total")).toBe(1)
    expect(metric(stage.proxy, "route_actual_request_total")).toBe(2)
    expect(stage.proxy.lines.some(line => line.includes("by its proxy: connect-failed; id=0a1b2c3d"))).toBe(
      true,
    )
    expect(stage.proxy.admission.replay.used).toBe(0)
  })
}

test("a body that comes in pieces is sent again in full, and its rest goes on to the new endpoint", async () => {
  const stage = await scene(2)
  const { client, proxy } = stage
  client.send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
  const first = await peerOf(stage, 0)
  await first.take("ab\r\n")
  client.send("3\r\ncde\r\n")
  await first.take("cde\r\n")
  client.send("1\r\nf")
  await first.take("f")
  expect(proxy.admission.replay.used).toBeGreaterThan(0)
  first.send(unreached("connection: close\r\n"))
  const second = await peerOf(stage, 1)
  await second.take("2\r\nab\r\n3\r\ncde\r\n1\r\nf")
  client.send("\r\n1\r\ng\r\n0\r\n\r\n")
  expect(await second.take("0\r\n\r\n")).toBe("\r\n1\r\ng\r\n0\r\n\r\n")
  await first.end()
  second.send(OK)
  expect(await client.take("hi")).toBe(OK)
  expect(proxy.admission.replay.used).toBe(0)
})

test("each endpoint is asked once; when all refuse the answer is the proxy's own 502", async () => {
  const stage = await scene(3)
  const { client, proxy, servers } = stage
  client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody")
  for (let n = 0; n < 3; n++) {
    const peer = await peerOf(stage, n)
    await peer.take("body")
    peer.send(unreached())
  }
  const answer = await client.take("\r\n\r\n")
  expect(answer).toStartWith("HTTP/1.1 502 Bad Gateway\r\nconduit-proxy-error: connect-failed; id=")
  expect(answer).not.toContain("0a1b2c3d")
  expect(servers.map(server => server.peers.length)).toEqual([1, 1, 1])
  expect(proxy.admission.inFlight).toBe(0)
})

test("an endpoint that refuses by its proxy and one that refuses itself are both passed over", async () => {
  const refusing = await rawServer()
  const answering = await rawServer()
  const source = inOrder([refusing.port, await closedPort(), answering.port], true)
  const proxy = startHttp1Loopback(source)
  const client = await rawClient(proxy.port)
  cleanups.push(
    () => refusing.close(),
    () => answering.close(),
    () => proxy.close(),
    () => client.socket.destroy(),
  )
  client.send("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody")
  const first = await refusing.peer(0)
  await first.take("body")
  first.send(unreached())
  const last = await answering.peer(0)
  await last.take("body")
  last.send(OK)
  expect(await client.take("hi")).toBe(OK)
})

for (const early of [true, false]) {
  const when = early ? "comes with its head" : "comes later"
  test(`a body over ${REPLAY_BODY_BYTES} bytes that ${when} is not kept, and the 502 is passed on`, async () => {
    const stage = await scene(2)
    const { client, proxy, servers } = stage
    const body = "x".repeat(REPLAY_BODY_BYTES + 1)
    const head = `POST / HTTP/1.1\r\nHost: web\r\nContent-Length: ${body.length}\r\n\r\n`
    const first = peerOf(stage, 0)
    if (early) client.send(head + body)
    else {
      client.send(head)
      await (await first).take("\r\n\r\n")
      client.send(body)
    }
    const peer = await first
    await peer.until(
      () => peer.received.endsWith(body.slice(-1)) && peer.received.length >= body.length,
      "it",
    )
    peer.send(unreached())
    expect(await client.take("none\n")).toBe(unreached())
    expect(servers[1]?.peers.length).toBe(0)
    expect(proxy.admission.replay.used).toBe(0)
  })
}

test("without room for what all requests keep, the 502 is passed on", async () => {
  const stage = await scene(2, { replayBytes: 3 })
  stage.client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody")
  const first = await peerOf(stage, 0)
  await first.take("body")
  first.send(unreached())
  expect(await stage.client.take("none\n")).toBe(unreached())
})

test("other reasons are passed on: something may have been processed", async () => {
  const stage = await scene(2)
  for (const reason of ["upstream-gone", "connect-failed-not", "overload"]) {
    stage.client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    const first = await peerOf(stage, 0)
    await first.take("\r\n\r\n")
    first.send(unreached("", reason))
    expect(await stage.client.take("none\n")).toBe(unreached("", reason))
  }
  expect(stage.servers[1]?.peers.length).toBe(0)
})

test("an endpoint without a proxy is not believed, and its field is stripped", async () => {
  const stage = await scene(2, { unmeshed: true })
  stage.client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
  const first = await peerOf(stage, 0)
  await first.take("\r\n\r\n")
  first.send(unreached())
  expect(await stage.client.take("none\n")).toBe(
    unreached().replace("conduit-proxy-error: connect-failed; id=0a1b2c3d\r\n", ""),
  )
  expect(stage.servers[1]?.peers.length).toBe(0)
})

test("after an interim response nothing is sent again", async () => {
  const stage = await scene(2)
  stage.client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody")
  const first = await peerOf(stage, 0)
  await first.take("body")
  first.send(`HTTP/1.1 103 Early Hints\r\n\r\n${unreached()}`)
  expect(await stage.client.take("none\n")).toBe(`HTTP/1.1 103 Early Hints\r\n\r\n${unreached()}`)
  expect(stage.servers[1]?.peers.length).toBe(0)
})

test("keep-alive race: a PUT whose body came late is sent once more in full", async () => {
  const stage = await scene(1)
  const { client } = stage
  client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
  const first = await peerOf(stage, 0)
  await first.take("\r\n\r\n")
  first.send(OK)
  await client.take("hi")
  client.send("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\n")
  await first.take("\r\n\r\n")
  client.send("body")
  await first.take("body")
  first.socket.destroy()
  const second = await peerOf(stage, 0, 1)
  expect(await second.take("body")).toBe("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody")
  second.send(OK)
  expect(await client.take("hi")).toBe(OK)
})

test("inbound, while the pod is ending, the 502 says so", async () => {
  const proxy = startHttp1Loopback(inOrder([await closedPort()]), { direction: 0 })
  const client = await rawClient(proxy.port)
  cleanups.push(
    () => proxy.close(),
    () => client.socket.destroy(),
  )
  proxy.env.draining = true
  client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
  const answer = await client.take(")\n")
  expect(answer).toContain("conduit-proxy-error: connect-failed; id=")
  expect(answer).toContain("the pod is ending")
})
