// Suggestions for mistyped words.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { didYouMean, editDistance, nearest } from "./suggest.ts"

const COMMANDS = ["stat", "edges", "endpoints", "metrics", "version", "completion"]

test("a swapped, a missing and a wrong letter lead to the command that was meant", () => {
  expect(nearest("stta", COMMANDS)).toBe("stat")
  expect(nearest("edgs", COMMANDS)).toBe("edges")
  expect(nearest("endpoimts", COMMANDS)).toBe("endpoints")
})

test("the beginning of a command leads to it", () => {
  expect(nearest("comp", COMMANDS)).toBe("completion")
})

test("a word that is near to nothing suggests nothing", () => {
  expect(nearest("frobnicate", COMMANDS)).toBeNull()
  expect(didYouMean("frobnicate", COMMANDS)).toBe("")
})

test("the distance is symmetric, zero only for equal words, and at most the longer length", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      const distance = editDistance(a, b)
      expect(distance).toBe(editDistance(b, a))
      expect(distance === 0).toBe(a === b)
      expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length))
    }),
  )
})
