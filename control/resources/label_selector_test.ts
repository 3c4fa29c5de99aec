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
  ["empty=,app", true],
  ["app=web,example.com/tier in (front,back),!missing", true],
  ["app=web,missing", false],
])("%p matches: %p", (selector, matches) => {
  expect(parseLabelSelector(selector)(LABELS)).toBe(matches)
})

test.each([
  ["app in (web,)", true],
  ["empty in ()", true],
  ["app in (web),app notin (db)", true],
  ["!missing,app", true],
  [" app , ! missing ", true],
  ["in=web", false],
  ["in in (web)", false],
])("%p of a rarer form matches: %p", (selector, matches) => {
  expect(parseLabelSelector(selector)(LABELS)).toBe(matches)
})

test.each([
  ["a=(", 'a value is missing before "("'],
  ["a=)", '")" is not expected after a requirement'],
  ["a b", '"b" is not expected after a requirement'],
  ["=web", 'a name is missing before "="'],
  ["app in web", '"app in" needs its values in parentheses'],
  ["app in", '"app in" needs its values in parentheses'],
  ["app in (web", 'the parenthesis after "app in" is not closed'],
  ["app in (web db)", 'the parenthesis after "app in" is not closed'],
  ["app in web)", '"app in" needs its values in parentheses'],
  ["app in ((web))", 'a value is missing before "("'],
  ["app notin =web", '"app notin" needs its values in parentheses'],
  ["app=a=b", '"=" is not expected after a requirement'],
  ["app===b", 'a value is missing before "="'],
  ["app=!b", 'a value is missing before "!"'],
  ["app>1", '">" is not expected after a requirement'],
  ["!", "a name is missing at its end"],
  ["!!app", 'a name is missing before "!"'],
  ["!app=web", '"=" is not expected after a requirement'],
  [",", 'a name is missing before ","'],
  ["app,", "a name is missing at its end"],
  ["app=web,,b", 'a name is missing before ","'],
  ["(app)", 'a name is missing before "("'],
  ["-app", '"-app" cannot be the name of a label'],
  ["a/b/c", '"a/b/c" cannot be the name of a label'],
  ["/app", '"/app" cannot be the name of a label'],
  ["A.com/app", '"A.com/app" cannot be the name of a label'],
  [`${"a".repeat(64)}=x`, "cannot be the name of a label"],
  ["app=-x", '"-x" cannot be the value of a label'],
  ["app=a/b", '"a/b" cannot be the value of a label'],
  ["app=w\u00e9b", "cannot be the value of a label"],
  [`app=${"a".repeat(64)}`, "cannot be the value of a label"],
  ["a".repeat(8193), "has 8193 characters"],
])("%p is refused: %s", (selector, why) => {
  expect(() => parseLabelSelector(selector)).toThrow(why)
})
