// What a tap is told of, held to what the protobuf library reads; and what a slow reader costs.
import { expect, test } from "bun:test"
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { tapV1 } from "../../protos/mod.ts"
import { readMatch } from "./match.ts"
import { MAX_TAP_BATCH, MAX_TAP_UNREAD_BYTES, type Tap } from "./tap.ts"
import { MAX_TAPS, TapPoint } from "./tap_point.ts"
import type { TapLabels, TapRequestHead } from "./tapped.ts"

const SOURCE = { peer: "10.0.0.7:4000", destination: "10.0.0.9:80" }
const INBOUND: TapLabels = {
  direction: 0,
  dstService: "",
  dstNamespace: "",
  tls: "true",
  clientId: "web.shop.serviceaccount.identity.conduit.cluster.local",
  route: "",
}
const OUTBOUND: TapLabels = {
  ...INBOUND,
  direction: 1,
  tls: null,
  clientId: "",
  dstService: "api",
  dstNamespace: "shop",
  route: "r/0",
}
const ENDPOINT = { address: "10.0.0.9", port: 8080, info: { identity: "api.shop.id" } }

function head(path: string, fields: readonly [string, string][] = [], method = "GET"): TapRequestHead {
  return {
    method,
    authority: "api.shop",
    path,
    header: () => undefined,
    fieldsTo: visit => {
      for (const [name, value] of fields) visit(name, value)
    },
  }
}

/** A tap on a point whose clock and reader the test drives. */
class Stage {
  readonly clock = { nowMs: 1000 }
  readonly messages: Uint8Array[] = []
  unreadBytes = 0
  readonly point: TapPoint
  readonly tap: Tap

  constructor(request: MessageInitShape<typeof tapV1.WatchRequestSchema>, random = () => 0) {
    this.point = new TapPoint(this.clock, random)
    const match = readMatch(toBinary(tapV1.WatchRequestSchema, create(tapV1.WatchRequestSchema, request)))
    const stage = this
    const tap = this.point.open(match, {
      get unreadBytes() {
        return stage.unreadBytes
      },
      send: message => stage.messages.push(message),
      wake: () => {},
    })
    if (tap === null) throw new Error("no room for a tap")
    this.tap = tap
  }

  /** One request from its head to its end, `ms` later. */
  request(labels: TapLabels, what: TapRequestHead, status = 200, ms = 5, failed = false): void {
    const { clock } = this
    const tapped = this.point.begin(SOURCE, labels, what, clock.nowMs)
    tapped?.picked(ENDPOINT, "true")
    clock.nowMs += ms
    tapped?.head(status, clock.nowMs)
    tapped?.ended(status, -1, failed, "", 12, clock.nowMs)
  }

  heard(): tapV1.WatchResponse[] {
    this.tap.flush()
    return this.messages.map(message => fromBinary(tapV1.WatchResponseSchema, message))
  }

  moments(): string[] {
    return this.heard().flatMap(({ events }) => events.map(({ id, moment }) => `${id} ${moment.case}`))
  }
}

test("a request is told of when it begins, when it is answered and when it is over", () => {
  const stage = new Stage({ outbound: true, headers: 2 })
  stage.request(
    OUTBOUND,
    head("/a?b=1", [
      ["accept", "*/*"],
      ["authorization", "Bearer abc"],
    ]),
    503,
    7,
    true,
  )
  const [message] = stage.heard()
  expect(message?.events.map(({ moment }) => moment.case)).toEqual(["begun", "head", "ended"])
  const [begun, answered, ended] = message?.events.map(({ moment }) => moment.value) ?? []
  expect(begun).toMatchObject({
    inbound: false,
    client: "10.0.0.7:4000",
    server: "10.0.0.9:8080",
    serverId: "api.shop.id",
    tls: "true",
    method: "GET",
    scheme: "http",
    authority: "api.shop",
    path: "/a?b=1",
    route: "r/0",
    service: "api.shop",
    headers: [
      { name: "accept", value: "*/*" },
      { name: "authorization", value: "[redacted]" },
    ],
  })
  expect(answered).toMatchObject({ status: 503, afterMs: 7 })
  expect(ended).toMatchObject({ status: 503, afterMs: 7, responseBytes: 12n, failed: true })
})

test("values of header fields are told only where they are asked for, and secrets never", () => {
  const fields: [string, string][] = [
    ["x-user", "jo"],
    ["cookie", "a=b"],
    ["x-api-key", "k"],
    ["x-csrf-token", "t"],
  ]
  for (const [headers, values] of [
    [0, []],
    [1, ["[redacted]", "[redacted]", "[redacted]", "[redacted]"]],
    [2, ["jo", "[redacted]", "[redacted]", "[redacted]"]],
  ] as const) {
    const stage = new Stage({ inbound: true, headers })
    stage.request(INBOUND, head("/", fields))
    const begun = stage.heard()[0]?.events[0]?.moment.value as tapV1.RequestBegun
    expect(begun.headers.map(({ value }) => value)).toEqual([...values])
  }
})

test.each([
  ["another direction", { outbound: true }],
  ["another method", { inbound: true, method: "POST" }],
  ["another path", { inbound: true, pathPrefix: "/b" }],
  ["a path that is no match", { inbound: true, pathRegex: "/a/[0-9]+" }],
  ["another authority", { inbound: true, authority: "web.shop" }],
  ["another client", { inbound: true, peers: ["10.0.0.8"], peersGiven: true }],
  ["no client at all", { inbound: true, peersGiven: true }],
  ["a slower one", { inbound: true, minLatencyMs: 6 }],
  ["a failed one", { inbound: true, failuresOnly: true }],
  ["a higher status", { inbound: true, statusFrom: 300 }],
  ["a lower status", { inbound: true, statusTo: 199 }],
])("a request is not told of where %s is asked for", (_what, request) => {
  const stage = new Stage(request)
  stage.request(INBOUND, head("/a/x?y=/b"))
  expect(stage.moments()).toEqual([])
})

test.each<MessageInitShape<typeof tapV1.WatchRequestSchema>>([
  { inbound: true, method: "GET", pathPrefix: "/a", authority: "api.shop" },
  { inbound: true, pathRegex: "/a/[a-z]+" },
  { inbound: true, peers: ["10.0.0.7"], peersGiven: true },
  { inbound: true, minLatencyMs: 5 },
  { inbound: true, statusFrom: 200, statusTo: 299 },
])("a request is told of where %j is asked for", request => {
  const stage = new Stage(request)
  stage.request(INBOUND, head("/a/x?y=/b"))
  expect(stage.moments()).toEqual(["1 begun", "1 head", "1 ended"])
})

test("of what is sent, only requests to the endpoints that are asked for are told of", () => {
  const stage = new Stage({ outbound: true, peers: ["10.0.0.9"], peersGiven: true })
  stage.request(OUTBOUND, head("/"))
  const unpicked = stage.point.begin(SOURCE, OUTBOUND, head("/"), 0)
  unpicked?.ended(503, -1, true, "no-endpoint", 0, 1)
  const elsewhere = stage.point.begin(SOURCE, OUTBOUND, head("/"), 0)
  elsewhere?.picked({ ...ENDPOINT, address: "10.0.0.10" }, "true")
  elsewhere?.ended(200, -1, false, "", 0, 1)
  expect(stage.moments()).toEqual(["1 begun", "1 head", "1 ended"])
})

test("a request that found no endpoint is told of whole, with the id of its refusal", () => {
  const stage = new Stage({ outbound: true })
  const tapped = stage.point.begin(SOURCE, OUTBOUND, head("/"), 0)
  tapped?.refused("no-endpoint; id=abc123")
  tapped?.ended(503, -1, true, "no-endpoint", 0, 1)
  const events = stage.heard().flatMap(message => message.events)
  expect(events[0]?.moment.value).toMatchObject({ server: "10.0.0.9:80" })
  expect(events[1]?.moment.value).toMatchObject({ status: 503, error: "no-endpoint", errorId: "abc123" })
})

test("no more requests a second are told of than asked for, and the others are counted", () => {
  const stage = new Stage({ inbound: true, maxRps: 3 })
  for (let i = 0; i < 10; i++) stage.request(INBOUND, head("/"), 200, 1)
  stage.clock.nowMs += 1000
  stage.request(INBOUND, head("/"), 200, 1)
  expect(stage.moments().filter(moment => moment.endsWith("begun"))).toHaveLength(4)
  expect(stage.heard().at(-1)?.limited).toBe(7n)
})

test("a share of the requests is told of where a share is asked for", () => {
  let next = 0
  const stage = new Stage({ inbound: true, sample: 0.1 }, () => (next++ % 10) / 10)
  for (let i = 0; i < 100; i++) stage.request(INBOUND, head("/"))
  expect(stage.moments().filter(moment => moment.endsWith("begun"))).toHaveLength(10)
})

test("what a slow reader does not take is dropped and counted, a request once", () => {
  const stage = new Stage({ inbound: true })
  stage.request(INBOUND, head("/"))
  stage.unreadBytes = MAX_TAP_UNREAD_BYTES + 1
  for (let i = 0; i < 1000; i++) stage.request(INBOUND, head("/"))
  stage.unreadBytes = 0
  stage.request(INBOUND, head("/"))
  const heard = stage.heard()
  expect(heard.flatMap(({ events }) => events)).toHaveLength(6)
  expect(heard.at(-1)?.dropped).toBe(1000n)
})

test("events leave in batches, so that a full one does not wait", () => {
  const stage = new Stage({ inbound: true })
  for (let i = 0; i < MAX_TAP_BATCH; i++) stage.request(INBOUND, head("/"))
  expect(stage.messages).toHaveLength(3)
})

test("nothing is made for a request that nobody looks at", () => {
  const stage = new Stage({ inbound: true })
  expect(stage.point.on).toBe(true)
  stage.point.close(stage.tap)
  expect(stage.point.on).toBe(false)
  expect(stage.point.begin(SOURCE, INBOUND, head("/"), 0)).toBeNull()
})

test("several taps of one proxy are told of a request each, and there is a limit to them", () => {
  const stage = new Stage({ inbound: true })
  const sink = { unreadBytes: 0, send: (message: Uint8Array) => others.push(message), wake: () => {} }
  const others: Uint8Array[] = []
  const match = stage.tap.match
  const second = stage.point.open(match, sink)
  for (let i = 2; i < MAX_TAPS; i++) expect(stage.point.open(match, sink)).not.toBeNull()
  expect(stage.point.open(match, sink)).toBeNull()
  stage.request(INBOUND, head("/"))
  second?.flush()
  expect(stage.moments()).toHaveLength(3)
  expect(fromBinary(tapV1.WatchResponseSchema, others[0] as Uint8Array).events).toHaveLength(3)
})
