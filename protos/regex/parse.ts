// The syntax of regular expressions in routes: that of RE2 without what needs more than one look at a character
// (word boundaries) and without Unicode's classes. What backtracking engines add (references, lookaround) does not exist.
import {
  ALL,
  type CharSet,
  DIGITS,
  NO_LINE_END,
  negated,
  normal,
  POSIX_CLASSES,
  SPACE,
  union,
  WORD,
  withBothCases,
} from "./char_set.ts"

/** Longest expression: the Gateway API's own bound for paths. */
export const MAX_REGEX_CHARS = 1024
/** Deepest nesting of groups: the parser descends once per group. */
export const MAX_REGEX_DEPTH = 64
/** Highest count in braces, as in RE2. */
export const MAX_REGEX_REPEAT = 1000

/** A parsed expression. */
export type RegexNode =
  | { readonly kind: "empty" }
  | { readonly kind: "set"; readonly set: CharSet }
  | { readonly kind: "begin" }
  | { readonly kind: "end" }
  | { readonly kind: "all"; readonly parts: readonly RegexNode[] }
  | { readonly kind: "any"; readonly parts: readonly RegexNode[] }
  /** `max` null for without bound. */
  | { readonly kind: "repeat"; readonly part: RegexNode; readonly min: number; readonly max: number | null }

/** An expression that cannot be used; the message says why, to stand behind what names it. */
export class RegexError extends Error {
  override readonly name = "RegexError"
}

/** @throws RegexError */
export function parseRegex(text: string): RegexNode {
  if (text.length > MAX_REGEX_CHARS) {
    throw new RegexError(`has ${text.length} characters, more than ${MAX_REGEX_CHARS}`)
  }
  return new Parser(text).whole()
}

class Parser {
  private readonly text: string
  private at = 0
  private depth = 0
  private foldCase = false
  private dotTakesAll = false

  constructor(text: string) {
    this.text = text
  }

  whole(): RegexNode {
    const node = this.alternatives()
    if (this.at < this.text.length) this.fail('has a ")" that closes nothing')
    return node
  }

  private fail(message: string): never {
    throw new RegexError(`${message} (at character ${this.at + 1})`)
  }

  private take(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false
    this.at += word.length
    return true
  }

  private alternatives(): RegexNode {
    if (++this.depth > MAX_REGEX_DEPTH) this.fail(`nests more than ${MAX_REGEX_DEPTH} groups`)
    const parts = [this.sequence()]
    while (this.take("|")) parts.push(this.sequence())
    this.depth--
    return parts.length === 1 ? (parts[0] as RegexNode) : { kind: "any", parts }
  }

  private sequence(): RegexNode {
    const parts: RegexNode[] = []
    while (this.at < this.text.length && this.text[this.at] !== "|" && this.text[this.at] !== ")") {
      parts.push(this.repeated())
    }
    if (parts.length === 0) return { kind: "empty" }
    return parts.length === 1 ? (parts[0] as RegexNode) : { kind: "all", parts }
  }

  private repeated(): RegexNode {
    const part = this.single()
    const bounds = this.bounds()
    if (bounds === null) return part
    // A lazy quantifier prefers less; whether all is taken does not depend on what is preferred.
    this.take("?")
    if (this.bounds() !== null) this.fail("repeats a repetition")
    return { kind: "repeat", part, ...bounds }
  }

  private bounds(): { readonly min: number; readonly max: number | null } | null {
    if (this.take("*")) return { min: 0, max: null }
    if (this.take("+")) return { min: 1, max: null }
    if (this.take("?")) return { min: 0, max: 1 }
    const braces = /^\{(\d{1,6})(?:(,)(\d{0,6}))?\}/.exec(this.text.slice(this.at, this.at + 20))
    if (braces === null) return null
    const [whole, low = "", comma, high = ""] = braces
    const min = Number(low)
    const max = comma === undefined ? min : high === "" ? null : Number(high)
    if (Math.max(min, max ?? 0) > MAX_REGEX_REPEAT) {
      this.fail(`repeats more than ${MAX_REGEX_REPEAT} times`)
    }
    if (max !== null && max < min) this.fail(`has bounds that cannot hold: ${whole}`)
    this.at += whole.length
    return { min, max }
  }

  private single(): RegexNode {
    const char = this.text[this.at] as string
    if (char === "(") return this.group()
    if (char === "[") return this.set(this.bracket())
    if (char === "*" || char === "+" || char === "?") this.fail(`has a "${char}" with nothing before it`)
    this.at++
    if (char === ".") return this.set(this.dotTakesAll ? ALL : NO_LINE_END)
    if (char === "^") return { kind: "begin" }
    if (char === "$") return { kind: "end" }
    if (char !== "\\") return this.set(oneChar(char.charCodeAt(0)))
    if (this.take("A")) return { kind: "begin" }
    if (this.take("z")) return { kind: "end" }
    if (this.take("Q")) return this.quoted()
    return this.set(this.escape())
  }

  private set(set: CharSet): RegexNode {
    return { kind: "set", set: this.foldCase ? withBothCases(set) : set }
  }

  private quoted(): RegexNode {
    const end = this.text.indexOf("\\E", this.at)
    const literal = this.text.slice(this.at, end < 0 ? undefined : end)
    this.at += literal.length + (end < 0 ? 0 : 2)
    return { kind: "all", parts: [...literal].map(char => this.set(oneChar(char.charCodeAt(0)))) }
  }

  private group(): RegexNode {
    const { foldCase, dotTakesAll } = this
    this.at++
    if (this.take("?")) {
      const name = /^P?<([A-Za-z_]\w*)>/.exec(this.text.slice(this.at, this.at + 64))
      if (name !== null) this.at += name[0].length
      else if (/^(<?[=!])/.test(this.text.slice(this.at)))
        this.fail("uses lookaround, which RE2 does not have")
      else if (this.flags()) return { kind: "empty" }
    }
    const node = this.alternatives()
    if (!this.take(")")) this.fail('has a "(" that is not closed')
    this.foldCase = foldCase
    this.dotTakesAll = dotTakesAll
    return node
  }

  /** Flags of a group, `(?i)` or `(?i:`; whether they hold for the rest of the group around. */
  private flags(): boolean {
    let on = true
    for (;;) {
      if (this.take(":")) return false
      if (this.take(")")) return true
      if (this.take("-")) on = false
      else if (this.take("i")) this.foldCase = on
      else if (this.take("s")) this.dotTakesAll = on
      else this.fail("has a group flag other than i and s")
    }
  }

  /** What stands behind a backslash, as a set. */
  private escape(): CharSet {
    const char = this.text[this.at]
    if (char === undefined) this.fail("ends in a backslash")
    this.at++
    const set = ESCAPES.get(char)
    if (set !== undefined) return set
    if (char === "x") return oneChar(this.hex())
    if (char === "b" || char === "B") this.fail("uses a word boundary, which routes do not have")
    if (char === "p" || char === "P") this.fail("uses a class of Unicode, which routes do not have")
    if (char >= "1" && char <= "9") this.fail("refers back to a group, which RE2 does not have")
    if (/[A-Za-z0-9]/.test(char)) this.fail(`has an escape that RE2 does not have: \\${char}`)
    return oneChar(char.charCodeAt(0))
  }

  private hex(): number {
    const found = /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,4})\})/.exec(this.text.slice(this.at, this.at + 6))
    if (found === null) this.fail("has \\x without two hex digits")
    this.at += found[0].length
    return Number.parseInt(found[1] ?? found[2] ?? "0", 16)
  }

  private bracket(): CharSet {
    this.at++
    const negate = this.take("^")
    let set: CharSet = []
    let first = true
    while (first || this.text[this.at] !== "]") {
      first = false
      if (this.at >= this.text.length) this.fail('has a "[" that is not closed')
      set = union(set, this.bracketItem())
    }
    this.at++
    if (negate) return negated(this.foldCase ? withBothCases(set) : set)
    return set
  }

  private bracketItem(): CharSet {
    const named = /^\[:(\^?)(\w+):\]/.exec(this.text.slice(this.at, this.at + 16))
    if (named !== null) {
      const found = POSIX_CLASSES.get(named[2] ?? "")
      if (found === undefined) this.fail(`names a class that does not exist: ${named[0]}`)
      this.at += named[0].length
      return named[1] === "^" ? negated(found) : found
    }
    const low = this.bracketChar()
    if (low.length !== 2 || low[0] !== low[1] || this.text[this.at] !== "-") return low
    if (this.text[this.at + 1] === "]" || this.at + 1 >= this.text.length) return low
    this.at++
    const high = this.bracketChar()
    const [first = 0] = low
    const [last = 0, same] = high
    if (high.length !== 2 || last !== same || last < first) this.fail("has a range that goes backwards")
    return [first, last]
  }

  private bracketChar(): CharSet {
    const char = this.text[this.at] as string
    this.at++
    return char === "\\" ? this.escape() : oneChar(char.charCodeAt(0))
  }
}

function oneChar(code: number): CharSet {
  return normal([code, code])
}

const ESCAPES: ReadonlyMap<string, CharSet> = new Map([
  ["d", DIGITS],
  ["D", negated(DIGITS)],
  ["w", WORD],
  ["W", negated(WORD)],
  ["s", SPACE],
  ["S", negated(SPACE)],
  ["t", oneChar(0x09)],
  ["n", oneChar(0x0a)],
  ["v", oneChar(0x0b)],
  ["f", oneChar(0x0c)],
  ["r", oneChar(0x0d)],
  ["a", oneChar(0x07)],
])
