// Expressions of routes against the runtime's own engine, and what must be refused or bounded.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { MAX_REGEX_INPUT_CHARS, Regex, RegexError } from "./mod.ts"

/** Printed with every failure by fast-check; fixed so that a run can be repeated. */
const SEED = 20_261_125

/** Expressions that both engines understand alike. */
const expression: fc.Arbitrary<string> = fc.letrec<{ node: string }>(tie => ({
  node: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom(
      "a",
      "b",
      "/",
      "x",
      ".",
      "\\d",
      "\\w",
      "\\.",
      "[ab]",
      "[^a]",
      "[a-c]",
      "[0-9a]",
      "^",
      "$",
      "é",
    ),
    fc.tuple(tie("node"), tie("node")).map(([a, b]) => a + b),
    fc.tuple(tie("node"), tie("node")).map(([a, b]) => `(?:${a}|${b})`),
    tie("node").map(a => `(${a})`),
    fc
      .tuple(tie("node"), fc.constantFrom("*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?", "+?"))
      .map(([a, times]) => `(?:${a})${times}`),
  ),
})).node

const input = fc.string({
  unit: fc.constantFrom("a", "b", "c", "/", "x", "1", ".", "é", "\u20ac"),
  maxLength: 10,
})

test("whatever the expression, it takes what the runtime's engine takes", () => {
  let taken = 0
  fc.assert(
    fc.property(expression, fc.array(input, { minLength: 1, maxLength: 8 }), (source, texts) => {
      const ours = new Regex(source)
      const theirs = new RegExp(`^(?:${source})$`)
      for (const text of texts) {
        const wanted = theirs.test(text)
        if (wanted) taken++
        expect([source, text, ours.matches(text)]).toEqual([source, text, wanted])
      }
    }),
    { numRuns: 3000, seed: SEED },
  )
  expect(taken).toBeGreaterThan(500)
})

test("an expression must take all of the input, or none", () => {
  const regex = new Regex("/v[0-9]+/.*")
  expect(regex.matches("/v2/orders")).toBe(true)
  expect(regex.matches("/v2/")).toBe(true)
  expect(regex.matches("/api/v2/")).toBe(false)
  expect(regex.matches("/v2")).toBe(false)
  expect(regex.matchesRange("GET /v2/x?y", 4, 9)).toBe(true)
})

test("what RE2 adds is there: flags, names, quotes, POSIX classes", () => {
  expect(new Regex("(?i)/Api/(?P<id>[[:digit:]]+)").matches("/aPI/42")).toBe(true)
  expect(new Regex("(?i:a)b").matches("AB")).toBe(false)
  expect(new Regex("(?i:a)b").matches("Ab")).toBe(true)
  expect(new Regex("(?i)[^a]").matches("A")).toBe(false)
  expect(new Regex("\\Qa.b\\E+").matches("a.bb")).toBe(false)
  expect(new Regex("\\Q(a.b\\E").matches("(a.b")).toBe(true)
  expect(new Regex("a.b").matches("a\nb")).toBe(false)
  expect(new Regex("(?s)a.b").matches("a\nb")).toBe(true)
  expect(new Regex("\\x2fa\\x{e9}").matches("/aé")).toBe(true)
  expect(new Regex("[]a]").matches("]")).toBe(true)
  expect(new Regex("[a-]").matches("-")).toBe(true)
  expect(new Regex("\\A(a|b)\\z").matches("b")).toBe(true)
  expect(new Regex("").matches("")).toBe(true)
})

const REFUSED: readonly (readonly [string, string])[] = [
  ["(a", "not closed"],
  ["a)", "closes nothing"],
  ["[a", "not closed"],
  ["*a", "nothing before it"],
  ["a**", "repeats a repetition"],
  ["a{2,1}", "cannot hold"],
  ["a{1001}", "more than 1000 times"],
  ["(a)\\1", "refers back"],
  ["(?=a)", "lookaround"],
  ["(?<!a)b", "lookaround"],
  ["\\bword", "word boundary"],
  ["\\pL", "Unicode"],
  ["(?m)a", "flag"],
  ["\\", "ends in a backslash"],
  ["[b-a]", "backwards"],
  ["[[:letters:]]", "does not exist"],
  ["(a{100}){100}", "too large"],
  ["(){1000}{2}", "repetition"],
  ["((){1000}){1000}", "multiply"],
  ["(".repeat(100) + ")".repeat(100), "nests"],
  ["a".repeat(1025), "1025 characters"],
]

for (const [source, why] of REFUSED) {
  test(`${source.length > 30 ? `${source.slice(0, 30)}...` : source} is refused: ${why}`, () => {
    expect(() => new Regex(source)).toThrow(RegexError)
    expect(() => new Regex(source)).toThrow(why)
  })
}

test("expressions that make others explode take time in proportion to the input", () => {
  for (const source of [
    "(a+)+",
    "(a|a)*",
    "(a*)*b",
    "(?:a?){100}a{100}",
    ".*a.{300}",
    "(.*)(.*)(.*)(.*)(.*)[^a]",
  ]) {
    const regex = new Regex(source)
    const started = performance.now()
    for (const length of [100, 1000, MAX_REGEX_INPUT_CHARS - 1]) regex.matches(`${"a".repeat(length)}!`)
    expect(performance.now() - started).toBeLessThan(500)
  }
})

test("more states than are kept change the time, not the answer", () => {
  const regex = new Regex("(?:.*a.{12}|b+)")
  const random = seeded(SEED)
  for (let i = 0; i < 300; i++) {
    const text = Array.from({ length: 40 }, () => (random() < 0.5 ? "a" : "b")).join("")
    expect(regex.matches(text)).toBe(text.at(-13) === "a" || /^b+$/.test(text))
  }
})

test("at the bounds of expression and input, a match takes milliseconds", () => {
  const regex = new Regex(".*a.{490}")
  const random = seeded(SEED)
  const text = Array.from({ length: MAX_REGEX_INPUT_CHARS }, () => (random() < 0.5 ? "a" : "b")).join("")
  const started = performance.now()
  expect(regex.matches(text)).toBe(text.at(-491) === "a")
  expect(performance.now() - started).toBeLessThan(200)
})

test("an input longer than the bound does not match", () => {
  expect(new Regex("a*").matches("a".repeat(MAX_REGEX_INPUT_CHARS))).toBe(true)
  expect(new Regex("a*").matches("a".repeat(MAX_REGEX_INPUT_CHARS + 1))).toBe(false)
})

function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
