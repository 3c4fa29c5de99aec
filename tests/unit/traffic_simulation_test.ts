// What balancing, retry budgets and breakers promise, in simulated time with seeds that are printed. What an end-to-end
// run shows with three servers is shown here with ten, for minutes, in a second.

import { expect, test } from "bun:test"
import { CircuitBreaker, isPanic } from "../../proxy/balance/mod.ts"
import { Attempts, NOT_AGAIN, RetryBudget, RetryRule } from "../../proxy/route/mod.ts"
import { p99Of, type Trouble } from "../simulation/balancing.ts"
import { exponential, SimulatedTime, seeded } from "../simulation/time.ts"

const SEEDS = [1, 2, 3]

for (const trouble of ["slow", "dead", "flapping"] as readonly Trouble[]) {
  test(`with one of ten endpoints ${trouble}, peak EWMA beats round robin and least requests at p99`, () => {
    for (const seed of SEEDS) {
      const ewma = p99Of("peak-ewma", trouble, seed)
      const roundRobin = p99Of("round-robin", trouble, seed)
      const leastRequests = p99Of("least-requests", trouble, seed)
      console.log(
        `seed ${seed}, ${trouble}: p99 ${ewma.toFixed(0)} ms by peak EWMA, ${roundRobin.toFixed(0)} round robin, ${leastRequests.toFixed(0)} least requests`,
      )
      expect(ewma).toBeLessThan(roundRobin)
      expect(ewma).toBeLessThan(leastRequests)
    }
  })
}

test("under total failure the budget bounds what is sent to a fifth more than was asked, and the reserve", () => {
  for (const seed of SEEDS) {
    const time = new SimulatedTime()
    const random = seeded(seed)
    const budget = new RetryBudget()
    const rule = new RetryRule({ codes: [503], grpcCodes: [], attempts: 5, backoffMs: 0, anyMethod: true })
    let asked = 0
    let sent = 0
    const attempt = (attempts: Attempts): void => {
      sent++
      time.after(exponential(5, random), () => {
        const pause = attempts.afterResponse(503, 0, -1, true, time.nowMs, random())
        if (pause !== NOT_AGAIN) time.after(pause, () => attempt(attempts))
      })
    }
    const arrive = (): void => {
      asked++
      budget.deposit(time.nowMs)
      attempt(new Attempts(rule, budget, true))
      time.after(exponential(1, random), arrive)
    }
    arrive()
    time.run(60_000)
    console.log(`seed ${seed}: ${asked} asked, ${sent} sent, ${(sent / asked).toFixed(3)} times`)
    // 10 a second of 1,000 are the reserve; one tenth of a window is the budget's grain.
    expect(sent / asked).toBeLessThanOrEqual(1.2 + 0.01 + 0.01)
    expect(sent / asked).toBeGreaterThan(1.15)
  }
})

/** Ten endpoints behind breakers, one of which fails between two times. */
function breakerRun(seed: number, failing: (endpoint: number, nowMs: number) => boolean) {
  const time = new SimulatedTime()
  const random = seeded(seed)
  const breakers = Array.from(
    { length: 10 },
    () => new CircuitBreaker({ maxFailures: 7, minPenaltyMs: 1000, maxPenaltyMs: 8000 }),
  )
  const hits: { readonly endpoint: number; readonly atMs: number; readonly good: boolean }[] = []
  const arrive = (): void => {
    const open = breakers.map((breaker, i) => (breaker.admits(time.nowMs) ? i : -1)).filter(i => i >= 0)
    const usable = isPanic(10 - open.length, 10) ? breakers.map((_, i) => i) : open
    const chosen = usable[Math.floor(random() * usable.length)] ?? 0
    breakers[chosen]?.sent(time.nowMs)
    const good = !failing(chosen, time.nowMs)
    hits.push({ endpoint: chosen, atMs: time.nowMs, good })
    if (good) breakers[chosen]?.succeeded(time.nowMs)
    else breakers[chosen]?.failed(time.nowMs, random())
    time.after(exponential(1, random), arrive)
  }
  arrive()
  time.run(60_000)
  return hits
}

test("a breaker ejects an endpoint within its rule, asks by single probes, and takes it back", () => {
  for (const seed of SEEDS) {
    const hits = breakerRun(seed, (endpoint, now) => endpoint === 0 && now > 10_000 && now < 30_000)
    const failures = hits.filter(({ good }) => !good)
    // 7 in a row, then one probe for each pause: 1, 2, 4, 8, 8 s and up to half more.
    expect(failures.length).toBeGreaterThanOrEqual(7)
    expect(failures.length).toBeLessThanOrEqual(7 + 5)
    const back = hits.find(({ endpoint, atMs }) => endpoint === 0 && atMs >= 30_000)
    const ejectedMs = (failures[6]?.atMs ?? 0) - 10_000
    console.log(
      `seed ${seed}: ejected after ${ejectedMs.toFixed(0)} ms, ${failures.length} failures, back ${((back?.atMs ?? 0) - 30_000).toFixed(0)} ms after recovery`,
    )
    expect(back?.atMs).toBeLessThan(30_000 + 12_000 + 100)
    const share = hits.filter(({ endpoint, atMs }) => endpoint === 0 && atMs > 45_000).length
    expect(share / hits.filter(({ atMs }) => atMs > 45_000).length).toBeCloseTo(0.1, 1)
  }
})

test("when more than half fail, all are used: the breaker never takes the last ones away", () => {
  const hits = breakerRun(1, (endpoint, now) => now > 10_000 && now < 30_000 && endpoint < 8)
  const during = hits.filter(({ atMs }) => atMs > 12_000 && atMs < 30_000)
  const perSecond = during.length / 18
  expect(perSecond).toBeGreaterThan(900)
  const used = new Set(during.map(({ endpoint }) => endpoint))
  expect(used.size).toBe(10)
})

test("when an endpoint comes back, 200 proxies do not come back at once", () => {
  for (const seed of SEEDS) {
    const time = new SimulatedTime()
    const random = seeded(seed)
    const recoveryMs = 20_000
    const buckets = new Map<number, number>()
    for (let proxy = 0; proxy < 200; proxy++) {
      const breaker = new CircuitBreaker({ maxFailures: 7, minPenaltyMs: 1000, maxPenaltyMs: 8000 })
      // Each calls it 20 times a second, if its breaker lets it.
      const call = (): void => {
        if (breaker.admits(time.nowMs)) {
          breaker.sent(time.nowMs)
          const bucket = Math.floor(time.nowMs / 100)
          buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1)
          if (time.nowMs > 1000 && time.nowMs < recoveryMs) breaker.failed(time.nowMs, random())
          else breaker.succeeded(time.nowMs)
        }
        time.after(exponential(50, random), call)
      }
      time.after(exponential(50, random), call)
    }
    time.run(40_000)
    const fair = (200 * 20) / 10
    const at = (ms: number) => buckets.get(Math.floor(ms / 100)) ?? 0
    const after = Array.from({ length: 150 }, (_, i) => at(recoveryMs + i * 100))
    const first = after.findIndex(count => count > fair / 2)
    console.log(
      `seed ${seed}: at most ${Math.max(...after)} calls in 100 ms (fair ${fair}), half of them after ${first * 100} ms`,
    )
    expect(Math.max(...after)).toBeLessThan(fair * 1.4)
    // They come back one after the other, not in the moment of recovery.
    expect(at(recoveryMs)).toBeLessThan(fair / 4)
    expect(first).toBeGreaterThan(5)
    expect(at(39_000)).toBeGreaterThan(fair * 0.7)
  }
})

test("callers that failed in one moment ask again spread over the pause, not in one moment", () => {
  const random = seeded(5)
  const rule = new RetryRule({ codes: [503], grpcCodes: [], attempts: 1, backoffMs: 100, anyMethod: true })
  const pauses = Array.from({ length: 1000 }, () => rule.pauseMs(1, random()))
  const buckets = new Map<number, number>()
  for (const pause of pauses)
    buckets.set(Math.floor(pause / 5), (buckets.get(Math.floor(pause / 5)) ?? 0) + 1)
  expect(Math.max(...buckets.values())).toBeLessThan(200)
})
