// Identifying the client of a connection, as a conversation: what it says and when, and what is made of that.
import { expect, test } from "bun:test"
import { type Conn, type ConnHandler, TimerWheel, type TlsPeer } from "../net/mod.ts"
import { HELLO_REST_MS, Identify, MESH_GRACE_MS, PLAIN_GRACE_MS } from "./identify.ts"
import type { MeshTls } from "./mesh_tls.ts"
import { PlainClients } from "./plain_clients.ts"

const OWN_NAME = "cart.shop.serviceaccount.identity.conduit.cluster.local"
const PEER: TlsPeer = {
  spiffeId: "spiffe://cluster.local/ns/shop/sa/web",
  dnsName: "web",
  protocol: "conduit.h2",
}

/** A connection in the test's hands, to a proxy that has a certificate unless told otherwise. */
function conversation({ certified = true, busy = false } = {}) {
  const clock = { nowMs: 0 }
  const timers = new TimerWheel(clock)
  const heard: string[] = []
  const waiting: (() => void)[] = []
  const conn = {
    remoteAddress: "10.0.0.9",
    closed: false,
    peer: null as TlsPeer | null,
    handler: null as unknown as ConnHandler,
    pause: () => heard.push("paused"),
    resume: () => heard.push("resumed"),
    reset: () => heard.push("reset"),
    acceptTls: (_terms: unknown, first: Uint8Array) => heard.push(`handshake after ${first.length} bytes`),
  }
  const mesh = {
    identity: {
      name: OWN_NAME,
      whenCertified: (callback: () => void) => (certified ? callback() : waiting.push(callback)),
    },
    accept: busy ? null : {},
    inbound: { running: 0 },
    plainClients: new PlainClients(),
    refusedClient: () => heard.push("refused"),
  }
  const own = conn as unknown as Conn
  const begin = () =>
    new Identify(own, mesh as unknown as MeshTls, timers, {
      proven: peer => heard.push(`proven ${peer.spiffeId}`),
      unproven: (said, sign) => heard.push(`unproven ${sign} after ${said.length} bytes`),
    }).start()
  begin()
  return {
    mesh,
    conn,
    begin,
    says: (bytes: Uint8Array) => conn.handler.onData(own, bytes),
    ends: () => conn.handler.onEnd(own),
    breaks() {
      conn.closed = true
      conn.handler.onClose(own, "ECONNRESET")
    },
    proves() {
      conn.peer = PEER
      conn.handler.onOpen(own)
    },
    certificateComes() {
      for (const callback of waiting.splice(0)) callback()
    },
    passes(ms: number) {
      for (let left = ms; left > 0; left--) {
        clock.nowMs++
        timers.advance()
      }
    },
    /** What was heard since the last time. */
    heard: () => heard.splice(0),
  }
}

/** A ClientHello (RFC 8446 section 4.1.2) for a name, with protocols. */
function hello(name: string, protocols: readonly string[]): Buffer {
  const vector = (width: number, ...parts: readonly Uint8Array[]) => {
    const content = Buffer.concat(parts)
    const length = Buffer.alloc(width)
    length.writeUIntBE(content.length, 0, width)
    return Buffer.concat([length, content])
  }
  const extension = (type: number, content: Uint8Array) =>
    Buffer.concat([Buffer.from([0, type]), vector(2, content)])
  const sni = vector(2, Buffer.from([0]), vector(2, Buffer.from(name)))
  const alpn = vector(2, ...protocols.map(protocol => vector(1, Buffer.from(protocol))))
  const body = [
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1),
    vector(2, Buffer.from([0x13, 1])),
    vector(1, Buffer.from([0])),
    vector(2, extension(0, sni), extension(16, alpn)),
  ]
  return Buffer.concat([Buffer.from([22, 3, 1]), vector(2, Buffer.from([1]), vector(3, ...body))])
}

const OURS = hello(OWN_NAME, ["conduit.http1"])

test.each([
  ["for our name", hello(OWN_NAME, ["h2"])],
  [
    "with a protocol of the mesh, for whoever had the address before",
    hello("old.shop", ["http/1.1", "conduit.tcp"]),
  ],
])("a ClientHello %s begins TLS of the mesh, and the client proves itself", (_what, bytes) => {
  const client = conversation()
  expect(client.heard()).toEqual(["resumed"])
  client.says(bytes)
  expect(client.heard()).toEqual(["paused", "resumed", `handshake after ${bytes.length} bytes`])
  expect(client.mesh.inbound.running).toBe(1)
  client.proves()
  expect(client.heard()).toEqual([`proven ${PEER.spiffeId}`])
  expect(client.mesh.inbound.running).toBe(0)
})

test.each([
  ["TLS of the application", hello("web.shop", ["h2"])],
  ["HTTP", Buffer.from("GET / HTTP/1.1\r\n")],
  ["a record that is no ClientHello", Buffer.from([22, 3, 1, 0, 4, 9, 9, 9, 9])],
])("%s is handed on with all of its bytes", (_what, bytes) => {
  const client = conversation()
  client.says(bytes)
  expect(client.heard()).toEqual(["resumed", `unproven spoke after ${bytes.length} bytes`])
  client.passes(HELLO_REST_MS)
  expect(client.heard()).toEqual([])
})

test("a silent client is waited for, the next time shorter, and longer again once it has proven itself", () => {
  const client = conversation()
  client.passes(MESH_GRACE_MS - 20)
  expect(client.heard()).toEqual(["resumed"])
  client.passes(40)
  expect(client.heard()).toEqual(["unproven silent after 0 bytes"])
  client.begin()
  client.passes(PLAIN_GRACE_MS + 20)
  expect(client.heard()).toEqual(["resumed", "unproven silent after 0 bytes"])
  client.begin()
  client.says(OURS)
  client.proves()
  client.begin()
  client.heard()
  client.passes(PLAIN_GRACE_MS + 20)
  expect(client.heard()).toEqual([])
})

test("a ClientHello in pieces is put together; what does not come in time is handed on", () => {
  const client = conversation()
  client.says(OURS.subarray(0, 7))
  client.passes(MESH_GRACE_MS + 100)
  client.says(OURS.subarray(7, 20))
  client.passes(100)
  client.says(OURS.subarray(20))
  expect(client.heard().at(-1)).toBe(`handshake after ${OURS.length} bytes`)

  // The wait is bounded as a whole: a client that drips is not held up for longer.
  const late = conversation()
  late.says(OURS.subarray(0, 7))
  late.passes(HELLO_REST_MS / 2)
  late.says(OURS.subarray(7, 8))
  late.passes(HELLO_REST_MS / 2 + 20)
  expect(late.heard()).toEqual(["resumed", "unproven spoke after 8 bytes"])
})

test("a client that ends without a word is handed on, and its address counts for nothing", () => {
  const client = conversation()
  client.ends()
  expect(client.heard()).toEqual(["resumed", "unproven ended after 0 bytes"])
  expect(client.mesh.plainClients.has("10.0.0.9")).toBe(false)
})

test("without a certificate the handshake waits for it; a client that went meanwhile is not served", () => {
  const client = conversation({ certified: false })
  client.says(OURS)
  expect(client.heard()).toEqual(["resumed", "paused"])
  client.certificateComes()
  expect(client.heard()).toEqual(["resumed", `handshake after ${OURS.length} bytes`])

  const gone = conversation({ certified: false })
  gone.says(OURS)
  gone.breaks()
  gone.heard()
  gone.certificateComes()
  expect([gone.heard(), gone.mesh.inbound.running]).toEqual([[], 0])
})

test("where too much is under way the client is refused and reset", () => {
  const client = conversation({ busy: true })
  client.says(OURS)
  expect(client.heard()).toEqual(["resumed", "paused", "refused", "reset"])
  expect(client.mesh.inbound.running).toBe(0)
})

test("a handshake that breaks, or whose client ends, makes room and leads nowhere", () => {
  const client = conversation()
  client.says(OURS)
  client.ends()
  client.breaks()
  expect(client.heard().slice(-1)).toEqual([`handshake after ${OURS.length} bytes`])
  expect(client.mesh.inbound.running).toBe(0)
  client.passes(HELLO_REST_MS)
  expect(client.heard()).toEqual([])
})
