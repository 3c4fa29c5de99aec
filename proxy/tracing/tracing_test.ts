// A request of a trace through both sides of the mesh, in HTTP/1 and HTTP/2: what the application receives, and the
// spans that come of it.
import { expect, test } from "bun:test"
import { connect, createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2"
import { onPort, startHttp1Loopback } from "../http1/loopback.ts"
import { startLoopbackProxy } from "../http2/loopback.ts"
import type { Span } from "./span.ts"
import { Tracing } from "./tracing.ts"

const TRACE = "0af7651916cd43dd8448eb211c80319c"
const CALLER = "b7ad6b7169203331"

interface Scene {
  /** Sends a request through both proxies; gives the headers that the application saw. */
  send(headers: Record<string, string>, path?: string): Promise<Record<string, string>>
  /** Spans so far, the caller's side first. */
  spans(): Span[]
  /** Names that a trace made here is given. */
  readonly names: string[]
}

/** Both proxies of a version of HTTP around an application that answers with the headers it saw. */
async function scene(version: 1 | 2, sampling = 0, random = 0.5): Promise<Scene & AsyncDisposable> {
  const spans: Span[] = []
  const names: string[] = []
  const tracing = new Tracing({
    sampling,
    random: () => random,
    export: span => spans.push(span),
    newId(bytes) {
      const id = (names.length + 1).toString(16).padStart(bytes * 2, "0")
      names.push(id)
      return id
    },
  })
  const app =
    version === 1
      ? Bun.serve({
          port: 0,
          hostname: "127.0.0.1",
          fetch: request => Response.json(request.headers.toJSON()),
        })
      : await http2Echo()
  const port = app.port as number
  const start = (to: number, direction: 0 | 1) =>
    version === 1
      ? startHttp1Loopback(onPort(to), { direction, tracer: tracing })
      : startLoopbackProxy(onPort(to), { direction, tracer: tracing })
  const inbound = start(port, 0)
  const outbound = start(inbound.port, 1)
  return {
    names,
    spans: () => [...spans].sort((a, b) => b.kind - a.kind),
    send: (headers, path = "/vote?secret=1") =>
      version === 1 ? fetch1(outbound.port, path, headers) : fetch2(outbound.port, path, headers),
    async [Symbol.asyncDispose]() {
      outbound.close()
      inbound.close()
      await app.stop(true)
    },
  }
}

async function fetch1(port: number, path: string, headers: Record<string, string>) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
  return (await response.json()) as Record<string, string>
}

async function fetch2(port: number, path: string, headers: Record<string, string>) {
  const session = connect(`http://127.0.0.1:${port}`)
  try {
    const stream = session.request({ ":path": path, ...headers })
    let body = ""
    for await (const chunk of stream) body += chunk
    return JSON.parse(body) as Record<string, string>
  } finally {
    session.close()
  }
}

async function http2Echo(): Promise<{ port: number; stop(now: boolean): void }> {
  const server = createServer()
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.respond({ ":status": 200 })
    stream.end(JSON.stringify(headers))
  })
  const listening = Promise.withResolvers<void>()
  server.listen(0, "127.0.0.1", () => listening.resolve())
  await listening.promise
  return { port: (server.address() as { port: number }).port, stop: () => void server.close() }
}

function attributes(span: Span | undefined): Record<string, unknown> {
  return Object.fromEntries(span?.attributes ?? [])
}

for (const version of [1, 2] as const) {
  test(`HTTP/${version}: a trace goes from the caller over both proxies to the application`, async () => {
    await using mesh = await scene(version)
    const seen = await mesh.send({ traceparent: `00-${TRACE}-${CALLER}-01`, tracestate: "a=b", "x-own": "1" })
    const [client, server] = mesh.spans()
    expect(client).toMatchObject({
      kind: 3,
      traceId: TRACE,
      parentId: CALLER,
      name: "GET",
      traceState: "a=b",
    })
    expect(server).toMatchObject({ kind: 2, traceId: TRACE, parentId: client?.spanId ?? "none" })
    expect(seen).toMatchObject({
      traceparent: `00-${TRACE}-${server?.spanId}-01`,
      tracestate: "a=b",
      "x-own": "1",
    })
    expect(server?.startMs).toBeGreaterThanOrEqual(client?.startMs ?? Number.NaN)
    expect(attributes(client)).toMatchObject({
      "http.request.method": "GET",
      "url.path": "/vote",
      "http.response.status_code": 200,
      "network.protocol.version": version === 1 ? "1.1" : "2",
      "network.peer.address": "127.0.0.1",
      "conduit.direction": "outbound",
    })
    expect(JSON.stringify(mesh.spans())).not.toContain("secret")
  })

  test(`HTTP/${version}: B3 in both forms is continued`, async () => {
    await using mesh = await scene(version)
    const single = await mesh.send({ b3: `${TRACE}-${CALLER}-1` })
    expect(single.b3).toMatch(new RegExp(`^${TRACE}-${mesh.names[1]}-1-${mesh.names[0]}$`))
    const several = await mesh.send({
      "x-b3-traceid": TRACE,
      "x-b3-spanid": CALLER,
      "x-b3-sampled": "1",
    })
    expect(several).toMatchObject({
      "x-b3-traceid": TRACE,
      "x-b3-spanid": mesh.names[3] ?? "",
      "x-b3-parentspanid": mesh.names[2] ?? "",
    })
    expect(mesh.spans()).toHaveLength(4)
  })

  test(`HTTP/${version}: what is not sampled, or of no trace, is sent on as it came and makes no span`, async () => {
    await using mesh = await scene(version, 1, 0)
    const headers = { traceparent: `00-${TRACE}-${CALLER}-00`, "x-own": "1" }
    expect(await mesh.send(headers)).toMatchObject(headers)
    expect(await mesh.send({ b3: "0" })).toMatchObject({ b3: "0" })
    expect(mesh.spans()).toEqual([])
    await using off = await scene(version, 0)
    expect(await off.send({ "x-own": "1" })).not.toHaveProperty("traceparent")
    expect(off.spans()).toEqual([])
  })

  test(`HTTP/${version}: a share of requests begins a trace, which the other side continues`, async () => {
    await using mesh = await scene(version, 0.5, 0.4)
    const seen = await mesh.send({ tracestate: "of=another" })
    const [client, server] = mesh.spans()
    expect(client?.parentId).toBe("")
    expect(server).toMatchObject({ traceId: client?.traceId ?? "none", parentId: client?.spanId ?? "none" })
    expect(seen.traceparent).toBe(`00-${client?.traceId}-${server?.spanId}-01`)
    expect(seen).not.toHaveProperty("tracestate")
    await using unlucky = await scene(version, 0.5, 0.6)
    expect(await unlucky.send({})).not.toHaveProperty("traceparent")
  })
}

test("a trace whose caller leaves the decision open is taken by all proxies of a share, or by none", async () => {
  await using mesh = await scene(1, 0.5, 1)
  await mesh.send({ b3: `${TRACE.slice(0, 24)}7fffffff-${CALLER}` })
  expect(mesh.spans()).toHaveLength(2)
  await mesh.send({ b3: `${TRACE.slice(0, 24)}80000000-${CALLER}` })
  expect(mesh.spans()).toHaveLength(2)
})

test("a gRPC call's span bears service, method and status, and fails as the call does", async () => {
  await using mesh = await scene(2)
  await mesh.send(
    { traceparent: `00-${TRACE}-${CALLER}-01`, ":method": "POST", "content-type": "application/grpc" },
    "/emojivoto.v1.VotingService/Vote",
  )
  const [client] = mesh.spans()
  // A response without a status in its trailers is no answer of gRPC.
  expect(client).toMatchObject({ name: "emojivoto.v1.VotingService/Vote", isError: true })
  expect(attributes(client)).toMatchObject({
    "rpc.system": "grpc",
    "rpc.service": "emojivoto.v1.VotingService",
    "rpc.method": "Vote",
  })
})

test("a request that the proxy refuses has a span that says why", async () => {
  const spans: Span[] = []
  const tracer = new Tracing({ sampling: 1, random: () => 0, export: span => spans.push(span) })
  const nowhere = startHttp1Loopback({ pick: () => null }, { tracer })
  try {
    expect((await fetch(`http://127.0.0.1:${nowhere.port}/`)).status).toBe(503)
    expect(spans[0]?.isError).toBe(true)
    expect(attributes(spans[0])).toMatchObject({
      "error.type": "no-endpoint",
      "http.response.status_code": 503,
    })
  } finally {
    nowhere.close()
  }
})
