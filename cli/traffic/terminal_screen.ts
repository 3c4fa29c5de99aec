// A terminal that is drawn on as a whole, and given back as it was, however the process ends.
import { writeSync } from "node:fs"

const ENTER = "\u001b[?1049h\u001b[?25l"
const LEAVE = "\u001b[?25h\u001b[?1049l"

/** The terminal as a screen, from `open` to its disposal or the end of the process. */
export class TerminalScreen implements Disposable {
  private open = true
  private readonly resized: () => void
  private readonly pressed: (bytes: Buffer) => void
  private readonly leave = (): void => this[Symbol.dispose]()

  /** @param onKey  told of keys, each as the terminal sends it; @param onResize  told that the size is another one */
  constructor(onKey: (key: string) => void, onResize: () => void) {
    this.resized = onResize
    this.pressed = bytes => {
      for (const key of keysOf(bytes.toString("latin1"))) onKey(key)
    }
    process.on("exit", this.leave)
    process.stdout.write(ENTER)
    process.stdout.on("resize", this.resized)
    if (process.stdin.isTTY) {
      process.stdin.setRawMode(true)
      process.stdin.on("data", this.pressed)
      process.stdin.resume()
    }
  }

  get width(): number {
    return process.stdout.columns || 80
  }

  get height(): number {
    return process.stdout.rows || 24
  }

  /** Draws lines from the top; what was below is cleared. */
  draw(lines: readonly string[]): void {
    if (this.open)
      process.stdout.write(`\u001b[H${lines.map(line => `${line}\u001b[K`).join("\r\n")}\u001b[J`)
  }

  [Symbol.dispose](): void {
    if (!this.open) return
    this.open = false
    process.off("exit", this.leave)
    process.stdout.off("resize", this.resized)
    if (process.stdin.isTTY) {
      process.stdin.off("data", this.pressed)
      process.stdin.setRawMode(false)
      process.stdin.pause()
    }
    // At the end of a process nothing else is written any more.
    writeSync(1, LEAVE)
  }
}

/** Keys in what a terminal sent: sequences whole, everything else character by character. */
export function keysOf(text: string): string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keys are sent as such
  return text.match(/\u001b\[[0-9;]*[A-Za-z~]|\u001bO[A-Z]|[\s\S]/g) ?? []
}
