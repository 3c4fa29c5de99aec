// The destination service end to end: real sockets on loopback, the generated client, a store driven by hand.
import { afterEach, expect, test } from "bun:test"
import { connect } from "node:http2"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createDestinationClient, destinationV1 } from "../../protos/mod.ts"
import { ClusterStore, ipToBytes } from "../cluster/mod.ts"
import { readObject } from "../cluster/read_object.ts"
import { MAX_UNREAD_BYTES } from "../serve/mod.ts"
import { type DestinationServer, serveDestination, WATCH_PATH } from "./service.ts"

type Request = MessageInitShape<typeof destinationV1.WatchRequestSchema>
type Response = destinationV1.WatchResponse

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean()
})

async function serve(store: ClusterStore, port = 0): Promise<DestinationServer> {
  const server = await serveDestination(store, { host: "127.0.0.1", port })
  cleanups.push(() => server.close())
  return server
}

function syncedStore(...objects: unknown[]): ClusterStore {
  const store = new ClusterStore()
  put(store, ...objects)
  store.markSynced()
  return store
}

function put(store: ClusterStore, ...objects: unknown[]): void {
  store.apply(
    objects.flatMap(raw => {
      const { object } = readObject(raw)
      return object === null ? [] : [{ put: object }]
    }),
  )
}

function webService(extra: object = {}): unknown {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "shop" },
    spec: {
      clusterIP: "10.96.0.10",
      selector: { app: "web" },
      ports: [{ name: "http", port: 80, targetPort: 8080 }],
      ...extra,
    },
  }
}

function webPod(index: number, ready = true): unknown {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `web-7d9f-${index}`,
      namespace: "shop",
      labels: { app: "web", "pod-template-hash": "7d9f" },
      ownerReferences: [{ kind: "ReplicaSet", name: "web-7d9f", controller: true }],
    },
    spec: { containers: [{ name: "web" }] },
    status: {
      podIP: `10.1.${index >> 8}.${index & 255}`,
      phase: "Running",
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  }
}

/** A proxy's side of one stream: what is pushed is sent, what comes is awaited in order. */
function openStream(port: number) {
  const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` })
  const waiting: Request[] = []
  let wake = (): void => {}
  const abort = new AbortController()
  cleanups.push(() => abort.abort())
  async function* requests(): AsyncGenerator<Request> {
    while (!abort.signal.aborted) {
      const next = waiting.shift()
      if (next !== undefined) yield next
      else await new Promise<void>(resolve => (wake = resolve))
    }
  }
  abort.signal.addEventListener("abort", () => wake())
  const responses = createDestinationClient(transport)
    .watch(requests(), { signal: abort.signal })
    [Symbol.asyncIterator]()
  return {
    send(...messages: Request[]): void {
      waiting.push(...messages)
      wake()
    },
    async next(): Promise<Response> {
      const { value, done } = await responses.next()
      if (done === true) throw new Error("the stream ended")
      return value
    },
    end: () => abort.abort(),
  }
}

const hello: Request = { request: { case: "hello", value: { namespace: "shop", pod: "web-7d9f-1" } } }

function subscribe(watchId: bigint, ip: string, port: number, version = ""): Request {
  const outbound = { ip: ipToBytes(ip) ?? new Uint8Array(), port }
  return {
    request: {
      case: "subscribe",
      value: { watchId, version, target: { case: "outbound", value: outbound } },
    },
  }
}

function serviceIn(response: Response): destinationV1.Service {
  if (response.update.case !== "destination" || response.update.value.kind.case !== "service") {
    throw new Error(`expected a service, got ${response.update.case}`)
  }
  return response.update.value.kind.value
}

test("a cluster IP gives the whole service first and deltas of its endpoints after", async () => {
  const store = syncedStore(webService(), webPod(1), webPod(2, false))
  const stream = openStream((await serve(store)).port)
  stream.send(hello, subscribe(5n, "10.96.0.10", 80))
  const first = await stream.next()
  expect(first.watchId).toBe(5n)
  const service = serviceIn(first)
  expect(service).toMatchObject({ name: "web", namespace: "shop", port: 80, portName: "http" })
  expect(service.fqdn).toBe("web.shop.svc.cluster.local")
  expect(service.endpoints.map(endpoint => endpoint.pod)).toEqual(["web-7d9f-1"])
  expect(service.endpoints[0]).toMatchObject({
    port: 8080,
    workloadKind: "deployment",
    workload: "web",
    meshed: false,
  })

  put(store, webPod(2), webPod(1, false))
  const delta = await stream.next()
  expect(delta.watchId).toBe(5n)
  expect(delta.version).not.toBe(first.version)
  if (delta.update.case !== "endpoints") throw new Error(`expected a delta, got ${delta.update.case}`)
  expect(delta.update.value.added.map(endpoint => endpoint.pod)).toEqual(["web-7d9f-2"])
  expect(delta.update.value.removed.map(address => [address.ip.join("."), address.port])).toEqual([
    ["10.1.0.1", 8080],
  ])
})

test("a pod's address gives that pod, and any other address is external", async () => {
  const store = syncedStore(webService(), webPod(1))
  const stream = openStream((await serve(store)).port)
  stream.send(
    hello,
    subscribe(1n, "10.1.0.1", 9999),
    subscribe(2n, "192.0.2.1", 443),
    subscribe(3n, "10.96.0.10", 81),
  )
  const kinds = [await stream.next(), await stream.next(), await stream.next()].map(({ watchId, update }) => [
    watchId,
    update.case === "destination" ? update.value.kind.case : update.case,
  ])
  expect(kinds).toEqual([
    [1n, "endpoint"],
    [2n, "external"],
    [3n, "external"],
  ])
})

test("an external address turns into a pod when one gets it", async () => {
  const store = syncedStore()
  const stream = openStream((await serve(store)).port)
  stream.send(hello, subscribe(1n, "10.1.0.7", 80))
  await stream.next()
  put(store, webPod(7))
  const { update } = await stream.next()
  expect(update.case === "destination" && update.value.kind.case).toBe("endpoint")
})

test("a restarted control plane answers unchanged to a proxy that resumes", async () => {
  const before = openStream((await serve(syncedStore(webService(), webPod(1), webPod(2)))).port)
  before.send(hello, subscribe(1n, "10.96.0.10", 80))
  const { version } = await before.next()
  before.end()

  const after = openStream((await serve(syncedStore(webPod(2), webPod(1), webService()))).port)
  after.send(hello, subscribe(9n, "10.96.0.10", 80, version), subscribe(10n, "10.96.0.10", 80, "stale"))
  expect(await after.next()).toMatchObject({ watchId: 9n, version, update: { case: "unchanged" } })
  expect(serviceIn(await after.next()).endpoints.length).toBe(2)
})

test("nothing is answered before the cluster is known, so that a restart empties no proxy", async () => {
  const store = new ClusterStore()
  const server = await serve(store)
  const stream = openStream(server.port)
  stream.send(hello, subscribe(1n, "10.96.0.10", 80))
  let answered = false
  const first = stream.next().then(response => {
    answered = true
    return response
  })
  while (server.counts.watches === 0) await Bun.sleep(1)
  put(store, webService(), webPod(1))
  expect(answered).toBe(false)
  store.markSynced()
  expect(serviceIn(await first).endpoints.length).toBe(1)
})

test("an ended watch and a closed stream leave nothing behind", async () => {
  const server = await serve(syncedStore(webService(), webPod(1)))
  const stream = openStream(server.port)
  stream.send(hello, subscribe(1n, "10.96.0.10", 80), subscribe(2n, "10.1.0.1", 80))
  await stream.next()
  await stream.next()
  expect(server.targets()).toBe(2)
  stream.send({ request: { case: "unsubscribe", value: { watchId: 1n } } })
  while (server.targets() !== 1) await Bun.sleep(1)
  stream.end()
  while (server.counts.open !== 0) await Bun.sleep(1)
  expect([server.targets(), server.counts.watches]).toEqual([0, 0])
})

test("an inbound port says what appProtocol and opaque-ports hint", async () => {
  const ports = [
    { name: "a", port: 80, targetPort: 8080, appProtocol: "kubernetes.io/h2c" },
    { name: "b", port: 3306, targetPort: 3306, appProtocol: "mysql" },
  ]
  const store = syncedStore(webService({ ports }), webPod(1))
  const stream = openStream((await serve(store)).port)
  const inbound = (watchId: bigint, port: number): Request => ({
    request: { case: "subscribe", value: { watchId, target: { case: "inbound", value: { port } } } },
  })
  stream.send(hello, inbound(1n, 8080), inbound(2n, 3306), inbound(3n, 1234))
  const protocols = [await stream.next(), await stream.next(), await stream.next()].map(({ update }) =>
    update.case === "inbound" ? update.value.protocol : -1,
  )
  const { Protocol } = destinationV1
  expect(protocols).toEqual([Protocol.HTTP2, Protocol.TCP, Protocol.UNSPECIFIED])
})

test.each([
  ["hello missing", [subscribe(1n, "10.0.0.1", 80)], "first message of a stream must be hello"],
  ["hello twice", [hello, hello], "hello came twice"],
  ["watch 0", [hello, subscribe(0n, "10.0.0.1", 80)], "watch_id 0"],
  ["a watch twice", [hello, subscribe(1n, "10.0.0.1", 80), subscribe(1n, "10.0.0.1", 80)], "in use"],
  ["port 0", [hello, subscribe(1n, "10.0.0.1", 0)], "0 is no port"],
] as const)("a bad request ends the stream with a sentence: %s", async (_name, messages, sentence) => {
  const stream = openStream((await serve(syncedStore())).port)
  stream.send(...messages)
  const failure = async (): Promise<never> => {
    for (;;) await stream.next()
  }
  expect(await failure().catch(String)).toContain(sentence)
})

test("a proxy that does not read is cut before it costs more than its bound", async () => {
  const store = syncedStore(webService(), ...Array.from({ length: 1500 }, (_, index) => webPod(index)))
  const server = await serve(store)
  const session = connect(`http://127.0.0.1:${server.port}`)
  cleanups.push(() => session.destroy())
  const request = session.request({
    ":method": "POST",
    ":path": WATCH_PATH,
    "content-type": "application/grpc",
  })
  const told = new Promise<void>(resolve => request.once("close", resolve))
  request.on("error", () => {})
  request.pause()
  const { create, toBinary } = await import("@bufbuild/protobuf")
  const frame = (message: Request): Buffer => {
    const body = toBinary(destinationV1.WatchRequestSchema, create(destinationV1.WatchRequestSchema, message))
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(body.length, 1)
    return Buffer.concat([prefix, body])
  }
  request.write(frame(hello))
  for (let watch = 1; watch <= 400 && server.counts.dropped === 0; watch++) {
    request.write(frame(subscribe(BigInt(watch), "10.96.0.10", 80)))
    if (watch % 20 === 0) await Bun.sleep(1)
  }
  while (server.counts.dropped === 0) await Bun.sleep(1)
  expect(server.counts.open).toBe(0)
  await told
  expect(server.counts.updates * 60_000).toBeLessThan(2 * MAX_UNREAD_BYTES)
})

test("a change reaches 1,000 watchers, each once, within a second", async () => {
  const store = syncedStore(webService(), ...Array.from({ length: 20 }, (_, index) => webPod(index)))
  const server = await serve(store)
  const session = connect(`http://127.0.0.1:${server.port}`)
  cleanups.push(() => session.destroy())
  const { create, toBinary } = await import("@bufbuild/protobuf")
  const frame = (message: Request): Buffer => {
    const body = toBinary(destinationV1.WatchRequestSchema, create(destinationV1.WatchRequestSchema, message))
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(body.length, 1)
    return Buffer.concat([prefix, body])
  }
  // 1,000 watches on 20 streams of one connection: the fan-out is what is measured, not the client.
  for (let stream = 0; stream < 20; stream++) {
    const request = session.request({
      ":method": "POST",
      ":path": WATCH_PATH,
      "content-type": "application/grpc",
    })
    request.on("error", () => {})
    request.resume()
    request.write(frame(hello))
    for (let watch = 1; watch <= 50; watch++) request.write(frame(subscribe(BigInt(watch), "10.96.0.10", 80)))
  }
  while (server.counts.updates < 1000) await Bun.sleep(1)
  const started = performance.now()
  put(store, webPod(3, false))
  while (server.counts.updates < 2000) await Bun.sleep(1)
  expect(performance.now() - started).toBeLessThan(1000)
  await Bun.sleep(20)
  expect(server.counts.updates).toBe(2000)
})
