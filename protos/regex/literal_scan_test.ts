// One walk over an input must find what looking for each text finds.
import { expect, test } from "bun:test"
import { LiteralScan, MAX_SCAN_STATES } from "./literal_scan.ts"

test("each text that stands in an input is found, and no other", () => {
  let state = 11
  const draw = (below: number): number => {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return (state >> 8) % below
  }
  const text = (length: number): string =>
    Array.from({ length }, () => "abcÿ"[draw(draw(6) === 0 ? 4 : 2)]).join("")
  let hits = 0
  for (let run = 0; run < 300; run++) {
    const literals = Array.from({ length: draw(12) }, () => text(1 + draw(5)))
    const scan = new LiteralScan(literals)
    expect(scan.count).toBe(literals.length)
    for (let i = 0; i < 20; i++) {
      const input = text(draw(30))
      const end = draw(input.length + 1)
      const wanted = literals.map(literal => input.slice(0, end).includes(literal))
      expect(scan.scan(input, end)).toBe(wanted.includes(true))
      expect(literals.map((_, at) => scan.has(at))).toEqual(wanted)
      hits += wanted.filter(found => found).length
    }
  }
  expect(hits).toBeGreaterThan(5000)
})

test("a character beyond Latin 1 stands in no text, and ends what came before", () => {
  const scan = new LiteralScan(["abc"])
  expect(scan.scan("ab\u{1f600}c", 5)).toBe(false)
  expect(scan.scan("\u0161abc", 4)).toBe(true)
})

test("of a long text the last characters are looked for, and what does not fit is left to others", () => {
  const scan = new LiteralScan(["0123456789abcdefghij"])
  expect(scan.scan("-456789abcdefghij", 17)).toBe(true)
  const many = Array.from({ length: MAX_SCAN_STATES }, (_, i) => `${i}`.padStart(16, "x"))
  const { count } = new LiteralScan(many)
  expect(count).toBeGreaterThan(0)
  expect(count).toBeLessThan(many.length)
})
