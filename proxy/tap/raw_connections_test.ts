// What taps are told of raw connections: those that open, those that were open before, and their ends.
import { expect, test } from "bun:test"
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { tapV1 } from "../../protos/mod.ts"
import { readMatch, type TapMatch } from "./match.ts"
import type { ConnectionFacts, RawConnection } from "./raw_connections.ts"
import type { Tap } from "./tap.ts"
import { TapPoint } from "./tap_point.ts"

const FACTS: Omit<ConnectionFacts, "openedMs"> = {
  inbound: true,
  client: "10.0.0.7:4000",
  clientId: "web.shop",
  server: "10.0.0.9:3306",
  serverId: "",
  tls: "true",
  protocol: "tcp",
  serverName: "",
  service: "",
  peer: "10.0.0.7",
}

const clock = { nowMs: 1000 }

function connection(facts: Partial<ConnectionFacts> = {}): RawConnection & { asked: number } {
  const openedMs = clock.nowMs
  return {
    asked: 0,
    openedMs,
    clientBytes: 12,
    serverBytes: 34,
    facts() {
      this.asked++
      return { ...FACTS, openedMs, ...facts }
    },
  }
}

type Request = MessageInitShape<typeof tapV1.WatchRequestSchema>

function matchOf(request: Request): TapMatch {
  return readMatch(toBinary(tapV1.WatchRequestSchema, create(tapV1.WatchRequestSchema, request)))
}

/** A tap, and what it was told so far. */
function look(point: TapPoint, request: Request): { tap: Tap; heard: () => tapV1.Event[] } {
  const messages: Uint8Array[] = []
  const sink = { unreadBytes: 0, send: (message: Uint8Array) => void messages.push(message), wake() {} }
  const tap = point.open(matchOf(request), sink)
  if (tap === null) throw new Error("no room for a tap")
  return {
    tap,
    heard() {
      tap.flush()
      return messages.flatMap(message => fromBinary(tapV1.WatchResponseSchema, message).events)
    },
  }
}

const cases = (events: readonly tapV1.Event[]) => events.map(({ moment }) => moment.case)

test("a raw connection is told of when it opens and when it is over, with what passed", () => {
  const point = new TapPoint(clock)
  const { heard } = look(point, { inbound: true, connections: true })
  const one = connection()
  point.opened(one)
  clock.nowMs += 250
  point.closed(one, "ECONNRESET")
  const [opened, closed] = heard()
  expect(opened?.id).toBe(closed?.id as bigint)
  const { peer: _, ...facts } = FACTS
  expect(opened?.moment).toMatchObject({ case: "opened", value: facts })
  expect(closed?.moment).toMatchObject({
    case: "closed",
    value: { afterMs: 250, clientBytes: 12n, serverBytes: 34n, error: "ECONNRESET" },
  })
})

test("who begins to look hears of those that are open, as of when they were opened, and of their ends", () => {
  const point = new TapPoint(clock)
  const [kept, ended] = [connection(), connection()]
  point.opened(kept)
  point.opened(ended)
  point.closed(ended, null)
  expect([kept.asked, ended.asked]).toEqual([0, 0])
  const before = Date.now()
  clock.nowMs += 60_000
  const { heard } = look(point, { inbound: true, connections: true })
  point.closed(kept, null)
  const events = heard()
  expect(cases(events)).toEqual(["opened", "closed"])
  const [{ moment } = { moment: { value: undefined } }] = events
  const { timeMs = 0 } = (moment.value as tapV1.ConnectionOpened | undefined) ?? {}
  expect(Math.abs(before - 60_000 - timeMs)).toBeLessThan(5_000)
})

test.each<[string, Request]>([
  ["requests", { inbound: true }],
  ["the other direction", { outbound: true, connections: true }],
  ["another client", { inbound: true, connections: true, peers: ["10.0.0.8"], peersGiven: true }],
  ["a share of which it is none", { inbound: true, connections: true, sample: 0.5 }],
])("a raw connection is not told of where %s is asked for", (_what, request) => {
  const point = new TapPoint(clock, () => 0.7)
  const { heard } = look(point, request)
  const one = connection()
  point.opened(one)
  point.closed(one, null)
  expect(heard()).toEqual([])
})

test("a tap that asks for other clients hears of what these have open, and of nothing twice", () => {
  const point = new TapPoint(clock)
  const ask = (...peers: string[]) => ({ inbound: true, connections: true, peers, peersGiven: true })
  const { tap, heard } = look(point, ask("10.0.0.8"))
  const [seven, eight] = [connection(), connection({ peer: "10.0.0.8" })]
  point.opened(seven)
  point.opened(eight)
  expect(cases(heard())).toEqual(["opened"])
  point.replace(tap, matchOf(ask("10.0.0.7", "10.0.0.8")))
  expect(cases(heard())).toEqual(["opened", "opened"])
})

test("a tap that is over is told of nothing, and others go on", () => {
  const point = new TapPoint(clock)
  const [first, second] = [1, 2].map(() => look(point, { inbound: true, connections: true }))
  const one = connection()
  point.opened(one)
  if (first !== undefined) point.close(first.tap)
  point.closed(one, null)
  expect(cases(first?.heard() ?? [])).toEqual(["opened"])
  expect(cases(second?.heard() ?? [])).toEqual(["opened", "closed"])
})

test("no more connections a second are told of than asked for, with the ends of those only", () => {
  const point = new TapPoint(clock)
  const { heard, tap } = look(point, { inbound: true, connections: true, maxRps: 2 })
  const all = Array.from({ length: 5 }, () => connection())
  for (const one of all) point.opened(one)
  for (const one of all) point.closed(one, null)
  expect(cases(heard())).toEqual(["opened", "opened", "closed", "closed"])
  expect(tap.limited).toBe(3)
})
