// The timer wheel against a list of deadlines, the clock driven by hand.
import { expect, test } from "bun:test"
import fc from "fast-check"
import type { Clock } from "./clock.ts"
import { callbackTimer, type Timer, TimerWheel, WHEEL_SLOTS, WHEEL_TICK_MS } from "./timer_wheel.ts"

test("a timer fires once, not early, and within a tick", () => {
  const clock: Clock = { nowMs: 3 }
  const wheel = new TimerWheel(clock)
  let fired = 0
  const timer = callbackTimer(() => fired++)
  wheel.schedule(timer, 20)
  clock.nowMs = 22.9
  wheel.advance()
  expect(fired).toBe(0)
  clock.nowMs = 23 + WHEEL_TICK_MS
  wheel.advance()
  wheel.advance()
  expect(fired).toBe(1)
  expect(wheel.size).toBe(0)
})

test("a timer may cancel another one that is due in the same tick", () => {
  const clock: Clock = { nowMs: 0 }
  const wheel = new TimerWheel(clock)
  const seen: string[] = []
  const second = callbackTimer(() => seen.push("second"))
  const first = callbackTimer(() => {
    seen.push("first")
    wheel.cancel(second)
  })
  wheel.schedule(first, 10)
  wheel.schedule(second, 10)
  clock.nowMs = 50
  wheel.advance()
  expect(seen).toEqual(["first"])
})

test("a timer that schedules itself again does not hold the wheel up", () => {
  const clock: Clock = { nowMs: 0 }
  const wheel = new TimerWheel(clock)
  let fired = 0
  const timer: Timer = callbackTimer(() => {
    fired++
    wheel.schedule(timer, 0)
  })
  wheel.schedule(timer, 0)
  clock.nowMs = 10 * WHEEL_TICK_MS
  wheel.advance()
  expect(fired).toBeGreaterThan(0)
  expect(fired).toBeLessThanOrEqual(10)
})

test("an idle wheel asks for no wake-up before something can be due", () => {
  const clock: Clock = { nowMs: 0 }
  const wakes: number[] = []
  const wheel = new TimerWheel(clock, delayMs => wakes.push(delayMs))
  wheel.schedule(
    callbackTimer(() => {}),
    1000,
  )
  expect(wakes).toEqual([1000])
  wheel.schedule(
    callbackTimer(() => {}),
    2000,
  )
  expect(wakes).toHaveLength(1)
  wheel.schedule(
    callbackTimer(() => {}),
    100,
  )
  expect(wakes).toEqual([1000, 100])
})

test("any sequence of schedule, cancel and advance fires exactly what is due", () => {
  const operation = fc.oneof(
    fc.record({
      kind: fc.constant("schedule" as const),
      id: fc.nat(20),
      delay: fc.nat(3 * WHEEL_SLOTS * WHEEL_TICK_MS),
    }),
    fc.record({ kind: fc.constant("cancel" as const), id: fc.nat(20), delay: fc.constant(0) }),
    fc.record({
      kind: fc.constant("advance" as const),
      id: fc.constant(0),
      delay: fc.nat(2 * WHEEL_SLOTS * WHEEL_TICK_MS),
    }),
  )
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), operations => {
      const clock: Clock = { nowMs: 0.5 }
      const wheel = new TimerWheel(clock)
      const due = new Map<number, number>()
      const fired: number[] = []
      const timers = Array.from({ length: 21 }, (_, id) => callbackTimer(() => fired.push(id)))
      for (const { kind, id, delay } of operations) {
        const timer = timers[id] as Timer
        if (kind === "schedule") {
          wheel.schedule(timer, delay)
          due.set(id, clock.nowMs + delay)
        } else if (kind === "cancel") {
          wheel.cancel(timer)
          due.delete(id)
        } else {
          clock.nowMs += delay
          fired.length = 0
          wheel.advance()
          for (const one of fired) {
            if ((due.get(one) ?? Number.POSITIVE_INFINITY) > clock.nowMs) return false
            due.delete(one)
          }
          for (const deadline of due.values()) if (deadline + WHEEL_TICK_MS <= clock.nowMs) return false
        }
        if (wheel.size !== due.size) return false
      }
      return true
    }),
    { numRuns: 500 },
  )
})
