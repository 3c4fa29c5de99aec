// Choices beside load: slow starts, zones, one endpoint per caller, sessions, and some of thousands. On a driven clock.
import { expect, test } from "bun:test"
import { type BalancingConfig, Standpoint } from "./balancing.ts"
import { type Endpoint, UNKNOWN_ENDPOINT } from "./endpoint.ts"
import {
  EndpointSet,
  type EndpointUpdate,
  SUBSET_ABOVE,
  SUBSET_ENDPOINTS,
  sessionOf,
  ZONE_OVERFLOW_PENDING,
} from "./endpoint_set.ts"
import { NONE_TRIED } from "./endpoint_source.ts"
import { hashOf, hashOfTwo } from "./rendezvous.ts"

const PLAIN: BalancingConfig = { slowStartMs: 0, preferZone: false, byClient: false }

function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

function update(host: number, zone = ""): EndpointUpdate {
  const info = { ...UNKNOWN_ENDPOINT, zone, pod: `pod-${host}`, namespace: "shop" }
  return { address: `10.0.${host >> 8}.${host & 255}`, port: 80, info }
}

const updates = (count: number, zone = "", from = 1): EndpointUpdate[] =>
  Array.from({ length: count }, (_, i) => update(i + from, zone))

function setOf(
  config: Partial<BalancingConfig>,
  all: readonly EndpointUpdate[],
  pod = "caller",
): EndpointSet {
  const standpoint = new Standpoint(pod)
  standpoint.zone = "a"
  const set = new EndpointSet(seeded(7), standpoint)
  set.replace(all, 0)
  set.setBalancing({ ...PLAIN, ...config })
  return set
}

/** Share of draws by endpoint. */
function shares(set: EndpointSet, nowMs: number, draws = 4000): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i < draws; i++) {
    const { address } = picked(set, nowMs)
    counts.set(address, (counts.get(address) ?? 0) + 1 / draws)
  }
  return counts
}

function picked(set: EndpointSet, nowMs: number): Endpoint {
  const endpoint = set.pick(NONE_TRIED, nowMs)
  if (endpoint === null) throw new Error("nothing picked")
  return endpoint
}

test("an endpoint that joins comes to its share little by little, and those that were there first do not", () => {
  const set = setOf({ slowStartMs: 30_000 }, updates(4))
  const first = shares(set, 0)
  for (const share of first.values()) expect(share).toBeCloseTo(0.25, 1)
  set.update([], [update(9)], 1000)
  const share = (nowMs: number): number => shares(set, nowMs).get("10.0.0.9") ?? 0
  const [soon, half, late] = [share(1000), share(16_000), share(31_000)]
  expect(soon).toBeGreaterThan(0.005)
  expect(soon).toBeLessThan(0.06)
  expect(half).toBeGreaterThan(0.06)
  expect(half).toBeLessThan(0.16)
  expect(late).toBeCloseTo(0.2, 1)
})

test("without a slow start it has its share at once", () => {
  const set = setOf({}, updates(4))
  set.update([], [update(9)], 1000)
  expect(shares(set, 1000).get("10.0.0.9")).toBeCloseTo(0.2, 1)
})

test("endpoints of the own zone come first, and others where those are gone, rest or are overloaded", () => {
  const near = updates(2, "a")
  const set = setOf({ preferZone: true }, [...near, ...updates(8, "b", 10)])
  expect(new Set(shares(set, 0).keys())).toEqual(new Set(near.map(({ address }) => address)))
  for (const endpoint of set.endpoints())
    if (endpoint.info.zone === "a") endpoint.pending = 10 * ZONE_OVERFLOW_PENDING
  expect(picked(set, 0).info.zone).toBe("b")
  for (const endpoint of set.endpoints()) endpoint.pending = 0
  for (const endpoint of set.endpoints()) if (endpoint.info.zone === "a") endpoint.connectFailed(0, 0)
  expect(picked(set, 0).info.zone).toBe("b")
  set.update(near, [], 0)
  expect(picked(set, 0).info.zone).toBe("b")
})

test("a load that the own zone can take stays there", () => {
  const set = setOf({ preferZone: true }, [...updates(2, "a"), ...updates(8, "b", 10)])
  let away = 0
  const running: Endpoint[] = []
  for (let i = 0; i < 2000; i++) {
    const endpoint = picked(set, i)
    if (endpoint.info.zone !== "a") away++
    endpoint.pending++
    endpoint.latency.observe(5, i)
    running.push(endpoint)
    if (running.length > 4) (running.shift() as Endpoint).pending--
  }
  expect(away).toBeLessThan(100)
})

test("endpoints for the own node come before those of the zone, and a hint says more than a zone", () => {
  const hint = (number: number, zone: string, hints: object): EndpointUpdate => {
    const plain = update(number, zone)
    return { ...plain, info: { ...plain.info, ...hints } }
  }
  const chosen = (zone: string, node: string, all: readonly EndpointUpdate[]): string[] => {
    const standpoint = new Standpoint("p", node)
    standpoint.zone = zone
    const set = new EndpointSet(seeded(1), standpoint)
    set.replace(all, 0)
    set.setBalancing({ ...PLAIN, preferZone: true })
    return [...shares(set, 0).keys()].map(address => address.slice(-1)).sort()
  }
  const all = [
    hint(1, "a", { forNodes: ["n1"] }),
    hint(2, "a", { forNodes: ["n2"] }),
    hint(3, "b", { forNodes: ["n3"], forZones: ["b", "c"] }),
    hint(4, "b", { forZones: ["a"] }),
  ]
  expect(chosen("a", "n1", all)).toEqual(["1"])
  expect(chosen("a", "n9", all)).toEqual(["1", "2", "4"])
  expect(chosen("b", "", all)).toEqual(["3"])
  expect(chosen("c", "n9", all)).toEqual(["3"])
  expect(chosen("d", "n9", all)).toEqual(["1", "2", "3", "4"])
  expect(chosen("", "n3", all)).toEqual(["3"])
})

test("a zone that is told later counts from then on", () => {
  const standpoint = new Standpoint("p")
  const set = new EndpointSet(seeded(1), standpoint)
  set.replace([update(1, "a"), update(2, "b")], 0)
  set.setBalancing({ ...PLAIN, preferZone: true })
  expect(shares(set, 0).size).toBe(2)
  standpoint.zone = "b"
  expect([...shares(set, 0).keys()]).toEqual(["10.0.0.2"])
})

test("a caller stays with one endpoint, callers are spread, and a change moves few of them", () => {
  const choice = (pod: string, all: readonly EndpointUpdate[]) =>
    picked(setOf({ byClient: true }, all, pod), 0).address
  const pods = Array.from({ length: 1000 }, (_, i) => `pod-${i}`)
  const before = pods.map(pod => choice(pod, updates(10)))
  const counts = Map.groupBy(before, address => address)
  expect(counts.size).toBe(10)
  for (const of of counts.values()) expect(of.length).toBeGreaterThan(60)
  const after = pods.map(pod => choice(pod, updates(11)))
  const moved = after.filter((address, i) => address !== before[i])
  expect(moved.length).toBeLessThan(150)
  // Only to the new one.
  expect(new Set(moved)).toEqual(new Set(["10.0.0.11"]))
  const set = setOf({ byClient: true }, updates(10))
  const own = picked(set, 0)
  expect(shares(set, 0, 50).size).toBe(1)
  own.connectFailed(0, 0)
  expect(picked(set, 0)).not.toBe(own)
  expect(set.pick([own], 1e6)).not.toBe(own)
  expect(picked(set, 1e6)).toBe(own)
})

test("a session is found as long as its endpoint is there, and is no other pod's at that address", () => {
  const set = setOf({}, updates(5))
  const endpoint = picked(set, 0)
  const session = sessionOf(endpoint)
  expect(set.ofSession(session)).toBe(endpoint)
  expect(set.ofSession("x")).toBeNull()
  const info = { ...endpoint.info, pod: "another" }
  set.update([], [{ address: endpoint.address, port: 80, info }], 0)
  expect(set.ofSession(session)).toBeNull()
})

test("of thousands a proxy uses some, others use others, and a change moves few", () => {
  const all = updates(SUBSET_ABOVE + 1000)
  const used = (pod: string, from = all): Set<string> => {
    const set = setOf({}, from, pod)
    return new Set(shares(set, 0, 8000).keys())
  }
  const one = used("one")
  expect(one.size).toBeLessThanOrEqual(SUBSET_ENDPOINTS)
  expect(one.size).toBeGreaterThan(SUBSET_ENDPOINTS * 0.95)
  const common = [...used("two")].filter(address => one.has(address)).length
  expect(common).toBeLessThan(SUBSET_ENDPOINTS / 3)
  const kept = [...used("one", all.slice(20))].filter(address => one.has(address)).length
  expect(kept).toBeGreaterThan(SUBSET_ENDPOINTS * 0.9)
})

test("hashes spread evenly", () => {
  const buckets = new Array<number>(16).fill(0)
  // hash % 16 is below 16.
  for (let i = 0; i < 16_000; i++) buckets[hashOfTwo(hashOf(`10.0.0.${i}`), hashOf("key")) % 16]!++
  for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(150)
})
