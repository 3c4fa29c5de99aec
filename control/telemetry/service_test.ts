// The telemetry service on its port: what becomes of proxies whose connections end, cleanly or not at all.
import { afterEach, expect, test } from "bun:test"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createTelemetryClient, telemetryQueryV1, type telemetryV1 } from "../../protos/mod.ts"
import { localQueries } from "./queries.ts"
import { remoteQueries } from "./remote_queries.ts"
import { serveTelemetry } from "./service.ts"
import { steadyClock } from "./steady_clock.ts"
import { TelemetryStore } from "./store.ts"

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean()
})

async function serve(keepalive = {}) {
  const store = new TelemetryStore(0)
  const clock = steadyClock()
  const queries = localQueries(store, clock.nowMs)
  const server = await serveTelemetry(store, queries, { host: "127.0.0.1", port: 0, clock, keepalive })
  cleanups.push(() => server.close())
  return { store, port: server.port }
}

/** A wire between a client and a port that can be cut without either end noticing. */
async function wire(port: number) {
  const sockets: Socket[] = []
  let dead = false
  const relay = createServer(client => {
    const server = connect(port, "127.0.0.1")
    sockets.push(client, server)
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on("data", chunk => dead || to.write(chunk))
      from.on("error", () => {})
      from.on("close", () => dead || to.destroy())
    }
  })
  await new Promise<void>(resolve => relay.listen(0, "127.0.0.1", resolve))
  cleanups.push(() => {
    relay.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    port: (relay.address() as AddressInfo).port,
    goSilent: () => {
      dead = true
    },
    cut: () => {
      for (const socket of sockets) socket.resetAndDestroy()
    },
  }
}

/** Reports 10 inbound responses, and keeps the stream open. */
function report(port: number): void {
  const abort = new AbortController()
  cleanups.push(() => abort.abort())
  async function* reports(): AsyncGenerator<MessageInitShape<typeof telemetryV1.ReportRequestSchema>> {
    yield {
      reporter: { namespace: "shop", pod: "web-1", proxyVersion: "1", startedAtMs: BigInt(Date.now()) },
      series: [
        { id: 1, metric: "response_total", labels: { direction: "inbound", classification: "success" } },
      ],
      samples: [{ seriesId: 1, value: 10 }],
    }
    await new Promise<void>(resolve => abort.signal.addEventListener("abort", () => resolve()))
  }
  createTelemetryClient(createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }))
    .report(reports(), { signal: abort.signal })
    .catch(() => {})
}

async function untilLive(store: TelemetryStore, live: boolean): Promise<void> {
  while (store.known().reporters[0]?.live !== live) await Bun.sleep(1)
}

test("a proxy whose connection is reset is gone at once, its traffic stays", async () => {
  const { store, port } = await serve()
  const between = await wire(port)
  report(between.port)
  await untilLive(store, true)
  between.cut()
  await untilLive(store, false)
  const { traffic } = store.traffic(60_000, telemetryQueryV1.Direction.INBOUND, Date.now())
  expect(traffic.map(({ successes }) => successes)).toEqual([10n])
})

test("a proxy that vanished without a word is gone after an unanswered PING", async () => {
  const { store, port } = await serve({ intervalMs: 50, timeoutMs: 50 })
  const between = await wire(port)
  report(between.port)
  await untilLive(store, true)
  between.goSilent()
  await untilLive(store, false)
  expect(store.reporterCount).toBe(1)
})

test("questions over the network are answered, and a window out of range is refused with a sentence", async () => {
  const { store, port } = await serve()
  report(port)
  await untilLive(store, true)
  const queries = remoteQueries(`127.0.0.1:${port}`)
  const { traffic } = await queries.traffic(60_000, telemetryQueryV1.Direction.INBOUND)
  expect(traffic.map(({ successes }) => successes)).toEqual([10n])
  const refusal = await queries.traffic(1, telemetryQueryV1.Direction.INBOUND).catch(String)
  expect(refusal).toContain("1000 to 86400000 milliseconds")
})

test("a telemetry service that is not there is told by its address", async () => {
  const free = createServer()
  await new Promise<void>(resolve => free.listen(0, "127.0.0.1", resolve))
  const { port } = free.address() as AddressInfo
  await new Promise(resolve => free.close(resolve))
  expect(await remoteQueries(`127.0.0.1:${port}`).reporters().catch(String)).toContain(
    `telemetry at 127.0.0.1:${port} does not answer`,
  )
})
