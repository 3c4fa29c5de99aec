// How much is signed, on a clock that the test drives.
import { beforeEach, expect, test } from "bun:test"
import {
  IDENTITY_BURST,
  IDENTITY_PER_SECOND,
  MAX_AT_ONCE,
  MAX_BUCKETS,
  MAX_WAITING,
  SigningLimits,
  TOTAL_BURST,
  TOTAL_PER_SECOND,
} from "./rate_limit.ts"
import { Refusal } from "./refusal.ts"

let nowMs = 0
let limits: SigningLimits
beforeEach(() => {
  nowMs = 0
  limits = new SigningLimits(() => nowMs)
})

/** The reason of a refusal; "" when there is none. */
function taken(identity: string): string {
  try {
    limits.take(identity)
    return ""
  } catch (error) {
    return error instanceof Refusal ? error.reason : String(error)
  }
}

/** How many are taken until the first refusal, and why that was. */
function untilRefused(identity: (index: number) => string): [number, string] {
  for (let index = 0; ; index++) {
    const reason = taken(identity(index))
    if (reason !== "") return [index, reason]
  }
}

test("one identity has a burst, then its rate, and keeps nothing from others", () => {
  expect(untilRefused(() => "web")).toEqual([IDENTITY_BURST, "identity_rate"])
  expect(taken("cart")).toBe("")
  nowMs += 999 / IDENTITY_PER_SECOND
  expect(taken("web")).toBe("identity_rate")
  nowMs += 1
  expect([taken("web"), taken("web")]).toEqual(["", "identity_rate"])
  nowMs += 3_600_000
  expect(untilRefused(() => "web")).toEqual([IDENTITY_BURST, "identity_rate"])
})

test("all together have a burst, then their rate; who is refused loses nothing of its own", () => {
  expect(untilRefused(index => `web-${index}`)).toEqual([TOTAL_BURST, "total_rate"])
  nowMs += 1_000
  expect(untilRefused(() => "cart")).toEqual([Math.min(IDENTITY_BURST, TOTAL_PER_SECOND), "identity_rate"])
  for (let i = 0; i < 1_000; i++) taken("shop")
  nowMs += 3_600_000
  expect(untilRefused(() => "shop")).toEqual([IDENTITY_BURST, "identity_rate"])
})

test("a flood of names takes no more memory than is granted: those that may ask at will are forgotten", () => {
  for (let i = 0; i < MAX_BUCKETS; i++) taken(`name-${i}`)
  expect(limits.kept).toBe(MAX_BUCKETS)
  expect(taken("one more")).toBe("total_rate")
  // Those who got one, and the last who asked; the others were refused and have their burst whole.
  expect(limits.kept).toBe(TOTAL_BURST + 1)
  expect(taken("name-0")).toBe("total_rate")
  nowMs += 60_000
  expect(taken("one more")).toBe("")
})

test("so many are worked on at once, so many wait in their order, and the rest is told to come again", async () => {
  const order: number[] = []
  const ends: (() => void)[] = []
  const begun = (number: number) =>
    limits.inTurn(
      () =>
        new Promise<void>(resolve => {
          order.push(number)
          ends.push(resolve)
        }),
    )
  const all = Array.from({ length: MAX_AT_ONCE + MAX_WAITING }, (_, index) => begun(index))
  expect([order.length, limits.waiting]).toEqual([MAX_AT_ONCE, MAX_WAITING])
  await expect(begun(-1)).rejects.toMatchObject({ reason: "queue" })
  while (order.length < all.length) {
    for (const end of ends.splice(0)) end()
    await new Promise(resolve => setImmediate(resolve))
  }
  for (const end of ends) end()
  await Promise.all(all)
  expect(order).toEqual(all.map((_, index) => index))
  expect(limits.waiting).toBe(0)
})

test("work that fails makes room for the next", async () => {
  const fail = () => limits.inTurn(() => Promise.reject(new Error("no")))
  const failed = await Promise.allSettled(Array.from({ length: MAX_AT_ONCE * 3 }, fail))
  expect(failed.every(({ status }) => status === "rejected")).toBe(true)
  expect(await limits.inTurn(async () => "done")).toBe("done")
})
