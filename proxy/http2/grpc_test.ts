// gRPC through the HTTP/2 engine, with another implementation on both ends: grpc-js on Node.
import { expect, test } from "bun:test"
import { join } from "node:path"
import { roundRobin, startLoopbackProxy } from "./loopback.ts"

async function* jsonLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<Record<string, unknown>> {
  let rest = ""
  const decoder = new TextDecoder()
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true })
    for (let at = rest.indexOf("\n"); at >= 0; at = rest.indexOf("\n")) {
      yield JSON.parse(rest.slice(0, at)) as Record<string, unknown>
      rest = rest.slice(at + 1)
    }
  }
}

test("gRPC works through the proxy: every kind of call, deadlines, cancellation, errors, large messages", async () => {
  const peer = Bun.spawn(["node", join(import.meta.dir, "grpc_peer.mjs")], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  })
  const results: Record<string, unknown>[] = []
  try {
    for await (const line of jsonLines(peer.stdout)) {
      if (line.name !== "listening") {
        results.push(line)
        continue
      }
      const proxy = startLoopbackProxy(roundRobin([line.port as number]))
      peer.stdin.write(`${proxy.port}\n`)
      peer.stdin.flush()
    }
  } finally {
    peer.kill()
  }
  expect(results).toEqual([
    { name: "unary", code: 0, value: "hello", head: "seen", trailer: "end" },
    { name: "4 MiB", code: 0, same: true },
    { name: "trailers-only", code: 5, details: "no such thing" },
    { name: "unimplemented", code: 12 },
    { name: "client stream", value: "1000000" },
    { name: "server stream", code: 0, count: 100, last: "99" },
    { name: "bidi", inOrder: true },
    { name: "deadline", code: 4, inTime: true },
    { name: "cancellation", code: 1, seenByServer: 2 },
    { name: "late error", code: 15, count: 1 },
    { name: "500 at once", good: 500 },
  ])
}, 30_000)
