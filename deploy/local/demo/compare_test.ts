// The demo's verdict: what counts as agreement, and what is told when there is none.
import { expect, test } from "bun:test"
import { answersFromLoad, between, compare, shortcoming } from "./compare.ts"
import type { CallCounts, LoadCounts } from "./load.ts"

function counts(...calls: Partial<CallCounts>[]): LoadCounts {
  return {
    running: false,
    runningMs: 1000,
    calls: calls.map(call => ({
      name: "call",
      target: "",
      perSecond: 1,
      reaches: [],
      failsAt: [],
      sent: 0,
      succeeded: 0,
      failed: 0,
      inFlight: 0,
      heldBack: 0,
      failures: {},
      latencyMs: { p50: null, p95: null, p99: null },
      ...call,
    })),
  }
}

const home = { reaches: ["shop/front", "shop/catalog"], failsAt: ["shop/front"] }

test("a call counts at every service it reaches, and its failure where it fails", () => {
  const answers = answersFromLoad(
    counts({ ...home, succeeded: 90, failed: 10 }, { reaches: ["shop/catalog"], succeeded: 5 }),
  )
  expect(answers.get("shop/front")).toEqual({ responses: 100, failures: 10 })
  expect(answers.get("shop/catalog")).toEqual({ responses: 105, failures: 0 })
})

test("only what was added between two readings is compared", () => {
  const earlier = new Map([["a", { responses: 7, failures: 1 }]])
  const later = new Map([
    ["a", { responses: 107, failures: 6 }],
    ["b", { responses: 3, failures: 0 }],
  ])
  expect(Object.fromEntries(between(earlier, later))).toEqual({
    a: { responses: 100, failures: 5 },
    b: { responses: 3, failures: 0 },
  })
})

const verdict = (generator: [number, number], mesh: [number, number]) =>
  shortcoming(
    compare(
      new Map([["shop/front", { responses: generator[0], failures: generator[1] }]]),
      new Map([["shop/front", { responses: mesh[0], failures: mesh[1] }]]),
    ),
  )

test("counts within two per cent and one point of success agree", () => {
  expect(verdict([1000, 50], [1000, 50])).toBeNull()
  expect(verdict([1000, 50], [980, 50])).toBeNull()
  expect(verdict([1000, 50], [1000, 59])).toBeNull()
})

test("counts further apart do not agree, and the service is named", () => {
  expect(verdict([1000, 50], [979, 50])).toContain("shop/front")
  expect(verdict([1000, 50], [1021, 50])).toContain("differ")
  expect(verdict([1000, 50], [1000, 61])).toContain("one point")
})

test("a service that the mesh did not see, or that was never called, is told of", () => {
  expect(verdict([1000, 0], [0, 0])).toContain("the mesh saw no request to shop/front")
  expect(verdict([0, 0], [0, 0])).toContain("no answer from shop/front")
})
