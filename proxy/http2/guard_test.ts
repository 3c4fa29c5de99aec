// HTTP/2 under a guard that needs time: streams that are held, while others of the connection go on.
import { expect, test } from "bun:test"
import { type HeldDecision, REFUSAL_DENIED, type RequestGuard, type RequestView } from "../http/mod.ts"
import * as frame from "../wire/http2/frame.ts"
import {
  CLIENT_HELLO,
  frameBytes,
  headersFrame,
  type Pairs,
  REQUEST,
  settingsFrame,
  word,
} from "../wire/http2/session_fixture.ts"
import { roundRobin, startLoopbackProxy } from "./loopback.ts"
import { wireClient, wireServer } from "./wire_peer.ts"

const END = frame.FLAG_END_STREAM
const GRPC: Pairs = [...REQUEST, ["content-type", "application/grpc"], ["te", "trailers"]]
const HELD: Pairs = REQUEST.map(([name, value]) => [name, name === ":path" ? "/held" : value])

/** Holds what is sent to `/held`, and every gRPC call. */
class HoldingGuard implements RequestGuard {
  readonly clientId = ""
  readonly denial = REFUSAL_DENIED
  readonly refused = null
  readonly answer = null
  held: HeldDecision | null = null
  decide: Parameters<HeldDecision["whenDecided"]>[0] = () => {}
  forgotten = 0

  refuse({ path, isGrpc }: RequestView) {
    this.held =
      path !== "/held" && !isGrpc
        ? null
        : {
            whenDecided: decided => {
              this.decide = decided
            },
            forget: () => this.forgotten++,
          }
    return null
  }

  stillAllows() {
    return true
  }

  refusedFields() {
    return null
  }
}

async function scene() {
  const guard = new HoldingGuard()
  const server = wireServer(settingsFrame())
  const proxy = startLoopbackProxy(roundRobin([server.port]), { direction: 0, guard })
  const client = await wireClient(proxy.port, CLIENT_HELLO)
  return { guard, server, proxy, client }
}

test("a stream that is held goes on with its body once it is let through, and holds no other", async () => {
  const { guard, server, client } = await scene()
  client.send(headersFrame(1, HELD), frameBytes(frame.FRAME_DATA, END, 1, new Uint8Array(7)))
  client.send(headersFrame(3, REQUEST, END))
  const up = await server.peer(0)
  expect(await up.line("HEADERS")).toContain(":path=/a")
  guard.decide(null, null)
  expect(await up.line("HEADERS")).toContain(":path=/held")
  expect(await up.line("DATA")).toContain(" 7")
  expect(guard.forgotten).toBe(0)
})

test("a gRPC call that is held and then refused is told why", async () => {
  const { guard, server, client, proxy } = await scene()
  client.send(headersFrame(1, GRPC))
  while (proxy.admission.inFlight === 0) await Bun.sleep(1)
  guard.decide(REFUSAL_DENIED, { fields: [], detail: "plugin hours: 100% closed", told: "100% closed" })
  const head = await client.line("HEADERS")
  expect(head).toContain("grpc-status=7")
  expect(head).toContain("grpc-message=conduit: denied: 100%25 closed")
  expect(proxy.admission.inFlight).toBe(0)
  expect(server.peers.length).toBe(0)
})

test("nobody waits for a decision about a stream that its client has reset", async () => {
  const { guard, client, proxy } = await scene()
  client.send(headersFrame(1, HELD, END))
  while (proxy.admission.inFlight === 0) await Bun.sleep(1)
  client.send(frameBytes(frame.FRAME_RST_STREAM, 0, 1, word(frame.CANCEL)))
  while (proxy.admission.inFlight > 0) await Bun.sleep(1)
  expect(guard.forgotten).toBe(1)
})
