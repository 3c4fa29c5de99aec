// Which of many short texts stand in an input, told by one walk over it (Aho and Corasick): a table of routes rules out
// most of its expressions by the text that each must contain, and pays for all of them once.

/** Of longer texts the last characters are looked for: what tells them apart is mostly there. */
const MAX_CHARS = 16
/** Most states: with more texts than fit, the rest must be looked for one by one. Bounds a table to some 700 KB. */
export const MAX_SCAN_STATES = 4096

/** Looks for texts. */
export class LiteralScan {
  /** How many of the texts given are looked for: the first ones. */
  readonly count: number
  private readonly classes = new Uint8Array(256)
  private readonly classCount: number
  /** By state and class: the state after it. */
  private readonly next: Uint16Array
  /** By state: the texts that end there. */
  private readonly ends: readonly (readonly number[] | null)[]
  /** By text: the number of the scan that found it last. */
  private readonly foundIn: Int32Array
  private scans = 0

  /** @param literals  not empty; of characters up to 255 */
  constructor(literals: readonly string[]) {
    const children: Map<number, number>[] = [new Map()]
    const ends: number[][] = [[]]
    let count = 0
    for (const literal of literals) {
      const text = literal.slice(-MAX_CHARS)
      if (children.length + text.length > MAX_SCAN_STATES) break
      let state = 0
      for (let i = 0; i < text.length; i++) {
        const char = text.charCodeAt(i)
        let to = children[state]?.get(char)
        if (to === undefined) {
          to = children.length
          children.push(new Map())
          ends.push([])
          children[state]?.set(char, to)
          // Class 0 is that of all characters that stand in none.
          this.classes[char] ||= 1
        }
        state = to
      }
      ends[state]?.push(count++)
    }
    this.count = count
    let classCount = 1
    for (let char = 0; char < 256; char++) if (this.classes[char] === 1) this.classes[char] = classCount++
    this.classCount = classCount
    this.next = new Uint16Array(children.length * classCount)
    this.foundIn = new Int32Array(count)
    this.link(children, ends)
    this.ends = ends.map(list => (list.length === 0 ? null : list))
  }

  /** Whether any of the texts stands in the first `end` characters; `has` tells which. */
  scan(text: string, end: number): boolean {
    const { classes, classCount, next, ends } = this
    const scan = ++this.scans
    let state = 0
    let any = false
    for (let i = 0; i < end; i++) {
      const char = text.charCodeAt(i)
      // classes has 256 entries; next has classCount entries for each state, as ends has one.
      state = next[state * classCount + (char < 256 ? classes[char]! : 0)]!
      const found = ends[state]!
      if (found === null) continue
      any = true
      for (let j = 0; j < found.length; j++) this.foundIn[found[j]!] = scan
    }
    return any
  }

  /** Whether a text, by its place among those given, was found by the last scan. */
  has(literal: number): boolean {
    return this.foundIn[literal] === this.scans
  }

  /** Completes the tree: where no text goes on, the longest beginning of one that ends here does. */
  private link(children: readonly Map<number, number>[], ends: readonly number[][]): void {
    const { classes, classCount, next } = this
    const fallback = new Uint16Array(children.length)
    // Breadth first: the state that one falls back to is nearer to the root, and complete.
    const queue = [0]
    for (let head = 0; head < queue.length; head++) {
      const state = queue[head] ?? 0
      const back = fallback[state] ?? 0
      if (state !== 0) {
        next.copyWithin(state * classCount, back * classCount, (back + 1) * classCount)
        ends[state]?.push(...(ends[back] ?? []))
      }
      for (const [char, to] of children[state] ?? []) {
        const at = state * classCount + (classes[char] ?? 0)
        fallback[to] = state === 0 ? 0 : (next[at] ?? 0)
        next[at] = to
        queue.push(to)
      }
    }
  }
}
