import { expect, test } from "bun:test"
import { amount, byteRate, duration, headAndTail, percent, plain, rate, short, span } from "./format.ts"

test("a hundred per cent is said only where nothing failed", () => {
  expect([percent(1), percent(0.99999), percent(0.5), percent(0), percent(undefined)]).toEqual([
    "100 %",
    "99.99 %",
    "50.00 %",
    "0.00 %",
    "–",
  ])
})

test("numbers of others are told in few figures, with their unit", () => {
  expect([
    amount(1234.567, "EUR"),
    amount(0.001234),
    amount(0),
    amount(-3),
    amount(1e21),
    amount(1e-12),
  ]).toEqual(["1,234.57 EUR", "0.00123", "0", "-3", "1E21", "1E-12"])
  expect([amount(undefined, "EUR"), amount(Number.NaN)]).toEqual(["–", "–"])
})

test("figures are short, and say their unit", () => {
  expect([rate(0.254), rate(12.34), rate(1234), rate(0)]).toEqual(["0.25/s", "12.3/s", "1.2k/s", "0/s"])
  expect([duration(0.42), duration(12.4), duration(1234), duration(90_000)]).toEqual([
    "0.4 ms",
    "12 ms",
    "1.2 s",
    "2 min",
  ])
  expect([byteRate(12), byteRate(1234), byteRate(5_000_000)]).toEqual(["12 B/s", "1.2 kB/s", "5.0 MB/s"])
  expect([short(0.001), span(8000), span(23 * 3_600_000), span(10 * 365 * 86_400_000)]).toEqual([
    "<0.01",
    "8 s",
    "23 h 0 min",
    "10 years",
  ])
})

test("what is left of a long name is what tells it from others: a pod's end, a service and its method", () => {
  expect(headAndTail("checkout-7f6d5c4b8-x2x4z")).toEqual(["checkout-7f6d5", "c4b8-x2x4z"])
  expect(headAndTail("/shop.v1.CartService/AddItem")).toEqual(["/shop.v1.", "CartService/AddItem"])
  expect(headAndTail(`/${"a".repeat(30)}/b`)).toEqual([`/${"a".repeat(22)}`, `${"a".repeat(8)}/b`])
})

test("signs that would turn a name around are named, and a name without end is cut", () => {
  expect(plain("a\u202eb\u0000")).toBe("a⟨U+202E⟩b⟨U+0000⟩")
  expect(plain("x".repeat(10_000))).toHaveLength(261)
  expect(plain("<img src=x onerror=alert(1)>")).toBe("<img src=x onerror=alert(1)>")
})
