// Live requests of a mesh that is not there.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { TapResponseSchema } from "../../protos/mod.ts"
import type { Resource } from "./simulated_mesh.ts"

/** Requests as they pass, until nobody looks; every twentieth fails. */
export async function* tapped(
  all: readonly Resource[],
  rps: number,
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof TapResponseSchema>> {
  yield { state: { proxies: 3 } }
  const peer = ({ namespace, kind, name }: Resource) => {
    const identity = `${name}.${namespace}.serviceaccount.identity.conduit.cluster.local`
    return { address: "10.0.0.7:8080", namespace, kind, name, pod: `${name}-7f6d5c4b8-0`, identity }
  }
  const [first] = all
  if (first !== undefined)
    yield {
      events: [
        {
          id: "raw",
          moment: {
            case: "opened",
            value: { inbound: true, client: peer(first), tls: "true", protocol: "tcp", timeMs: Date.now() },
          },
        },
      ],
    }
  for (let number = 0; !signal.aborted; ) {
    const until = number + rps / 10
    const events = []
    for (; number < until; number++) {
      const [from, to] = [all[number % all.length], all[0]] as [Resource, Resource]
      const bad = number % 20 === 7
      events.push(
        {
          id: `${number}`,
          moment: {
            case: "begun" as const,
            value: {
              ...{ inbound: true, client: peer(from), server: peer(to), tls: "true", method: "GET" },
              ...{
                scheme: "http",
                authority: `${to.name}.${to.namespace}`,
                path: `/items/${number % 250}?page=2`,
              },
              ...{ timeMs: Date.now(), headers: [{ name: "user-agent", value: "[redacted]" }] },
            },
          },
        },
        {
          id: `${number}`,
          moment: {
            case: "ended" as const,
            value: { status: bad ? 503 : 200, afterMs: 1 + (number % 50), failed: bad, responseBytes: 512n },
          },
        },
      )
    }
    yield { events }
    await Bun.sleep(100)
  }
}
