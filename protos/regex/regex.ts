// Matching in time that the input's length and the expression's size bound: a deterministic automaton, built state by
// state as input asks for it (RE2's way). Nothing backtracks; a match over states that are known allocates nothing.
import { parseRegex } from "./parse.ts"
import { compileProgram, OP_BEGIN, OP_END, OP_MATCH, OP_SET, OP_SPLIT, type RegexProgram } from "./program.ts"

/** Longest input; what is longer does not match. Paths and header values beyond it are no route's business. */
export const MAX_REGEX_INPUT_CHARS = 4096
/** States kept of one expression: a few dozen are usual. At the cap all are forgotten, and built anew as needed. */
export const MAX_REGEX_STATES = 256

/** Transition that was not asked for yet. */
const UNKNOWN = -1
/** State from which nothing matches. */
const DEAD = 0

/**
 * A compiled expression, which must take the whole of its input.
 *
 * @example new Regex("/v[0-9]+/.*").matches("/v2/orders") // true
 */
export class Regex {
  /** As it was written. */
  readonly source: string
  private readonly program: RegexProgram
  /** Instructions of each state, sorted; state 0 has none. */
  private states: Int32Array[] = []
  private ids = new Map<string, number>()
  /** By state and class: next state, or UNKNOWN. */
  private next: Int32Array
  /** By state: whether the input may end in it. */
  private readonly accepting = new Uint8Array(MAX_REGEX_STATES)
  private first = DEAD
  /** Marks of the instructions seen in one closure; `mark` is the mark of this one. */
  private readonly seen: Int32Array
  private mark = 0
  private readonly stack: Int32Array
  private readonly found: Int32Array
  private foundCount = 0

  /** @throws RegexError when it cannot be used; the message says why */
  constructor(source: string) {
    this.source = source
    this.program = compileProgram(parseRegex(source))
    const size = this.program.ops.length
    this.seen = new Int32Array(size)
    this.stack = new Int32Array(size * 2 + 2)
    this.found = new Int32Array(size)
    this.next = new Int32Array(8 * this.program.classCount)
    this.forget()
  }

  /** Whether the expression takes all of the text. */
  matches(text: string): boolean {
    return this.matchesRange(text, 0, text.length)
  }

  /** Whether the expression takes all of the text from `start` to `end`. */
  matchesRange(text: string, start: number, end: number): boolean {
    if (end - start > MAX_REGEX_INPUT_CHARS) return false
    const { classes, classCount } = this.program
    let state = this.first
    let built = 0
    for (let i = start; i < end; i++) {
      const char = text.charCodeAt(i)
      // classes has 256 entries; next has classCount entries for each state.
      const charClass = char < 256 ? classes[char]! : this.classAbove(char)
      let after = this.next[state * classCount + charClass]!
      if (after === UNKNOWN) {
        if (built++ === MAX_REGEX_STATES) return this.simulate(text, i, end, state)
        after = this.step(state, charClass)
      }
      if (after === DEAD) return false
      state = after
    }
    return this.accepting[state] === 1
  }

  private classAbove(char: number): number {
    const { highStarts, highClasses } = this.program
    let low = 0
    let high = highStarts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((highStarts[middle] ?? 0) <= char) low = middle
      else high = middle - 1
    }
    return highClasses[low] ?? 0
  }

  /** The state after a character of the class; built if it is new. */
  private step(from: number, charClass: number): number {
    const { ops, args, nexts, takes, classCount } = this.program
    const instructions = this.states[from] ?? new Int32Array()
    this.begin()
    for (const at of instructions) {
      if (ops[at] === OP_SET && takes[args[at] ?? 0]?.[charClass] === 1)
        this.follow(nexts[at] ?? 0, false, false)
    }
    const key = this.key()
    let to = this.ids.get(key)
    if (to === undefined) {
      if (this.states.length >= MAX_REGEX_STATES) {
        // The set that was found survives: it is the only state that the match goes on from.
        const kept = this.found.slice(0, this.foundCount)
        this.forget()
        return this.add(kept, kept.join())
      }
      to = this.add(this.found.slice(0, this.foundCount), key)
    }
    this.next[from * classCount + charClass] = to
    return to
  }

  /**
   * The rest of an input that asks for ever new states, set by set, without keeping them: a state costs far more to
   * build than to pass through once.
   */
  private simulate(text: string, start: number, end: number, state: number): boolean {
    const { ops, args, nexts, takes, classes } = this.program
    const set = new Int32Array(ops.length)
    let count = 0
    for (const at of this.states[state] ?? []) set[count++] = at
    for (let i = start; i < end; i++) {
      const char = text.charCodeAt(i)
      const charClass = char < 256 ? classes[char]! : this.classAbove(char)
      this.begin()
      for (let j = 0; j < count; j++) {
        const at = set[j] ?? 0
        if (ops[at] === OP_SET && takes[args[at] ?? 0]?.[charClass] === 1)
          this.follow(nexts[at] ?? 0, false, false)
      }
      count = this.foundCount
      if (count === 0) return false
      for (let j = 0; j < count; j++) set[j] = this.found[j] ?? 0
    }
    return this.accepts(set.subarray(0, count), false)
  }

  private begin(): void {
    this.mark++
    this.foundCount = 0
  }

  /** Adds to `found` every instruction that can be reached without taking a character, and that waits for one. */
  private follow(from: number, atBegin: boolean, atEnd: boolean): void {
    const { ops, args, nexts } = this.program
    const { stack, seen } = this
    let depth = 0
    stack[depth++] = from
    while (depth > 0) {
      const at = stack[--depth] ?? 0
      if (seen[at] === this.mark) continue
      seen[at] = this.mark
      const op = ops[at]
      if (op === OP_SPLIT) {
        stack[depth++] = args[at] ?? 0
        stack[depth++] = nexts[at] ?? 0
      } else if ((op === OP_BEGIN && atBegin) || (op === OP_END && atEnd)) {
        stack[depth++] = nexts[at] ?? 0
      } else if (op !== OP_BEGIN) this.found[this.foundCount++] = at
    }
  }

  private key(): string {
    const set = this.found.subarray(0, this.foundCount)
    set.sort()
    return set.join()
  }

  private add(instructions: Int32Array, key: string, atBegin = false): number {
    const id = this.states.length
    const { classCount } = this.program
    if ((id + 1) * classCount > this.next.length) {
      const grown = new Int32Array(this.next.length * 2)
      grown.set(this.next)
      this.next = grown
    }
    this.next.fill(UNKNOWN, id * classCount, (id + 1) * classCount)
    this.states.push(instructions)
    this.ids.set(key, id)
    this.accepting[id] = this.accepts(instructions, atBegin) ? 1 : 0
    return id
  }

  private accepts(instructions: Int32Array, atBegin: boolean): boolean {
    const { ops } = this.program
    this.begin()
    for (const at of instructions) this.follow(at, atBegin, true)
    for (let i = 0; i < this.foundCount; i++) if (ops[this.found[i] ?? 0] === OP_MATCH) return true
    return false
  }

  private forget(): void {
    this.states = []
    this.ids = new Map()
    this.add(new Int32Array(), "")
    this.next.fill(DEAD, 0, this.program.classCount)
    this.begin()
    this.follow(this.program.start, true, false)
    const instructions = this.found.slice(0, this.foundCount).sort()
    // Apart from all others: only here an input that ends has its beginning at its end.
    this.first = this.add(instructions, `begin ${instructions.join()}`, true)
  }
}
