// What is told apart by authority, and what is not for want of room.
import { expect, test } from "bun:test"
import { AuthorityParts, OTHER_AUTHORITY } from "./authority_parts.ts"
import { WindowRing } from "./window_ring.ts"

const SPAN = { fromMs: 5000, toMs: 5000 }

/** Counts as a proxy's reporter does: for the whole, and for the authority's part where it has one. */
function count(
  parts: AuthorityParts,
  whole: WindowRing,
  authority: string,
  room: boolean,
  responses: number,
): void {
  const ring = parts.ringOf(authority, () => (room ? new WindowRing() : null))
  for (const one of [whole, ring]) {
    one?.addResponses(SPAN, false, responses)
    one?.addLatency(SPAN, 3, responses)
  }
}

function told(parts: AuthorityParts, whole: WindowRing) {
  return [...parts.of(whole)].map(([authority, sum]) => {
    const { successes, latency } = sum(0, 0, 10)
    return [authority, successes, latency[3]]
  })
}

test("one authority takes no windows of its own, another one does, and nothing is lost or doubled", () => {
  const [parts, whole] = [new AuthorityParts(), new WindowRing()]
  count(parts, whole, "web", true, 5)
  expect(parts.size).toBe(0)
  expect(told(parts, whole)).toEqual([["web", 5, 5]])
  count(parts, whole, "web.shop", true, 2)
  count(parts, whole, "web", true, 1)
  expect(parts.size).toBe(1)
  expect(told(parts, whole)).toEqual([
    ["web.shop", 2, 2],
    ["web", 6, 6],
  ])
})

test("without room for another, what is left is told as of others, never as of the first", () => {
  const [parts, whole] = [new AuthorityParts(), new WindowRing()]
  count(parts, whole, "web", true, 5)
  count(parts, whole, "web.shop", true, 2)
  count(parts, whole, "invented", false, 7)
  count(parts, whole, "web", true, 1)
  count(parts, whole, "web.shop", true, 1)
  expect(told(parts, whole)).toEqual([
    ["web.shop", 3, 3],
    [OTHER_AUTHORITY, 13, 13],
  ])
})
