// From TERM to the end, the clock driven by hand.
import { expect, test } from "bun:test"
import { DRAIN_WINDOW_MS, Lifecycle, OUTBOUND_QUIET_MS } from "./lifecycle.ts"
import { createLogger } from "./log.ts"
import { type Clock, TimerWheel } from "./net/mod.ts"

function fixture(graceMs: number) {
  const clock: Clock = { nowMs: 0 }
  const timers = new TimerWheel(clock)
  const state = { open: 0, outboundUsedMs: Number.NEGATIVE_INFINITY, exits: 0, drains: 0, closings: 0 }
  const lifecycle = new Lifecycle({
    clock,
    timers,
    log: createLogger({ sink() {} }),
    graceMs,
    openConnections: () => state.open,
    outboundUsedMs: () => state.outboundUsedMs,
    drain: () => state.drains++,
    closeIdle: () => state.closings++,
    exit: () => state.exits++,
  })
  const pass = (ms: number) => {
    for (let i = 0; i < ms; i += 10) {
      clock.nowMs += 10
      timers.advance()
    }
  }
  return { clock, lifecycle, state, pass }
}

test("with nothing open the end comes after the drain window, not before", () => {
  const { lifecycle, state, pass } = fixture(30_000)
  lifecycle.terminate("SIGTERM")
  expect(state.drains).toBe(1)
  pass(DRAIN_WINDOW_MS - 200)
  expect(state.exits).toBe(0)
  pass(500)
  expect(state.exits).toBe(1)
})

test("what is open holds the end up until it has ended", () => {
  const { lifecycle, state, pass } = fixture(30_000)
  state.open = 1
  lifecycle.terminate("SIGTERM")
  pass(DRAIN_WINDOW_MS - 200)
  expect(state.closings).toBe(0)
  pass(20_000)
  expect(state.closings).toBeGreaterThan(0)
  expect(state.exits).toBe(0)
  state.open = 0
  pass(300)
  expect(state.exits).toBe(1)
})

test("an application that goes on calling is served to the last, one short connection after the other", () => {
  const { clock, lifecycle, state, pass } = fixture(30_000)
  lifecycle.terminate("SIGTERM")
  for (let i = 0; i < 10; i++) {
    state.outboundUsedMs = clock.nowMs
    pass(OUTBOUND_QUIET_MS / 2)
  }
  expect(state.exits).toBe(0)
  pass(OUTBOUND_QUIET_MS)
  expect(state.exits).toBe(1)
})

test("the grace period cuts what does not end", () => {
  const { lifecycle, state, pass } = fixture(5_000)
  state.open = 1
  lifecycle.terminate("SIGTERM")
  pass(5_200)
  expect(state.exits).toBe(1)
})

test("a second TERM ends at once, and the end comes once", () => {
  const { lifecycle, state, pass } = fixture(30_000)
  state.open = 1
  lifecycle.terminate("SIGTERM")
  lifecycle.terminate("SIGTERM")
  expect(state.exits).toBe(1)
  state.open = 0
  pass(10_000)
  expect(state.exits).toBe(1)
})
