// Insertions and deletions in a text, collected and carried out at once. Lines are the unit of block style: what is
// inserted as lines and later deleted as lines leaves the text as it was, also at an end without a newline.

interface Span {
  start: number
  end: number
}

/** Changes of one text; all offsets are of the text as it was. */
export class Splices {
  /** The text's own end of line. */
  readonly eol: string
  readonly #text: string
  readonly #insertions: { at: number; text: string }[] = []
  readonly #deletions: (Span & { lines: boolean })[] = []

  constructor(text: string) {
    this.#text = text
    const newline = text.indexOf("\n")
    this.eol = newline > 0 && text[newline - 1] === "\r" ? "\r\n" : "\n"
  }

  /** Inserts before the character at `at`; of several at one place the first call comes first. */
  insert(at: number, text: string): void {
    this.#insertions.push({ at, text })
  }

  /** Inserts whole lines after the line on which the character before `after` stands. */
  insertLines(after: number, lines: readonly string[]): void {
    if (lines.length === 0) return
    const at = this.#lineEnd(after)
    const text = lines.join(this.eol)
    const isOpenEnd = at === this.#text.length && at > 0 && this.#text[at - 1] !== "\n"
    this.#insertions.push({ at, text: isOpenEnd ? this.eol + text : text + this.eol })
  }

  /** Deletes from `start` up to, not including, `end`. */
  delete(start: number, end: number): void {
    if (end > start) this.#deletions.push({ start, end, lines: false })
  }

  /**
   * Deletes the lines from `start` to the one on which the character before `end` stands; where something else
   * precedes on the first line, from there up to `next`.
   */
  deleteLines(start: number, end: number, next: number): void {
    const lineStart = this.#text.lastIndexOf("\n", start - 1) + 1
    const isAlone = this.#text.slice(lineStart, start).trim() === ""
    if (isAlone) this.#deletions.push({ start: lineStart, end: this.#lineEnd(end), lines: true })
    else this.#deletions.push({ start, end: Math.max(next, end), lines: false })
  }

  /** The changed text. */
  apply(): string {
    const parts: string[] = []
    const deletions = this.#merged()
    let at = 0
    let next = 0
    const copyTo = (end: number): void => {
      while (at < end) {
        const gone = deletions[next]
        if (gone === undefined || gone.start >= end) {
          parts.push(this.#text.slice(at, end))
          at = end
        } else {
          if (gone.start > at) parts.push(this.#text.slice(at, gone.start))
          at = Math.max(at, gone.end)
          next++
        }
      }
    }
    // Sorting is stable: of several insertions at one place the first call comes first.
    for (const insertion of this.#insertions.sort((a, b) => a.at - b.at)) {
      copyTo(insertion.at)
      parts.push(insertion.text)
    }
    copyTo(this.#text.length)
    return parts.join("")
  }

  /** Where the line ends on which the character before `offset` stands. */
  #lineEnd(offset: number): number {
    if (offset > 0 && this.#text[offset - 1] === "\n") return offset
    const newline = this.#text.indexOf("\n", offset)
    return newline < 0 ? this.#text.length : newline + 1
  }

  #merged(): Span[] {
    const merged: (Span & { lines: boolean })[] = []
    for (const span of [...this.#deletions].sort((a, b) => a.start - b.start)) {
      const last = merged.at(-1)
      if (last !== undefined && span.start <= last.end) {
        last.end = Math.max(last.end, span.end)
        last.lines = span.lines
      } else merged.push({ ...span })
    }
    const last = merged.at(-1)
    const isOpenEnd = last?.end === this.#text.length && last.lines && !this.#text.endsWith("\n")
    // The last line of a text without a newline at its end takes the newline before it away.
    if (last !== undefined && isOpenEnd && last.start > 0) {
      last.start -= this.#text.startsWith("\r\n", last.start - 2) ? 2 : 1
    }
    return merged
  }
}
