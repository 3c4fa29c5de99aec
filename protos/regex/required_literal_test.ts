// What an expression requires: told only where it is certain.
import { expect, test } from "bun:test"
import { Regex } from "./regex.ts"
import { requiredLiteral } from "./required_literal.ts"

test.each([
  ["/user/[0-9]+/part-3/.*", "/part-3/"],
  ["/user/.*", "/user/"],
  ["/v1\\.2/x?abc", "/v1.2/"],
  ["abcd+efg", "abcd"],
  ["abc*defg{2}hij", "def"],
  ["(abcdef)?ghi", "ghi"],
  ["(?:ab|cd)efg", "efg"],
  ["abc|def", ""],
  ["(?i)abcdef", ""],
  ["abc\\Qd+\\E", ""],
  ["\\x41bcd", ""],
  ["[]abc]def", "def"],
  ["[^]abc]def", "def"],
  ["[[:alpha:]]xyz", "xyz"],
  ["ab", ""],
])("%p requires %p", (source, literal) => {
  expect(requiredLiteral(source)).toBe(literal)
})

test("whatever an expression takes has in it what it requires", () => {
  const sources = [
    "/user/[0-9]+/part-3/.*",
    "/v1\\.2/x?abc",
    "abcd+efg",
    "abc*defg{2}hij",
    "(abcdef)?ghi",
    "(?:ab|cd)efg",
    "[]abc]def",
    "a(b(c|d)e)*fgh",
    "(?i)abcdef",
    "x{0,2}abc\\d\\w+",
  ]
  let state = 7
  const random = (below: number): number => {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return state % below
  }
  let taken = 0
  for (const source of sources) {
    const regex = new Regex(source)
    const literal = requiredLiteral(source)
    for (let i = 0; i < 3000; i++) {
      // Pieces of the expression itself, so that some of them are taken.
      let text = ""
      for (let piece = random(7); piece >= 0; piece--) {
        const from = random(source.length)
        text += source.slice(from, from + random(9)).replace(/[\\[\](){}?*+^|.]/g, "")
      }
      for (const one of [text, `/user/7${text}`, `${literal}${text}`, `${text}${literal}`]) {
        if (!regex.matches(one)) continue
        taken++
        expect([source, one, one.includes(literal)]).toEqual([source, one, true])
      }
    }
  }
  expect(taken).toBeGreaterThan(500)
})
