// The figures of a test run: none may be lost between `bun test` and the last line.
import { expect, test } from "bun:test"
import { countBunTests } from "../runner/step.ts"

test("passes and failures are read from the summary", () => {
  expect(countBunTests("(pass) one\n\n 49 pass\n 2 fail\n 504 expect() calls\n", 1)).toEqual({
    passed: 49,
    failed: 2,
  })
})

test("an error between tests is a failure", () => {
  expect(countBunTests(" 3 pass\n 0 fail\n 1 error\n", 1)).toEqual({ passed: 3, failed: 1 })
})

test("a run that ends badly after its last test, or says nothing, has failed", () => {
  expect(countBunTests(" 3 pass\n 0 fail\n", 1)).toEqual({ passed: 3, failed: 1 })
  expect(countBunTests("", 0)).toEqual({ passed: 0, failed: 1 })
})
