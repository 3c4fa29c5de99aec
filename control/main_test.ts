// The program as a process: its exit codes, its end, and what a proxy finds after it was killed.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createDestinationClient, createTelemetryClient, type destinationV1 } from "../protos/mod.ts"

let folder = ""
const cleanups: (() => void)[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-control-main-"))
})

afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean()
  rmSync(folder, { recursive: true, force: true })
})

function start(args: readonly string[], ports: Record<string, number> = {}) {
  const env: Record<string, string | undefined> = { ...process.env }
  for (const name of ["destination", "policy", "telemetry", "tap", "api", "admin"]) {
    env[`CONDUIT_${name.toUpperCase()}_PORT`] = String(ports[name] ?? 0)
  }
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "main.ts"), ...args], {
    env,
    stderr: "pipe",
  })
  cleanups.push(() => child.kill("SIGKILL"))
  return child
}

/** Starts it and waits until all its ports are served; ports by service. */
async function startServing(service: string, ports: Record<string, number> = {}) {
  const child = start([service, "--manifests", folder, "--listen-host", "127.0.0.1"], ports)
  let output = ""
  const decoder = new TextDecoder()
  const reader = child.stderr.getReader()
  while (!output.includes("listening admin")) {
    const { value, done } = await reader.read()
    if (done) throw new Error(`it ended: ${output}`)
    output += decoder.decode(value)
  }
  const found = output.matchAll(/listening (\w+) 127\.0\.0\.1:(\d+)/g)
  return { child, ports: Object.fromEntries([...found].map(([, name, port]) => [name, Number(port)])) }
}

test("it says where each service listens, and ends within two seconds of SIGTERM", async () => {
  const { child, ports } = await startServing("all")
  expect(Object.keys(ports).sort()).toEqual(["admin", "api", "destination", "policy", "tap", "telemetry"])
  const started = performance.now()
  child.kill("SIGTERM")
  expect(await child.exited).toBe(0)
  expect(performance.now() - started).toBeLessThan(2000)
})

test("wrong usage exits 2, a taken port exits 1, each with one sentence and no stack trace", async () => {
  const usage = start(["nope"])
  expect(await usage.exited).toBe(2)
  expect(await new Response(usage.stderr).text()).toMatch(/^control: unknown service "nope"; usage: .*\n$/)
  const { ports } = await startServing("telemetry")
  const taken = start(["telemetry", "--listen-host", "127.0.0.1"], { telemetry: ports.telemetry ?? 0 })
  expect(await taken.exited).toBe(1)
  expect(await new Response(taken.stderr).text()).toBe(
    `control: cannot listen on 127.0.0.1:${ports.telemetry}: another process listens there already\n`,
  )
})

type Request = MessageInitShape<typeof destinationV1.WatchRequestSchema>

/** First answer to a subscription of a cluster IP. */
async function firstAnswer(port: number, version: string): Promise<destinationV1.WatchResponse> {
  const abort = new AbortController()
  const outbound = { ip: Uint8Array.of(10, 96, 0, 1), port: 80 }
  async function* requests(): AsyncGenerator<Request> {
    yield { request: { case: "hello", value: { namespace: "shop", pod: "web-1" } } }
    yield {
      request: {
        case: "subscribe",
        value: { watchId: 1n, version, target: { case: "outbound", value: outbound } },
      },
    }
    await new Promise<void>(resolve => abort.signal.addEventListener("abort", () => resolve()))
  }
  const client = createDestinationClient(createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }))
  try {
    for await (const response of client.watch(requests(), { signal: abort.signal })) return response
    throw new Error("the stream ended without an answer")
  } finally {
    abort.abort()
  }
}

test("killed and started again, it tells a proxy that resumes that nothing changed", async () => {
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "shop" },
    spec: { clusterIP: "10.96.0.1", selector: { app: "web" }, ports: [{ port: 80 }] },
  }
  writeFileSync(join(folder, "web.json"), JSON.stringify(service))
  const first = await startServing("destination")
  const { version, update } = await firstAnswer(first.ports.destination ?? 0, "")
  expect(update.case).toBe("destination")
  first.child.kill("SIGKILL")
  await first.child.exited
  const second = await startServing("destination", { destination: first.ports.destination ?? 0 })
  const resumed = await firstAnswer(second.ports.destination ?? 0, version)
  expect(resumed).toMatchObject({ version, update: { case: "unchanged" } })
})

test("a report stream that does not say who reports is refused with a sentence", async () => {
  const { ports } = await startServing("telemetry")
  const client = createTelemetryClient(
    createGrpcTransport({ baseUrl: `http://127.0.0.1:${ports.telemetry}` }),
  )
  async function* reports() {
    yield { samples: [{ seriesId: 1, value: 1 }] }
  }
  expect(await client.report(reports()).catch(String)).toContain("must name its reporter")
})
