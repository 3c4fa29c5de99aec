// A trace over both proxies of a call, as a collector sees it: caller, outbound, inbound, application; and what the
// proxies do where nobody wants a trace, or the collector is away.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Mesh, type MeshedPod, metric, type Pod } from "../lab/mod.ts"

const COLLECTOR = new URL("../lab/trace_collector.ts", import.meta.url).pathname
const PEER = new URL("trace_peer.mjs", import.meta.url).pathname
const WEB = "10.96.1.1"
const CALLER = "b7ad6b7169203331"

interface SeenSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string
  readonly kind: number
  readonly name: string
  readonly error: boolean
  readonly resource: Readonly<Record<string, unknown>>
  readonly attributes: Readonly<Record<string, unknown>>
}

let mesh: Mesh
let client: MeshedPod
let server: MeshedPod
let collector: Pod
let traces = 0

beforeAll(async () => {
  mesh = await Mesh.createWithIdentity()
  // It is of the mesh, and takes spans of who has proven itself only.
  const authenticated = { CONDUIT_PROXY_DEFAULT_INBOUND_POLICY: "all-authenticated" }
  collector = (await mesh.meshedPod("collector", { env: authenticated })).pod
  const env = { CONDUIT_PROXY_TRACE_COLLECTOR: `${collector.ipv4}:4318`, CONDUIT_PROXY_ACCESS_LOG: "json" }
  client = await mesh.meshedPod("client", { env })
  server = await mesh.meshedPod("server", { env })
  const endpointOf = ({ name, ipv4 }: Pod, port: number) => {
    const names = { pod: name, workload: name, serviceAccount: name }
    return { ip: ipv4, port, ...names, meshed: true }
  }
  await mesh.setTable({
    outbound: Object.fromEntries([
      [`${collector.ipv4}:4318`, { endpoint: endpointOf(collector, 4318) }],
      ...[8080, 8081, 8082].map(port => [
        `${WEB}:${port}`,
        {
          service: "web",
          port,
          endpoints: [endpointOf(server.pod, port)],
        },
      ]),
    ]),
  })
  await server.pod.start([process.execPath, PEER, "serve"]).saw("listening")
  await Promise.all([client.pod, server.pod, collector].map(ready))
}, 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

async function until<T>(what: string, look: () => Promise<T | null> | T | null): Promise<T> {
  const deadline = Date.now() + 20_000
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (Date.now() > deadline) throw new Error(`waited 20 s for ${what}`)
    await Bun.sleep(50)
  }
}

async function ready(pod: Pod): Promise<void> {
  await until(`${pod.name} to be ready`, async () =>
    (await pod.run(["curl", "-sf", "http://127.0.0.1:4191/ready"])).code === 0 ? true : null,
  )
}

function newTrace(): string {
  traces++
  return traces.toString(16).padStart(32, "0a1b2c3d")
}

async function curl(...args: string[]): Promise<Record<string, string>> {
  const { stdout, stderr } = await client.pod.run(["curl", "-s", "--max-time", "10", ...args])
  if (!stdout.startsWith("{")) throw new Error(`curl: ${stdout}${stderr}`)
  return JSON.parse(stdout) as Record<string, string>
}

function spansOf(traceId: string): SeenSpan[] {
  const lines = collector.processes.flatMap(process => process.stdout.split("\n"))
  return lines
    .filter(line => line.startsWith("{") && line.endsWith("}"))
    .map(line => JSON.parse(line) as SeenSpan)
    .filter(span => span.traceId === traceId)
}

/** The client's and the server's span of a trace, checked to be one chain from the caller on. */
async function chain(traceId: string): Promise<{ outbound: SeenSpan; inbound: SeenSpan }> {
  const spans = await until(`two spans of ${traceId}`, () => {
    const found = spansOf(traceId)
    return found.length >= 2 ? found : null
  })
  expect(spans).toHaveLength(2)
  const outbound = spans.find(span => span.kind === 3)
  const inbound = spans.find(span => span.kind === 2)
  if (outbound === undefined || inbound === undefined) throw new Error("the spans are not of both sides")
  expect(outbound.parentId).toBe(CALLER)
  expect(inbound.parentId).toBe(outbound.spanId)
  return { outbound, inbound }
}

test("while the collector is away requests pass as ever, and their spans come when it is there", async () => {
  const trace = newTrace()
  const seen = await curl("-H", `traceparent: 00-${trace}-${CALLER}-01`, `http://${WEB}:8081/away`)
  expect(seen.traceparent).toStartWith(`00-${trace}-`)
  await client.proxy.saw("spans could not be exported", 10_000)
  await collector.start([process.execPath, COLLECTOR]).saw("listening")
  const { inbound } = await chain(trace)
  expect(seen.traceparent).toBe(`00-${trace}-${inbound.spanId}-01`)
}, 30_000)

test("HTTP/1: both hops are spans of their workloads, and the application's parent is the inbound one", async () => {
  const trace = newTrace()
  const seen = await curl("-H", `traceparent: 00-${trace}-${CALLER}-01`, `http://${WEB}:8081/one?key=secret`)
  const { outbound, inbound } = await chain(trace)
  expect(seen.traceparent).toBe(`00-${trace}-${inbound.spanId}-01`)
  expect(outbound).toMatchObject({
    name: "GET",
    error: false,
    resource: { "service.name": "client", "k8s.deployment.name": "client", "k8s.namespace.name": "lab" },
    attributes: {
      "http.response.status_code": 200,
      "network.protocol.version": "1.1",
      "conduit.dst.deployment": "server",
    },
  })
  expect(inbound).toMatchObject({
    resource: { "service.name": "server", "k8s.pod.name": "server" },
    attributes: { "url.path": "/one", "conduit.tls": "true" },
  })
  expect(inbound.attributes["conduit.client.id"]).toStartWith("client.lab.")
  expect(JSON.stringify([outbound, inbound])).not.toContain("secret")
  // The access logs of both sides name the trace.
  for (const { proxy } of [client, server]) await proxy.saw(`"trace_id":"${trace}","uri":"/one?key=secret"`)
}, 30_000)

test("HTTP/2 and gRPC are the same chain", async () => {
  const trace = newTrace()
  const http2 = ["--http2-prior-knowledge", "-H", `traceparent: 00-${trace}-${CALLER}-01`]
  const seen = await curl(...http2, `http://${WEB}:8080/two`)
  const { inbound } = await chain(trace)
  expect(seen.traceparent).toBe(`00-${trace}-${inbound.spanId}-01`)

  const call = newTrace()
  const peer = [process.execPath, PEER, "call", `${WEB}:8082`, `00-${call}-${CALLER}-01`]
  const answer = JSON.parse((await client.pod.run(peer)).stdout)
  const grpc = await chain(call)
  expect(answer.traceparent).toBe(`00-${call}-${grpc.inbound.spanId}-01`)
  expect(grpc.outbound).toMatchObject({
    name: "test.Trace/Seen",
    error: false,
    attributes: { "rpc.system": "grpc", "rpc.method": "Seen", "rpc.grpc.status_code": 0 },
  })
}, 30_000)

test("B3 is the same chain in both of its forms", async () => {
  const single = newTrace()
  const one = await curl("-H", `b3: ${single}-${CALLER}-1`, `http://${WEB}:8081/b3`)
  const first = await chain(single)
  expect(one.b3).toBe(`${single}-${first.inbound.spanId}-1-${first.outbound.spanId}`)
  const several = newTrace()
  const fields = [`X-B3-TraceId: ${several}`, `X-B3-SpanId: ${CALLER}`, "X-B3-Sampled: 1"]
  const many = await curl(...fields.flatMap(field => ["-H", field]), `http://${WEB}:8081/b3`)
  const second = await chain(several)
  expect(many["x-b3-spanid"]).toBe(second.inbound.spanId)
  expect(many["x-b3-parentspanid"]).toBe(second.outbound.spanId)
}, 30_000)

test("a trace that its caller does not record is not touched, and no trace begins unasked", async () => {
  const unsampled = `00-${newTrace()}-${CALLER}-00`
  expect((await curl("-H", `traceparent: ${unsampled}`, `http://${WEB}:8081/no`)).traceparent).toBe(unsampled)
  expect(await curl(`http://${WEB}:8081/no`)).not.toHaveProperty("traceparent")
  // Spans leave in order: once a later one is there, none of those will come.
  const later = newTrace()
  await curl("-H", `traceparent: 00-${later}-${CALLER}-01`, `http://${WEB}:8081/later`)
  await chain(later)
  expect(spansOf(unsampled.slice(3, 35))).toEqual([])
  const both = await Promise.all([client, server].map(({ pod }) => metric(pod, "trace_spans_dropped_total")))
  expect(both).toEqual([0, 0])
}, 30_000)
