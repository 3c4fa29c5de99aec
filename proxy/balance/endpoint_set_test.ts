// Picking among endpoints, and keeping what is known about them through updates.
import { expect, test } from "bun:test"
import fc from "fast-check"
import {
  CONNECT_BACKOFF_JITTER,
  CONNECT_BACKOFF_MAX_MS,
  CONNECT_BACKOFF_MIN_MS,
  Endpoint,
  UNKNOWN_ENDPOINT,
} from "./endpoint.ts"
import { EndpointSet, type EndpointUpdate } from "./endpoint_set.ts"
import { NONE_TRIED, SingleEndpoint } from "./endpoint_source.ts"
import { COLD_SAMPLES } from "./peak_ewma.ts"

/** Deterministic randomness (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

function update(host: number, weight = 1, pod = `pod-${host}`): EndpointUpdate {
  return {
    address: `10.0.0.${host}`,
    port: 80,
    info: { ...UNKNOWN_ENDPOINT, weight, pod, namespace: "shop" },
  }
}

function setOf(count: number, seed = 1): EndpointSet {
  const set = new EndpointSet(seeded(seed))
  set.replace(
    Array.from({ length: count }, (_, i) => update(i + 1)),
    0,
  )
  return set
}

function shares(set: EndpointSet, picks: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i < picks; i++) {
    const endpoint = set.pick(NONE_TRIED, 0)
    if (endpoint === null) throw new Error("nothing picked")
    counts.set(endpoint.address, (counts.get(endpoint.address) ?? 0) + 1)
  }
  return counts
}

test("an empty set gives nothing", () => {
  expect(new EndpointSet(Math.random).pick(NONE_TRIED, 0)).toBeNull()
})

test("equal endpoints get equal shares", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer(), (count, seed) => {
      const counts = shares(setOf(count, seed), 4000)
      expect(counts.size).toBe(count)
      const fair = 4000 / count
      for (const n of counts.values()) expect(Math.abs(n - fair)).toBeLessThan(8 * Math.sqrt(fair) + 1)
    }),
    { numRuns: 40 },
  )
})

test("shares follow weights, and a weight of 0 drains", () => {
  const set = new EndpointSet(seeded(7))
  set.replace([update(1, 1), update(2, 3), update(3, 0)], 0)
  const counts = shares(set, 8000)
  expect(counts.get("10.0.0.3")).toBeUndefined()
  expect((counts.get("10.0.0.2") ?? 0) / 8000).toBeCloseTo(0.75, 1)
})

test("of two endpoints the one with less in flight is chosen", () => {
  const set = setOf(2)
  const [busy, idle] = [...set.endpoints()]
  if (busy === undefined || idle === undefined) throw new Error("two endpoints expected")
  busy.pending = 5
  for (let i = 0; i < 100; i++) expect(set.pick(NONE_TRIED, 0)).toBe(idle)
})

test("a slow endpoint gets less than a fast one while both are loaded", () => {
  const set = setOf(3)
  const endpoints = [...set.endpoints()]
  for (const [i, endpoint] of endpoints.entries()) {
    for (let n = 0; n <= COLD_SAMPLES; n++) endpoint.latency.observe(i === 0 ? 400 : 40, 0)
  }
  const counts = new Map<Endpoint, number>()
  for (let i = 0; i < 110; i++) {
    const endpoint = set.pick(NONE_TRIED, 0)
    if (endpoint === null) throw new Error("nothing picked")
    endpoint.pending++
    counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
  }
  const slow = counts.get(endpoints[0] as Endpoint) ?? 0
  expect(slow).toBeLessThan(15)
})

test("every endpoint is found once before nothing is left, whatever was aside", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.integer(),
      fc.array(fc.nat(11)),
      fc.boolean(),
      (count, seed, asides, weighted) => {
        const set = new EndpointSet(seeded(seed))
        set.replace(
          Array.from({ length: count }, (_, i) => update(i + 1, weighted ? i + 1 : 1)),
          0,
        )
        const all = [...set.endpoints()]
        for (const aside of asides) all[aside % count]?.connectFailed(0, 0.5)
        const tried: Endpoint[] = []
        for (let i = 0; i < count; i++) {
          const endpoint = set.pick(tried, 1)
          if (endpoint === null) throw new Error(`nothing left after ${i} of ${count}`)
          expect(tried).not.toContain(endpoint)
          tried.push(endpoint)
        }
        expect(set.pick(tried, 1)).toBeNull()
      },
    ),
  )
})

test("an endpoint that refused connections is passed over until its pause is over", () => {
  const set = setOf(3)
  const [bad] = [...set.endpoints()]
  bad?.connectFailed(1000, 0)
  for (let i = 0; i < 200; i++) expect(set.pick(NONE_TRIED, 1000 + CONNECT_BACKOFF_MIN_MS - 1)).not.toBe(bad)
  let back = false
  for (let i = 0; i < 200; i++) back ||= set.pick(NONE_TRIED, 1000 + CONNECT_BACKOFF_MIN_MS) === bad
  expect(back).toBe(true)
})

test("when all are aside, one is picked nevertheless: the one whose pause ends first", () => {
  const set = setOf(3)
  const all = [...set.endpoints()]
  for (const [i, endpoint] of all.entries()) for (let n = 0; n <= i; n++) endpoint.connectFailed(0, 0)
  expect(set.pick(NONE_TRIED, 1)).toBe(all[0] as Endpoint)
})

test("pauses double from 100 ms to 10 s with jitter, and a success ends them", () => {
  const endpoint = new Endpoint("10.0.0.1", 80)
  const pauses: number[] = []
  for (let i = 0; i < 10; i++) {
    endpoint.connectFailed(0, 0)
    pauses.push(endpoint.asideUntilMs)
  }
  expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000])
  endpoint.connected()
  endpoint.connectFailed(0, 1)
  expect(endpoint.asideUntilMs).toBe(CONNECT_BACKOFF_MIN_MS * (1 + CONNECT_BACKOFF_JITTER))
  for (let i = 0; i < 1100; i++) endpoint.connectFailed(0, 1)
  expect(endpoint.asideUntilMs).toBe(CONNECT_BACKOFF_MAX_MS)
})

test("an update keeps the objects of endpoints that stay, and removes the others", () => {
  const set = setOf(3)
  const before = new Map([...set.endpoints()].map(endpoint => [endpoint.address, endpoint]))
  const closed: string[] = []
  for (const endpoint of before.values()) endpoint.onRemoved.push(() => closed.push(endpoint.address))
  set.update([{ address: "10.0.0.1", port: 80 }], [update(2, 5), update(4)], 0)
  const after = new Map([...set.endpoints()].map(endpoint => [endpoint.address, endpoint]))
  expect([...after.keys()].sort()).toEqual(["10.0.0.2", "10.0.0.3", "10.0.0.4"])
  expect(after.get("10.0.0.2")).toBe(before.get("10.0.0.2") as Endpoint)
  expect(after.get("10.0.0.2")?.info.weight).toBe(5)
  expect(closed).toEqual(["10.0.0.1"])
  expect(before.get("10.0.0.1")?.removed).toBe(true)
})

test("another pod on the same address is another endpoint", () => {
  const set = setOf(1)
  const [before] = [...set.endpoints()]
  set.update([], [update(1, 1, "pod-new")], 0)
  const [after] = [...set.endpoints()]
  expect(after).not.toBe(before as Endpoint)
  expect(before?.removed).toBe(true)
  expect(set.size).toBe(1)
})

test("a pod that proves another identity, or none any more, is another endpoint: what was proven is not kept", () => {
  const set = setOf(1)
  const only = () => [...set.endpoints()][0] as Endpoint
  const told = (identity: string, weight = 1): Endpoint => {
    const { info, ...where } = update(1, weight)
    set.update([], [{ ...where, info: { ...info, identity } }], 0)
    return only()
  }
  const plain = only()
  const web = told("web.shop.mesh")
  let closed = 0
  web.onRemoved.push(() => closed++)
  expect(told("web.shop.mesh", 5)).toBe(web)
  expect([web.info.weight, closed]).toEqual([5, 0])
  const admin = told("admin.shop.mesh")
  const bare = told("")
  expect([plain, web, admin, bare].map(({ removed }) => removed)).toEqual([true, true, true, false])
  expect([closed, set.size]).toEqual([1, 1])
})

test("any sequence of updates leaves exactly the endpoints that the last ones name, and picks only those", () => {
  const change = fc.record({
    replace: fc.boolean(),
    removed: fc.array(fc.integer({ min: 1, max: 6 })),
    added: fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.nat(2))),
  })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), fc.integer(), (changes, seed) => {
      const set = new EndpointSet(seeded(seed))
      const model = new Map<string, number>()
      for (const { replace, removed, added } of changes) {
        const updates = added.map(([host, weight]) => update(host, weight))
        if (replace) {
          model.clear()
          set.replace(updates, 0)
        } else {
          set.update(
            removed.map(host => ({ address: `10.0.0.${host}`, port: 80 })),
            updates,
            0,
          )
          for (const host of removed) model.delete(`10.0.0.${host}`)
        }
        for (const [host, weight] of added) model.set(`10.0.0.${host}`, weight)
        expect(new Set([...set.endpoints()].map(endpoint => endpoint.address))).toEqual(new Set(model.keys()))
        const picked = set.pick(NONE_TRIED, 0)
        const usable = [...model].filter(([, weight]) => weight > 0)
        if (usable.length === 0) expect(picked).toBeNull()
        else expect(usable.map(([address]) => address)).toContain(picked?.address as string)
        expect(picked?.removed ?? false).toBe(false)
      }
    }),
  )
})

test("one request after the other reaches every endpoint alike, though first answers are slow and the others vary", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 5 }), fc.integer(), (count, seed) => {
      const set = setOf(count, seed)
      const random = seeded(seed + 1)
      const counts = new Map<Endpoint, number>()
      for (let i = 0; i < 200; i++) {
        const nowMs = i * 50
        const endpoint = set.pick(NONE_TRIED, nowMs)
        if (endpoint === null) throw new Error("nothing picked")
        const seen = counts.get(endpoint) ?? 0
        counts.set(endpoint, seen + 1)
        endpoint.latency.observe(seen === 0 ? 80 : 1.5 + random(), nowMs)
      }
      expect(counts.size).toBe(count)
      for (const n of counts.values()) expect(n).toBeGreaterThan(200 / count / 4)
    }),
    { numRuns: 50 },
  )
})

test("an endpoint that joins fast ones gets its share at once, not after the first guess has decayed", () => {
  const set = setOf(2)
  for (const endpoint of set.endpoints()) endpoint.latency.observe(0.5, 60_000)
  set.update([], [update(3)], 60_000)
  let joined = 0
  for (let i = 0; i < 300; i++) {
    const endpoint = set.pick(NONE_TRIED, 60_000 + i)
    endpoint?.latency.observe(0.5, 60_000 + i)
    if (endpoint?.address === "10.0.0.3") joined++
  }
  expect(joined).toBeGreaterThan(30)
})

test("an address that admits no choice is tried once per exchange", () => {
  const endpoint = new Endpoint("10.0.0.1", 80)
  const single = new SingleEndpoint(endpoint)
  expect(single.pick(NONE_TRIED, 0)).toBe(endpoint)
  expect(single.pick([endpoint], 0)).toBeNull()
})
