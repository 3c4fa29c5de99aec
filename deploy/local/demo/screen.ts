// Where the demo shows its table: redrawn in place on a terminal, a line of progress now and then on a pipe.

/** The part of an output stream that the demo needs. */
export interface Output {
  readonly isTTY?: boolean
  readonly rows?: number
  readonly columns?: number
  write(text: string): unknown
}

/** Lines redrawn in place. */
export class Screen {
  readonly #output: Output
  #drawn = 0

  constructor(output: Output) {
    this.#output = output
  }

  /** Replaces what was drawn last. On a small terminal the lines that do not fit are left out, and told of. */
  draw(lines: readonly string[]): void {
    const room = Math.max(4, (this.#output.rows ?? 24) - 1)
    const fitting =
      lines.length <= room
        ? lines
        : [...lines.slice(0, room - 1), `... ${lines.length - room + 1} more lines: make the window taller`]
    const columns = this.#output.columns ?? 80
    this.#output.write(`${this.#back()}${fitting.map(line => clip(line, columns)).join("\n")}\n`)
    this.#drawn = fitting.length
  }

  /** Takes away what was drawn last, to make room for what stays. */
  clear(): void {
    this.#output.write(this.#back())
    this.#drawn = 0
  }

  #back(): string {
    return this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A\r\x1b[J`
  }
}

/** Cuts a line to a width, not counting colours: a line that wraps would spoil drawing in place. */
export function clip(line: string, columns: number): string {
  let width = 0
  let out = ""
  for (let index = 0; index < line.length; index++) {
    if (line[index] === "\x1b") {
      const end = line.indexOf("m", index)
      if (end < 0) break
      out += line.slice(index, end + 1)
      index = end
    } else if (width < columns) {
      out += line[index]
      width++
    }
  }
  return out
}
