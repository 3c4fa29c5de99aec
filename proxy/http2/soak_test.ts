// Hundreds of echoes through the HTTP/2 engine, with another implementation on both ends: random sizes, pieces,
// windows, pauses and cancellations. Nothing may be lost, mixed up, or left behind.
import { expect, test } from "bun:test"
import { join } from "node:path"
import { Endpoint, SingleEndpoint } from "../balance/mod.ts"
import type { Http2Downstream } from "./downstream.ts"
import { startLoopbackProxy } from "./loopback.ts"

test("echoes of any size come back whole, whoever else stalls or cancels, and leave nothing behind", async () => {
  const seed = Number(process.env.CONDUIT_FUZZ_SEED ?? Date.now() % 1_000_000_000)
  const peer = Bun.spawn(["node", join(import.meta.dir, "soak_peer.mjs"), String(seed)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  })
  try {
    const lines = peer.stdout
      .pipeThrough(new TextDecoderStream() as never)
      .getReader() as ReadableStreamDefaultReader<string>
    const { port } = JSON.parse((await lines.read()).value ?? "") as { port: number }
    const endpoint = new Endpoint("127.0.0.1", port)
    const proxy = startLoopbackProxy(new SingleEndpoint(endpoint))
    peer.stdin.write(`${proxy.port}\n`)
    peer.stdin.flush()
    const counts = JSON.parse((await lines.read()).value ?? "") as Record<string, number>
    const what = `seed ${seed}: ${JSON.stringify(counts)}`
    expect(counts.wrong, what).toBe(0)
    expect(counts.failed, what).toBe(0)
    expect(counts.whole, what).toBeGreaterThan(500)
    // The last cancellations may still be on their way.
    for (let i = 0; i < 200 && endpoint.pending > 0; i++) await Bun.sleep(5)
    expect(endpoint.pending, what).toBe(0)
    for (const connection of proxy.connections) {
      expect((connection as Http2Downstream).session.streams.size, what).toBe(0)
      expect((connection as Http2Downstream).session.waitingBytes, what).toBe(0)
    }
  } finally {
    peer.kill()
  }
}, 30_000)
