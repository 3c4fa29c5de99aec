import { expect, test } from "bun:test"
import { MAX_SHARED_ANSWERS, SHARED_MS, SharedAnswers } from "./shared_answers.ts"

function clock() {
  const due: { ms: number; call: () => void }[] = []
  return { after: (ms: number, call: () => void) => void due.push({ ms, call }), due }
}

test("who asks the same while it is fresh gets the same answer; afterwards it is asked for again", async () => {
  const { after, due } = clock()
  const shared = new SharedAnswers(after)
  let asked = 0
  const ask = () => shared.ask("stat", async () => ++asked)
  expect(await Promise.all([ask(), ask(), ask()])).toEqual([1, 1, 1])
  expect(await ask()).toBe(1)
  expect(due.map(({ ms }) => ms)).toEqual([SHARED_MS])
  due[0]?.call()
  expect(await ask()).toBe(2)
  expect(await shared.ask("edges", async () => "other")).toBe("other")
})

test("what fails is told to those who wait, and asked for again by the next", async () => {
  const shared = new SharedAnswers(clock().after)
  let fails = true
  const ask = () => shared.ask("stat", async () => (fails ? Promise.reject(new Error("away")) : "back"))
  const both = await Promise.allSettled([ask(), ask()])
  expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"])
  fails = false
  expect(await ask()).toBe("back")
})

test("however many different things are asked, no more are kept than the limit", async () => {
  const { after, due } = clock()
  const shared = new SharedAnswers(after)
  for (let index = 0; index < 3 * MAX_SHARED_ANSWERS; index++)
    await shared.ask(String(index), async () => index)
  expect(due.length).toBe(MAX_SHARED_ANSWERS)
})
