// Label selectors: every form of kubectl's `-l`.
import { expect, test } from "bun:test"
import { parseLabelSelector } from "./label_selector.ts"

const LABELS = new Map([
  ["app", "web"],
  ["example.com/tier", "front"],
  ["empty", ""],
])

test.each([
  ["", true],
  ["app=web", true],
  ["app==web", true],
  ["app = web", true],
  ["app=db", false],
  ["app!=db", true],
  ["missing!=x", true],
  ["app!=web", false],
  ["example.com/tier in (front, back)", true],
  ["example.com/tier in (back)", false],
  ["app notin (db,web)", false],
  ["missing notin (x)", true],
  ["missing in (x)", false],
  ["app", true],
  ["missing", false],
  ["!missing", true],
  ["!app", false],
  ["empty=", true],
  ["app=web,example.com/tier in (front,back),!missing", true],
  ["app=web,missing", false],
])("%p matches: %p", (selector, matches) => {
  expect(parseLabelSelector(selector)(LABELS)).toBe(matches)
})

test.each(["a b", "=web", "app in web", "app=a=b", "in (x)", "!"])(
  "%p is refused with a sentence",
  selector => {
    expect(() => parseLabelSelector(selector)).toThrow("is no label requirement")
  },
)
