// A parsed expression as a nondeterministic automaton (Thompson): instructions that take a character, or lead on.
import { LAST_CHAR } from "./char_set.ts"
import { type RegexNode, RegexError } from "./parse.ts"

/**
 * Most instructions of an automaton. One character of input costs at most one look at each, so this, with the bound on
 * the input's length, bounds the time of a match.
 */
export const MAX_REGEX_PROGRAM = 500
/** Most nodes visited while compiling: counts in braces multiply also what takes no instruction. */
export const MAX_REGEX_COMPILE_STEPS = 20_000

/** Takes a character of the set `arg`, and goes to `next`. */
export const OP_SET = 0
/** Goes to `next` and to `arg`. */
export const OP_SPLIT = 1
/** Goes to `next` at the beginning of the input. */
export const OP_BEGIN = 2
/** Goes to `next` at the end of the input. */
export const OP_END = 3
/** The expression has matched. */
export const OP_MATCH = 4

/** An automaton. Characters that no instruction tells apart are one class. */
export interface RegexProgram {
  readonly ops: Uint8Array
  readonly args: Int32Array
  readonly nexts: Int32Array
  readonly start: number
  /** Class of each character up to 255. */
  readonly classes: Uint16Array
  /** First character of each class interval above 255, ascending, and the class of each. */
  readonly highStarts: Int32Array
  readonly highClasses: Int32Array
  readonly classCount: number
  /** By set and class: whether the set takes the class, 1 or 0. */
  readonly takes: readonly Uint8Array[]
}

/** @throws RegexError when it would be too large */
export function compileProgram(root: RegexNode): RegexProgram {
  const compiler = new Compiler()
  const match = compiler.emit(OP_MATCH, 0, 0)
  const start = compiler.node(root, match)
  return compiler.finish(start)
}

class Compiler {
  private readonly ops: number[] = []
  private readonly args: number[] = []
  private readonly nexts: number[] = []
  private readonly sets: (readonly number[])[] = []
  private readonly setIds = new Map<string, number>()
  private steps = 0

  emit(op: number, arg: number, next: number): number {
    if (this.ops.length >= MAX_REGEX_PROGRAM) {
      throw new RegexError(
        `is too large: written out, it has more than ${MAX_REGEX_PROGRAM} steps; shorten its counts in braces`,
      )
    }
    this.ops.push(op)
    this.args.push(arg)
    this.nexts.push(next)
    return this.ops.length - 1
  }

  /** Compiles a node so that it leads to `next`; its first instruction. */
  node(node: RegexNode, next: number): number {
    if (++this.steps > MAX_REGEX_COMPILE_STEPS) {
      throw new RegexError("is too large: its counts in braces multiply")
    }
    switch (node.kind) {
      case "empty":
        return next
      case "set":
        return this.emit(OP_SET, this.setId(node.set), next)
      case "begin":
        return this.emit(OP_BEGIN, 0, next)
      case "end":
        return this.emit(OP_END, 0, next)
      case "all":
        return node.parts.reduceRight((after, part) => this.node(part, after), next)
      case "any":
        return node.parts
          .map(part => this.node(part, next))
          .reduceRight((rest, first) => this.emit(OP_SPLIT, rest, first))
      case "repeat":
        return this.repeat(node, next)
    }
  }

  private repeat(node: Extract<RegexNode, { kind: "repeat" }>, next: number): number {
    let entry = next
    if (node.max === null) {
      // The loop's split is made first, so that its body can lead back to it.
      const loop = this.emit(OP_SPLIT, next, next)
      this.nexts[loop] = this.node(node.part, loop)
      entry = loop
    } else {
      for (let i = node.min; i < node.max; i++) entry = this.emit(OP_SPLIT, next, this.node(node.part, entry))
    }
    for (let i = 0; i < node.min; i++) entry = this.node(node.part, entry)
    return entry
  }

  private setId(set: readonly number[]): number {
    const key = set.join()
    const known = this.setIds.get(key)
    if (known !== undefined) return known
    this.setIds.set(key, this.sets.length)
    return this.sets.push(set) - 1
  }

  finish(start: number): RegexProgram {
    const bounds = new Set<number>([0])
    for (const set of this.sets) {
      for (let i = 0; i < set.length; i += 2) {
        bounds.add(set[i] ?? 0)
        if ((set[i + 1] ?? 0) < LAST_CHAR) bounds.add((set[i + 1] ?? 0) + 1)
      }
    }
    const starts = [...bounds].sort((a, b) => a - b)
    // Intervals that the same sets take are one class.
    const classOf = new Map<string, number>()
    const intervalClasses = starts.map(first => {
      const key = this.sets.map(set => (contains(set, first) ? "1" : "0")).join("")
      const known = classOf.get(key)
      if (known !== undefined) return known
      classOf.set(key, classOf.size)
      return classOf.size - 1
    })
    const takes = this.sets.map(set => {
      const row = new Uint8Array(classOf.size)
      for (const [index, first] of starts.entries()) {
        if (contains(set, first)) row[intervalClasses[index] ?? 0] = 1
      }
      return row
    })
    const classes = new Uint16Array(256)
    let interval = 0
    for (let char = 0; char < 256; char++) {
      while (interval + 1 < starts.length && (starts[interval + 1] ?? 0) <= char) interval++
      classes[char] = intervalClasses[interval] ?? 0
    }
    return {
      ops: Uint8Array.from(this.ops),
      args: Int32Array.from(this.args),
      nexts: Int32Array.from(this.nexts),
      start,
      classes,
      highStarts: Int32Array.from(starts.slice(interval)),
      highClasses: Int32Array.from(intervalClasses.slice(interval)),
      classCount: classOf.size,
      takes,
    }
  }
}

function contains(set: readonly number[], char: number): boolean {
  for (let i = 0; i < set.length; i += 2) {
    if (char < (set[i] ?? 0)) return false
    if (char <= (set[i + 1] ?? 0)) return true
  }
  return false
}
