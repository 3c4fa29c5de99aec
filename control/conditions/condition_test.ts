// Times and messages of conditions.
import { expect, test } from "bun:test"
import { cut, MAX_CONDITION_MESSAGE, timed, type WantedCondition } from "./condition.ts"

const WANTED: WantedCondition = {
  type: "Accepted",
  status: "True",
  reason: "Accepted",
  message: "",
  observedGeneration: 2,
}

test("a condition keeps its time as long as its status stays, whatever else of it changes", () => {
  const before = [{ ...WANTED, reason: "Old", observedGeneration: 1, lastTransitionTime: "then" }]
  expect(timed([WANTED], before, "now")).toEqual([{ ...WANTED, lastTransitionTime: "then" }])
  expect(timed([{ ...WANTED, status: "False" }], before, "now")[0]?.lastTransitionTime).toBe("now")
  expect(timed([{ ...WANTED, type: "Other" }], before, "now")[0]?.lastTransitionTime).toBe("now")
  expect(timed([WANTED], undefined, "now")[0]?.lastTransitionTime).toBe("now")
})

test("a message is bounded, and keeps its end, whatever its length", () => {
  const long = "is wrong; ".repeat(1000)
  expect(cut(long, "; that is all")).toEndWith("...; that is all")
  expect(cut(long, "; that is all").length).toBe(MAX_CONDITION_MESSAGE)
  expect(timed([{ ...WANTED, message: long }], [], "now")[0]?.message.length).toBe(MAX_CONDITION_MESSAGE)
  expect(cut("short", "; end")).toBe("short; end")
})
