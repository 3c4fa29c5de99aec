// Retries, budgets, breakers, deadlines and weights on a clock and dice that the test drives.

import { expect, test } from "bun:test"
import fc from "fast-check"
import { CIRCUIT_OPEN, CircuitBreaker, EndpointSet, isPanic, PROBE_LIMIT_MS } from "../balance/mod.ts"
import {
  Attempts,
  BACKOFF_MAX_FACTOR,
  formatGrpcTimeout,
  NO_BACKEND,
  NO_FILTERS,
  NO_GRPC_TIMEOUT,
  NO_ROUTES,
  NO_TIMEOUTS,
  NOT_AGAIN,
  PUSHBACK_NEVER,
  PUSHBACK_NONE,
  parseGrpcTimeout,
  pushbackMs,
  RETRY_MIN_PER_SECOND,
  RETRY_RATIO,
  RETRY_WINDOW_MS,
  RetryBudget,
  RetryRule,
  ROUTE_KIND_GRPC,
  ROUTE_KIND_HTTP,
  ROUTE_KIND_TCP,
  type RoutesConfig,
  requestDeadlineMs,
  ServiceRoutes,
  WeightedPick,
} from "./mod.ts"

const RETRY = { codes: [503], grpcCodes: [14], attempts: 2, backoffMs: 0, anyMethod: false }
const ACCRUAL = { maxFailures: 3, minPenaltyMs: 1000, maxPenaltyMs: 4000 }

function attempts(idempotent = true, deadline = Number.POSITIVE_INFINITY, budget = new RetryBudget()) {
  return new Attempts(new RetryRule(RETRY), budget, idempotent, deadline)
}

test("a listed status is asked for again, as often as the rule says, after growing pauses", () => {
  const request = attempts()
  expect(request.afterResponse(503, 0, PUSHBACK_NONE, true, 0, 0)).toBe(25)
  expect(request.afterResponse(503, 0, PUSHBACK_NONE, true, 0, 0)).toBe(50)
  expect(request.afterResponse(503, 0, PUSHBACK_NONE, true, 0, 0)).toBe(NOT_AGAIN)
})

test("what is not listed, not idempotent, or no longer here is passed on", () => {
  expect(attempts().afterResponse(500, 0, PUSHBACK_NONE, true, 0, 0)).toBe(NOT_AGAIN)
  expect(attempts(false).afterResponse(503, 0, PUSHBACK_NONE, true, 0, 0)).toBe(NOT_AGAIN)
  expect(attempts(false).afterSilence(true, 0, 0)).toBe(NOT_AGAIN)
  expect(attempts().afterResponse(503, 0, PUSHBACK_NONE, false, 0, 0)).toBe(NOT_AGAIN)
  expect(new Attempts(null, new RetryBudget(), true).afterSilence(true, 0, 0)).toBe(NOT_AGAIN)
  expect(attempts().afterSilence(true, 0, 0)).toBe(25)
})

test("a listed gRPC status means gRPC's POST, and the server's pushback is honoured", () => {
  expect(attempts(false).afterResponse(200, 14, 300, true, 0, 0)).toBe(300)
  expect(attempts(false).afterResponse(200, 14, PUSHBACK_NEVER, true, 0, 0)).toBe(NOT_AGAIN)
  expect(attempts(false).afterResponse(200, 13, PUSHBACK_NONE, true, 0, 0)).toBe(NOT_AGAIN)
  expect([undefined, "0", "250", "-1", "x", "", "999999999"].map(pushbackMs)).toEqual([
    PUSHBACK_NONE,
    0,
    250,
    PUSHBACK_NEVER,
    PUSHBACK_NEVER,
    PUSHBACK_NEVER,
    PUSHBACK_NEVER,
  ])
})

test("no pause that outlasts the request's deadline", () => {
  expect(attempts(true, 25).afterResponse(503, 0, PUSHBACK_NONE, true, 0, 0)).toBe(NOT_AGAIN)
  expect(attempts(true, 26).afterResponse(503, 0, PUSHBACK_NONE, true, 0, 0)).toBe(25)
})

test("pauses stay within their bounds, whatever the dice", () => {
  fc.assert(
    fc.property(
      fc.nat(60),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.nat(1000),
      (attempt, random, backoffMs) => {
        const pause = new RetryRule({ ...RETRY, backoffMs }).pauseMs(attempt + 1, random)
        const base = backoffMs || 25
        expect(pause).toBeGreaterThanOrEqual(base / 2)
        expect(pause).toBeLessThanOrEqual(base * BACKOFF_MAX_FACTOR)
      },
    ),
  )
})

test("the budget is never exceeded in any window, whatever comes when", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(700), fc.boolean()), { maxLength: 600 }), steps => {
      const budget = new RetryBudget()
      const sent: number[] = []
      const again: number[] = []
      let now = 0
      for (const [wait, first] of steps) {
        now += wait < 600 ? 0 : wait
        if (first) {
          budget.deposit(now)
          sent.push(now)
        } else if (budget.withdraw(now)) {
          again.push(now)
          const since = now - RETRY_WINDOW_MS
          const allowed =
            (RETRY_MIN_PER_SECOND * RETRY_WINDOW_MS) / 1000 +
            RETRY_RATIO * sent.filter(at => at > since).length
          // What left the window's oldest part early only makes the budget smaller than this.
          expect(again.filter(at => at > since + RETRY_WINDOW_MS / 10).length).toBeLessThanOrEqual(allowed)
        }
      }
    }),
    { seed: 11, numRuns: 300 },
  )
})

test("the budget's reserve is there for a quiet service, and comes back", () => {
  const budget = new RetryBudget()
  let granted = 0
  for (let i = 0; i < 1000; i++) if (budget.withdraw(0)) granted++
  expect(granted).toBe(100)
  expect(budget.withdraw(RETRY_WINDOW_MS - 1)).toBe(false)
  expect(budget.withdraw(RETRY_WINDOW_MS)).toBe(true)
})

test("a breaker opens after failures in a row, lets one probe through, and doubles its penalty", () => {
  const breaker = new CircuitBreaker(ACCRUAL)
  breaker.failed(0, 0)
  breaker.failed(0, 0)
  breaker.succeeded(0)
  breaker.failed(0, 0)
  breaker.failed(0, 0)
  expect(breaker.admits(0)).toBe(true)
  breaker.failed(0, 0)
  expect(breaker.state).toBe(CIRCUIT_OPEN)
  expect(breaker.admits(999)).toBe(false)
  expect(breaker.admits(1000)).toBe(true)
  breaker.sent(1000)
  expect(breaker.admits(1000)).toBe(false)
  breaker.failed(1100, 0)
  expect(breaker.admits(3099)).toBe(false)
  expect(breaker.admits(3100)).toBe(true)
  breaker.sent(3100)
  breaker.failed(3100, 1)
  expect(breaker.admits(3100 + 5999)).toBe(false)
  expect(breaker.admits(3100 + 6000)).toBe(true)
  breaker.sent(9100)
  breaker.succeeded(9101)
  expect(breaker.admits(9101)).toBe(true)
  breaker.failed(9101, 0)
  expect(breaker.admits(9101)).toBe(true)
})

test("a late answer to a request of before does not close an open circuit", () => {
  const breaker = new CircuitBreaker(ACCRUAL)
  for (let i = 0; i < 3; i++) breaker.failed(0, 0)
  breaker.succeeded(10)
  expect(breaker.admits(10)).toBe(false)
})

test("a probe whose answer never comes does not shut the endpoint out for good", () => {
  const breaker = new CircuitBreaker(ACCRUAL)
  for (let i = 0; i < 3; i++) breaker.failed(0, 0)
  breaker.sent(1000)
  expect(breaker.admits(1000 + PROBE_LIMIT_MS - 1)).toBe(false)
  expect(breaker.admits(1000 + PROBE_LIMIT_MS)).toBe(true)
})

test("a success rate below four fifths opens a breaker that counts it, even if failures are never in a row", () => {
  const breaker = new CircuitBreaker({ ...ACCRUAL, maxFailures: 0 }, true)
  let opened = 0
  for (let i = 0; i < 30 && opened === 0; i++) {
    if (i % 3 === 0) breaker.failed(i, 0)
    else breaker.succeeded(i)
    if (!breaker.admits(i)) opened = i
  }
  expect(opened).toBeGreaterThanOrEqual(4)
  const calm = new CircuitBreaker({ ...ACCRUAL, maxFailures: 0 }, true)
  for (let i = 1; i < 1000; i++) {
    if (i % 10 === 0) calm.failed(i * 10, 0)
    else calm.succeeded(i * 10)
  }
  expect(calm.admits(10_000)).toBe(true)
})

test("with more than half left out, all are used", () => {
  expect(isPanic(5, 10)).toBe(false)
  expect(isPanic(6, 10)).toBe(true)
  expect(isPanic(1, 1)).toBe(true)
})

test("shares follow weights within bounds, zero weights get nothing", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 8 }), weights => {
      const backends = weights.map(weight => ({ weight, backend: 0, fault: "", filters: {} as never }))
      const pick = new WeightedPick(backends)
      const sum = weights.reduce((a, b) => a + b, 0)
      const counts = new Array<number>(weights.length).fill(0)
      const draws = 2000
      for (let i = 0; i < draws; i++) {
        const index = pick.pick((i + 0.5) / draws)
        if (sum === 0) expect(index).toBe(NO_BACKEND)
        else counts[index] = (counts[index] ?? 0) + 1
      }
      if (sum > 0) {
        for (const [i, weight] of weights.entries())
          expect(Math.abs((counts[i] ?? 0) - (draws * weight) / sum)).toBeLessThanOrEqual(1)
      }
    }),
  )
})

test("grpc-timeout is read and written; a server never gets more than is left", () => {
  const read = (text: string) => parseGrpcTimeout(text)
  expect(["1H", "2M", "3S", "4m", "5000u", "6000000n"].map(read)).toEqual([3_600_000, 120_000, 3000, 4, 5, 6])
  expect(["", "S", "1", "1s", "123456789m", "-1S", "1.5S"].map(read)).toEqual(Array(7).fill(NO_GRPC_TIMEOUT))
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e13, noNaN: true }), ms => {
      const back = parseGrpcTimeout(formatGrpcTimeout(ms))
      expect(back).toBeLessThanOrEqual(ms)
      if (ms < 1e11) expect(ms - back).toBeLessThan(Math.max(0.001, ms / 1e4))
    }),
  )
})

test("the shorter of the route's and the caller's timeout holds", () => {
  const timeouts = { ...NO_TIMEOUTS, requestMs: 100 }
  expect(requestDeadlineMs(timeouts, 5, NO_GRPC_TIMEOUT)).toBe(105)
  expect(requestDeadlineMs(timeouts, 5, 30)).toBe(35)
  expect(requestDeadlineMs(NO_TIMEOUTS, 5, NO_GRPC_TIMEOUT)).toBe(Number.POSITIVE_INFINITY)
})

test("shares are those of the weights, and none is of what has no weight", () => {
  const backend = (weight: number) => ({ weight, backend: 0, filters: NO_FILTERS, fault: "" })
  const pick = new WeightedPick([backend(3), backend(0), backend(1)])
  expect([0, 1, 2, 3].map(index => pick.share(index))).toEqual([0.75, 0, 0.25, 0])
  expect(new WeightedPick([backend(0)]).share(0)).toBe(0)
})

test("settings of endpoints alone leave requests as they are; retries, timeouts, faults and routes do not", () => {
  const isNeutral = (more: Partial<RoutesConfig>): boolean =>
    ServiceRoutes.replace(null, { ...NO_ROUTES, ...more }, [], new EndpointSet(Math.random), 0).isNeutral
  const balancing = { slowStartMs: 5, preferZone: true, byClient: true }
  expect(isNeutral({ accrual: ACCRUAL, balancing })).toBe(true)
  expect(isNeutral({ kind: ROUTE_KIND_TCP })).toBe(true)
  const fault = { delayMs: 1, delayPercent: 1, abortStatus: 0, abortPercent: 0 }
  const some: readonly Partial<RoutesConfig>[] = [
    { retry: RETRY },
    { injected: fault },
    { kind: ROUTE_KIND_HTTP },
    { kind: ROUTE_KIND_GRPC },
    ...(["requestMs", "backendRequestMs", "responseMs", "idleMs"] as const).map(name => ({
      timeouts: { ...NO_TIMEOUTS, [name]: 1 },
    })),
  ]
  expect(some.map(isNeutral)).toEqual(some.map(() => false))
})
