// A link that breaks and comes back, on a clock and a dial that tests hold in their hands.
import { expect, test } from "bun:test"
import { createLogger } from "../log.ts"
import { Conn, type ConnHandler, TimerWheel } from "../net/mod.ts"
import {
  ControlLink,
  RECONNECT_HURRIED_MS,
  RECONNECT_JITTER,
  RECONNECT_MAX_MS,
  RECONNECT_MIN_MS,
  STABLE_AFTER_MS,
} from "./control_link.ts"
import { FieldTable } from "./http2_wire.ts"

const SETTINGS = Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0)

function fixture(random = () => 0.5) {
  const clock = { nowMs: 0 }
  const timers = new TimerWheel(clock)
  const dials: { address: string; port: number; handler: ConnHandler; conn: Conn; atMs: number }[] = []
  const events: string[] = []
  const lines: string[] = []
  const names: string[] = []
  let addresses: readonly string[] | Error = ["10.0.0.1"]
  const link = new ControlLink(
    {
      onOpen: () => events.push("open"),
      onMessage: () => events.push("message"),
      onDown: reason => events.push(`down: ${reason}`),
    },
    {
      name: "destination",
      address: "conduit-destination.conduit:8086",
      path: "/x/y",
      userAgent: "test",
      clock,
      timers,
      fields: new FieldTable(),
      log: createLogger({ sink: line => lines.push(line) }),
      random,
      dial: (address, port, handler) => {
        // A connection that never opens: tests call its handler.
        const conn = new Conn(handler)
        dials.push({ address, port, handler, conn, atMs: clock.nowMs })
        return conn
      },
      resolve: async host => {
        names.push(host)
        if (addresses instanceof Error) throw addresses
        return addresses
      },
    },
  )
  return {
    link,
    clock,
    dials,
    events,
    lines,
    names,
    resolvesTo(next: readonly string[] | Error) {
      addresses = next
    },
    async settle() {
      for (let i = 0; i < 5; i++) await Promise.resolve()
    },
    /** Lets time pass in steps of the wheel. */
    async wait(ms: number) {
      for (let left = ms; left > 0; left -= 5) {
        clock.nowMs += Math.min(5, left)
        timers.advance()
        await Promise.resolve()
        await Promise.resolve()
      }
    },
    accept() {
      const last = dials.at(-1)
      last?.handler.onOpen(last.conn)
      last?.handler.onData(last.conn, SETTINGS.slice())
    },
    refuse(error: string) {
      const last = dials.at(-1)
      last?.handler.onClose(last.conn, error)
    },
  }
}

test("pauses double from 100 ms to 10 s while nothing answers", async () => {
  const { link, dials, refuse, wait, settle, clock } = fixture()
  link.start()
  await settle()
  const pauses: number[] = []
  for (let i = 0; i < 10; i++) {
    const before = dials.length
    const failedMs = clock.nowMs
    refuse("ECONNREFUSED")
    while (dials.length === before) await wait(5)
    pauses.push(clock.nowMs - failedMs)
  }
  const expected = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]
  for (const [i, pause] of pauses.entries())
    expect(Math.abs(pause - (expected[i] as number))).toBeLessThanOrEqual(10)
  link.stop()
})

test("where news are missed no pause is longer than half a second, however often that is said", async () => {
  const { link, dials, refuse, accept, wait, settle, clock } = fixture()
  link.start()
  await settle()
  for (let i = 0; i < 8; i++) {
    const before = dials.length
    refuse("ECONNREFUSED")
    while (dials.length === before) await wait(5)
  }
  refuse("ECONNREFUSED")
  const failedMs = clock.nowMs
  await wait(100)
  const before = dials.length
  while (dials.length === before) {
    link.hurry()
    await wait(5)
  }
  expect(Math.abs(clock.nowMs - failedMs - RECONNECT_HURRIED_MS)).toBeLessThanOrEqual(10)
  // Under way or up there is nothing to hurry.
  link.hurry()
  accept()
  link.hurry()
  await wait(1_000)
  expect(dials.length).toBe(before + 1)
  link.stop()
})

test("after a long pause an attempt comes at once where news are missed", async () => {
  const { link, dials, refuse, wait, settle } = fixture()
  link.start()
  await settle()
  for (let i = 0; i < 8; i++) {
    const before = dials.length
    refuse("ECONNREFUSED")
    while (dials.length === before) await wait(5)
  }
  refuse("ECONNREFUSED")
  await wait(2_000)
  const before = dials.length
  link.hurry()
  await wait(10)
  expect(dials.length).toBe(before + 1)
  link.stop()
  link.hurry()
  await wait(20_000)
  expect(dials.length).toBe(before + 1)
})

test("pauses vary by half either way, so that a mesh does not come back in step", async () => {
  for (const [random, factor] of [
    [0, 1 - RECONNECT_JITTER],
    [0.999, 1 + RECONNECT_JITTER],
  ] as const) {
    const { link, dials, refuse, wait, settle, clock } = fixture(() => random)
    link.start()
    await settle()
    refuse("ECONNREFUSED")
    while (dials.length === 1) await wait(5)
    expect(Math.abs(clock.nowMs - RECONNECT_MIN_MS * factor)).toBeLessThanOrEqual(10)
    link.stop()
  }
})

test("the name is resolved for every attempt, and an address that changed is dialled", async () => {
  const { link, dials, names, refuse, wait, settle, resolvesTo } = fixture()
  link.start()
  await settle()
  resolvesTo(["10.0.0.2"])
  refuse("EHOSTUNREACH")
  await wait(200)
  expect(names).toEqual(["conduit-destination.conduit", "conduit-destination.conduit"])
  expect(dials.map(({ address, port }) => `${address}:${port}`)).toEqual(["10.0.0.1:8086", "10.0.0.2:8086"])
  link.stop()
})

test("a name that cannot be resolved is tried again", async () => {
  const { link, dials, events, wait, settle, resolvesTo } = fixture()
  resolvesTo(new Error("ENOTFOUND"))
  link.start()
  await settle()
  expect(events).toEqual(["down: conduit-destination.conduit could not be resolved: ENOTFOUND"])
  resolvesTo(["10.0.0.1"])
  await wait(200)
  expect(dials).toHaveLength(1)
  link.stop()
})

test("a stream that lived is followed by a short pause, one that broke at once is not", async () => {
  const { link, dials, events, accept, refuse, wait, settle } = fixture()
  link.start()
  await settle()
  for (let i = 0; i < 4; i++) {
    refuse("ECONNREFUSED")
    await wait(RECONNECT_MAX_MS)
  }
  accept()
  expect([link.up, events.at(-1)]).toEqual([true, "open"])
  await wait(STABLE_AFTER_MS)
  const before = dials.length
  refuse("ECONNRESET")
  expect(link.up).toBe(false)
  await wait(RECONNECT_MIN_MS + 10)
  expect(dials.length).toBe(before + 1)
  accept()
  refuse("ECONNRESET")
  await wait(RECONNECT_MIN_MS + 10)
  expect(dials.length).toBe(before + 1)
  link.stop()
})

test("the same trouble again and again is told once", async () => {
  const { link, lines, refuse, wait, settle } = fixture()
  link.start()
  await settle()
  for (let i = 0; i < 5; i++) {
    refuse("ECONNREFUSED")
    await wait(RECONNECT_MAX_MS)
  }
  expect(lines.filter(line => line.includes("ECONNREFUSED"))).toHaveLength(1)
  link.stop()
})

test("a server that says nothing is given up, and one that stops answering PINGs too", async () => {
  const { link, dials, events, accept, wait, settle } = fixture()
  link.start()
  await settle()
  const first = dials[0]
  first?.handler.onOpen(first.conn)
  await wait(3010)
  expect(events.at(-1)).toContain("sent nothing")
  await wait(200)
  accept()
  await wait(13_050)
  expect(events.at(-1)).toContain("PING")
  link.stop()
})

test("after stop nothing is dialled any more", async () => {
  const { link, dials, refuse, wait, settle } = fixture()
  link.start()
  await settle()
  refuse("ECONNREFUSED")
  link.stop()
  await wait(60_000)
  expect(dials).toHaveLength(1)
  expect(link.counts.attempted).toBe(1)
})
