// Discovery on a link and a clock that tests hold in their hands.
import { expect, test } from "bun:test"
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { destinationV1 } from "../../protos/mod.ts"
import type { ControlLinkHandler, Link } from "../control_plane/mod.ts"
import { createLogger } from "../log.ts"
import { TimerWheel } from "../net/mod.ts"
import { Discovery, LOOKUP_TIMEOUT_LOST_MS, LOOKUP_TIMEOUT_MS, MAX_WATCHES } from "./discovery.ts"

type Update = NonNullable<MessageInitShape<typeof destinationV1.WatchResponseSchema>["update"]>

class TestLink implements Link {
  up = false
  queuedBytes = 0
  readonly counts = { attempted: 0, opened: 0, failed: 0, received: 0, sent: 0 }
  requests: destinationV1.WatchRequest["request"][] = []

  start(): void {}
  hurried = 0
  hurry(): void {
    this.hurried++
  }
  stop(): void {}
  finish(): void {}
  send(message: Uint8Array): void {
    if (this.up) this.requests.push(fromBinary(destinationV1.WatchRequestSchema, message).request)
  }
  take() {
    const requests = this.requests
    this.requests = []
    return requests
  }
  subscriptions(): destinationV1.Subscribe[] {
    return this.take().flatMap(request => (request.case === "subscribe" ? [request.value] : []))
  }
}

const IP = (...bytes: number[]) => Uint8Array.from(bytes)
const POD = (host: number) => ({ ip: IP(10, 0, 0, host), port: 8080, pod: `web-${host}`, namespace: "shop" })
const SERVICE = (...hosts: number[]): Update => ({
  case: "destination",
  value: {
    kind: {
      case: "service",
      value: { namespace: "shop", name: "web", port: 80, fqdn: "web.shop", endpoints: hosts.map(POD) },
    },
  },
})
const EXTERNAL: Update = { case: "destination", value: { kind: { case: "external", value: {} } } }

function fixture() {
  const clock = { nowMs: 0 }
  const timers = new TimerWheel(clock)
  const link = new TestLink()
  const lines: string[] = []
  let handler: ControlLinkHandler | null = null
  const discovery = new Discovery({
    openLink: given => {
      handler = given
      return link
    },
    address: "destination:8086",
    clock,
    timers,
    log: createLogger({ sink: line => lines.push(line) }),
    random: () => 0,
    identity: { namespace: "shop", pod: "cart-1", node: "n1", version: "1" },
    probePort: 4143,
  })
  discovery.start()
  return {
    discovery,
    link,
    lines,
    clock,
    open() {
      link.up = true
      handler?.onOpen()
    },
    down() {
      link.up = false
      handler?.onDown("test")
    },
    answer(watchId: bigint, version: string, update: Update) {
      const response = create(destinationV1.WatchResponseSchema, { watchId, version, update })
      handler?.onMessage(toBinary(destinationV1.WatchResponseSchema, response))
    },
    raw(bytes: Uint8Array) {
      handler?.onMessage(bytes)
    },
    wait(ms: number) {
      clock.nowMs += ms
      timers.advance()
    },
  }
}

test("a stream begins with who the proxy is, then everything that was asked before it was up", () => {
  const { discovery, link, open } = fixture()
  discovery.lookup("10.96.0.10", 80)
  discovery.lookup("fd00::1", 443)
  open()
  const [hello, ...rest] = link.take()
  expect(hello?.case).toBe("hello")
  expect(hello?.value).toMatchObject({ namespace: "shop", pod: "cart-1", node: "n1", proxyVersion: "1" })
  const targets = rest.map(request => (request.case === "subscribe" ? request.value.target : null))
  expect(targets).toMatchObject([
    { case: "inbound", value: { port: 4143 } },
    { case: "outbound", value: { ip: IP(10, 96, 0, 10), port: 80 } },
    { case: "outbound", value: { ip: IP(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), port: 443 } },
  ])
})

test("a lookup is pending until the answer, then the same object answers at once", () => {
  const { discovery, link, open, answer } = fixture()
  open()
  link.take()
  const web = discovery.lookup("10.96.0.10", 80)
  const [subscription] = link.subscriptions()
  let called = 0
  web.whenKnown(() => called++)
  expect([web.kind, called, discovery.answered]).toEqual(["pending", 0, false])
  answer(subscription?.watchId as bigint, "v1", SERVICE(1, 2))
  expect([web.kind, called, discovery.answered]).toEqual(["service", 1, true])
  expect(discovery.lookup("10.96.0.10", 80)).toBe(web)
  expect(link.take()).toEqual([])
  expect(web.endpoints?.size).toBe(2)
})

test("deltas change endpoints, and the last version is what a new stream resumes from", () => {
  const { discovery, link, open, down, answer } = fixture()
  open()
  link.take()
  const web = discovery.lookup("10.96.0.10", 80)
  const watchId = link.subscriptions()[0]?.watchId as bigint
  answer(watchId, "v1", SERVICE(1, 2))
  answer(watchId, "v2", {
    case: "endpoints",
    value: { removed: [{ ip: IP(10, 0, 0, 1), port: 8080 }], added: [POD(3)] },
  })
  const addresses = () => [...(web.endpoints?.endpoints() ?? [])].map(endpoint => endpoint.address)
  expect(addresses()).toEqual(["10.0.0.2", "10.0.0.3"])
  down()
  expect(addresses()).toEqual(["10.0.0.2", "10.0.0.3"])
  open()
  const again = link.subscriptions().find(each => each.target.case === "outbound")
  expect(again).toMatchObject({ watchId, version: "v2" })
  answer(watchId, "v2", { case: "unchanged", value: {} })
  expect(addresses()).toEqual(["10.0.0.2", "10.0.0.3"])
})

test("of its own pod a proxy asks no proof: no proxy stands before loopback", () => {
  const { discovery, link, open, answer } = fixture()
  open()
  link.take()
  const web = discovery.lookup("10.96.0.10", 80)
  const watchId = link.subscriptions()[0]?.watchId as bigint
  const itself = { ...POD(1), pod: "cart-1", meshed: true, identity: "cart.shop" }
  const other = { ...itself, ...POD(2), pod: "cart-2" }
  const added = [itself, other]
  answer(watchId, "v1", SERVICE())
  answer(watchId, "v2", { case: "endpoints", value: { added } })
  const seen = [...(web.endpoints?.endpoints() ?? [])].map(({ info }) => [
    info.pod,
    info.identity,
    info.itself,
  ])
  expect(seen).toEqual([
    ["cart-1", "", true],
    ["cart-2", "cart.shop", false],
  ])
})

test("with the control plane gone for good, what was known still answers", () => {
  const { discovery, link, open, down, answer, wait } = fixture()
  open()
  const web = discovery.lookup("10.96.0.10", 80)
  answer(link.subscriptions().at(-1)?.watchId as bigint, "v1", SERVICE(1))
  down()
  wait(86_400_000)
  expect(discovery.lookup("10.96.0.10", 80)).toBe(web)
  expect(web.source.pick([], 0)?.address).toBe("10.0.0.1")
})

test("a new address waits for the answer, less once the control plane was lost, then goes as it came", () => {
  const { discovery, open, down, answer, link, wait } = fixture()
  const early = discovery.lookup("10.96.0.1", 80)
  let waited = 0
  early.whenKnown(() => waited++)
  wait(LOOKUP_TIMEOUT_MS - 10)
  expect(waited).toBe(0)
  wait(20)
  expect([waited, early.kind]).toEqual([1, "pending"])
  early.whenKnown(() => waited++)
  expect(waited).toBe(2)
  open()
  answer(link.subscriptions()[0]?.watchId as bigint, "v1", { case: "inbound", value: {} })
  down()
  const late = discovery.lookup("10.96.0.2", 80)
  late.whenKnown(() => waited++)
  wait(LOOKUP_TIMEOUT_LOST_MS + 10)
  expect(waited).toBe(3)
  expect(late.source.pick([], 0)?.address).toBe("10.96.0.2")
})

test("an address that nothing is known of hurries a link that waits, a known one does not", () => {
  const { discovery, link, open, down } = fixture()
  discovery.lookup("10.96.0.10", 80)
  open()
  down()
  const before = link.hurried
  discovery.lookup("10.96.0.10", 80)
  expect(link.hurried).toBe(before)
  discovery.lookup("10.96.0.11", 80)
  expect(link.hurried).toBe(before + 1)
})

test("an address given up is used as soon as its answer comes", () => {
  const { discovery, open, answer, link, wait } = fixture()
  open()
  const web = discovery.lookup("10.96.0.10", 80)
  wait(LOOKUP_TIMEOUT_MS + 10)
  expect(web.waived).toBe(true)
  answer(link.subscriptions().at(-1)?.watchId as bigint, "v1", SERVICE(1))
  expect([web.kind, web.waived]).toEqual(["service", false])
})

test("an address that is unknown now is believed to be", () => {
  const { discovery, open, answer, link } = fixture()
  open()
  const web = discovery.lookup("10.96.0.10", 80)
  const watchId = link.subscriptions().at(-1)?.watchId as bigint
  answer(watchId, "v1", SERVICE(1))
  answer(watchId, "v2", EXTERNAL)
  expect([web.kind, web.source.pick([], 0)?.address]).toEqual(["external", "10.96.0.10"])
})

test("ports of the pod follow their settings", () => {
  const { discovery, open, answer, link } = fixture()
  open()
  const mysql = discovery.inboundPort(3306)
  expect(mysql.protocol).toBe(destinationV1.Protocol.UNSPECIFIED)
  answer(link.subscriptions().at(-1)?.watchId as bigint, "v1", {
    case: "inbound",
    value: { protocol: destinationV1.Protocol.TCP },
  })
  expect(mysql.protocol).toBe(destinationV1.Protocol.TCP)
  expect(discovery.inboundPort(3306)).toBe(mysql)
})

test("answers that nobody can read or that nobody asked for change nothing", () => {
  const { discovery, open, answer, raw, link, lines } = fixture()
  open()
  const web = discovery.lookup("10.96.0.10", 80)
  const watchId = link.subscriptions().at(-1)?.watchId as bigint
  answer(999n, "v1", EXTERNAL)
  raw(Uint8Array.of(0xff, 0xff, 0xff))
  expect(web.kind).toBe("pending")
  expect(lines.at(-1)).toContain("could not be read")
  // A newer control plane's kind of answer: field 15 of WatchResponse.
  raw(Uint8Array.of(0x08, Number(watchId), 0x7a, 0x00))
  expect(web.kind).toBe("pending")
})

test("watches are bounded: the outside address unused for longest goes, services stay", () => {
  const { discovery, open, answer, link, clock } = fixture()
  open()
  link.take()
  const web = discovery.lookup("10.96.0.10", 80)
  answer(link.subscriptions()[0]?.watchId as bigint, "v1", SERVICE(1))
  const outside: bigint[] = []
  for (let i = 0; discovery.size < MAX_WATCHES; i++) {
    clock.nowMs++
    discovery.lookup(`198.51.${i >> 8}.${i & 255}`, 443)
    const watchId = link.subscriptions()[0]?.watchId as bigint
    outside.push(watchId)
    answer(watchId, "v1", EXTERNAL)
  }
  clock.nowMs++
  discovery.lookup("198.51.0.0", 443)
  discovery.lookup("203.0.113.1", 443)
  expect(discovery.size).toBe(MAX_WATCHES)
  const ended = link
    .take()
    .flatMap(request => (request.case === "unsubscribe" ? [request.value.watchId] : []))
  expect(ended).toEqual([outside[1] as bigint])
  expect(discovery.lookup("10.96.0.10", 80)).toBe(web)
})
