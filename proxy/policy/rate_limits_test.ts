// Rate limits decided on a driven clock: buckets, what counts apart, what outlives an update.
import { expect, test } from "bun:test"
import { Registry } from "../telemetry/mod.ts"
import {
  LIMIT_BY_HEADER,
  LIMIT_BY_IDENTITY,
  LIMIT_BY_TOTAL,
  limitFields,
  type RateLimitConfig,
  RateLimits,
} from "./rate_limits.ts"
import { afterTaking, Buckets, tokensLeft, waitMs } from "./token_bucket.ts"

const LIMIT: RateLimitConfig = {
  ...{ name: "all", requests: 10, periodS: 1, burst: 5, by: LIMIT_BY_TOTAL, header: "" },
}

function request(fields: Readonly<Record<string, string>> = {}) {
  return { values: (name: string) => fields[name] }
}

function limits(...configs: Partial<RateLimitConfig>[]): RateLimits {
  const made = new RateLimits(new Registry())
  made.replace([policy(...configs)])
  return made
}

function policy(...configs: Partial<RateLimitConfig>[]) {
  const all = configs.map((config, i) => ({ ...LIMIT, name: `l${i}`, ...config }))
  return { namespace: "shop", name: "web", ports: [80], allPorts: false, limits: all }
}

/** Requests of a client that pass at a reading of the clock, out of `tries`. */
function passed(all: RateLimits, nowMs: number, tries: number, client = "a", fields = {}): number {
  let count = 0
  for (let i = 0; i < tries; i++) if (all.of(80)?.admit(request(fields), client, nowMs) === null) count++
  return count
}

test("a bucket gives its burst at once, then a token an interval, and no more than a burst after a rest", () => {
  const rate = { intervalMs: 100, burst: 3 }
  let fullMs = 0
  const take = (nowMs: number): boolean => {
    if (waitMs(rate, fullMs, nowMs) > 0) return false
    fullMs = afterTaking(rate, fullMs, nowMs)
    return true
  }
  expect([1000, 1000, 1000, 1000].map(take)).toEqual([true, true, true, false])
  expect(waitMs(rate, fullMs, 1000)).toBe(100)
  expect([1099, 1100, 1150, 1200].map(take)).toEqual([false, true, false, true])
  expect(tokensLeft(rate, fullMs, 1400)).toBe(2)
  expect([9000, 9000, 9000, 9000].map(take)).toEqual([true, true, true, false])
})

test("over any time no more than burst and rate together pass, whatever comes", () => {
  const seed = Date.now() & 0xffff
  let state = seed
  const random = (): number => {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return state / 0x7fffffff
  }
  const all = limits({ requests: 50, burst: 20 })
  let now = 1000
  const times: number[] = []
  for (let i = 0; i < 5000; i++) {
    now += random() * 10
    if (passed(all, now, 1) === 1) times.push(now)
  }
  for (let i = 0; i < times.length; i += 7) {
    for (const span of [100, 1000, 5000]) {
      // i < length
      const start = times[i]!
      const within = times.filter(time => time >= start && time < start + span).length
      expect([seed, within <= 20 + Math.ceil((50 * span) / 1000)]).toEqual([seed, true])
    }
  }
  // And what is due is given.
  expect(times.length).toBeGreaterThan(((now - 1000) / 1000) * 50 * 0.95)
})

test("clients are counted apart by identity, and requests by the values of a field, the absent one too", () => {
  const byClient = limits({ by: LIMIT_BY_IDENTITY, burst: 2 })
  expect(passed(byClient, 1000, 5, "a")).toBe(2)
  expect(passed(byClient, 1000, 5, "b")).toBe(2)
  const byKey = limits({ by: LIMIT_BY_HEADER, header: "x-key", burst: 2 })
  expect(passed(byKey, 1000, 5, "a", { "x-key": "1" })).toBe(2)
  expect(passed(byKey, 1000, 5, "b", { "x-key": "1" })).toBe(0)
  expect(passed(byKey, 1000, 5, "a", { "x-key": "2" })).toBe(2)
  expect(passed(byKey, 1000, 5, "a")).toBe(2)
})

test("a request takes of every limit or of none, and hears of the one that it waits longest for", () => {
  const all = limits({ burst: 10 }, { requests: 1, periodS: 60, burst: 2, name: "slow" })
  expect(passed(all, 1000, 5)).toBe(2)
  const over = all.of(80)?.admit(request(), "a", 1000)
  expect(over?.limit.title).toBe('shop/web, limit "slow"')
  expect(over === null || over === undefined ? [] : limitFields(over)).toEqual([
    ["retry-after", "60"],
    ["ratelimit-policy", '"slow";q=1;w=60'],
    ["ratelimit", '"slow";r=0;t=60'],
  ])
  // What was refused took nothing of the other limit.
  all.replace([policy({ burst: 10 })])
  expect(passed(all, 1000, 20)).toBe(8)
})

test("an update that leaves a limit as it was leaves its buckets, any other begins anew", () => {
  const all = limits({ burst: 3 })
  expect(passed(all, 1000, 5)).toBe(3)
  all.replace([policy({ burst: 3 }), { ...policy(), name: "other", limits: [] }])
  expect(passed(all, 1000, 5)).toBe(0)
  all.replace([policy({ burst: 4 })])
  expect(passed(all, 1000, 5)).toBe(4)
  all.replace([])
  expect(all.any).toBe(false)
  expect(all.of(80)).toBeNull()
})

test("ports without limits have none", () => {
  expect(limits({}).of(81)).toBeNull()
})

test("buckets are bounded, and those in use are kept", () => {
  const buckets = new Buckets(100)
  for (let i = 0; i < 10_000; i++) {
    buckets.set("used", i)
    buckets.set(`key-${i}`, i)
  }
  expect(buckets.size).toBeLessThanOrEqual(101)
  expect(buckets.get("used")).toBe(9999)
  expect(buckets.get("key-1")).toBe(0)
})

test("what is let through and what is refused is counted by limit", () => {
  const registry = new Registry()
  const all = new RateLimits(registry)
  all.replace([policy({ name: "n", burst: 2 })])
  passed(all, 1000, 5)
  const values = [...registry.all()].map(one => [
    Object.fromEntries(one.labels),
    "value" in one ? one.value : 0,
  ])
  const labels = {
    ...{ target_port: "80", ratelimit_namespace: "shop", ratelimit_name: "web", limit: "n" },
  }
  expect(values).toEqual([
    [{ ...labels, decision: "allow" }, 2],
    [{ ...labels, decision: "limit" }, 3],
  ])
})
