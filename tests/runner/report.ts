// What a person sees of a test run: a line as each step ends, what is running now on a terminal, a summary at the end.
import type { StepResult } from "./step.ts"

/** Lines of a failed step's output that are shown; all of them are in its log. */
const SHOWN_LINES = 150

/** Writes the progress of a run to a stream. */
export class Report {
  readonly #out: NodeJS.WriteStream
  readonly #logs: string
  readonly #running = new Map<string, number>()
  readonly #ticker: Timer | null

  /** @param logs folder of the steps' logs, named in failures */
  constructor(out: NodeJS.WriteStream, logs: string) {
    this.#out = out
    this.#logs = logs
    this.#ticker = out.isTTY ? setInterval(() => this.#drawRunning(), 500) : null
  }

  /** A step begins. */
  begin(name: string): void {
    this.#running.set(name, performance.now())
    if (!this.#out.isTTY) this.#line(`  ..    ${name}`)
  }

  /** A step ended, or could not run. */
  end(result: StepResult): void {
    this.#running.delete(result.step.name)
    if (result.notRun !== null) {
      const mark = result.failed > 0 ? "FAILED" : "NOT RUN"
      this.#line(`  ${mark} ${result.step.name}: ${result.notRun}`)
      return
    }
    const mark = result.failed === 0 ? "ok    " : "FAILED"
    const counts = result.step.counted ? `${result.passed} passed, ${result.failed} failed, ` : ""
    this.#line(
      `  ${mark}  ${result.step.name.padEnd(24)} ${counts}${result.seconds.toFixed(1)} s   ${result.step.what}`,
    )
    if (result.failed === 0) return
    const telling = tellingLines(result)
    if (telling.length > SHOWN_LINES) this.#line(`        ... all of it is in ${this.#logs}`)
    for (const line of telling.slice(-SHOWN_LINES)) this.#line(`        ${line}`)
  }

  /** The summary; its last line is `N passed, N failed`. */
  finish(results: readonly StepResult[]): void {
    if (this.#ticker !== null) clearInterval(this.#ticker)
    const failed = results.filter(result => result.failed > 0)
    const notRun = results.filter(result => result.notRun !== null && result.failed === 0)
    if (failed.length > 0) this.#line(`\nFailed: ${failed.map(result => result.step.name).join(", ")}`)
    if (notRun.length > 0)
      this.#line(`\nNot run on this machine: ${notRun.map(result => result.step.name).join(", ")}`)
    const sum = (pick: (result: StepResult) => number): number =>
      results.reduce((total, one) => total + pick(one), 0)
    this.#line(`\n${sum(one => one.passed)} passed, ${sum(one => one.failed)} failed`)
  }

  #line(text: string): void {
    this.#out.write(this.#out.isTTY ? `\r\u001b[K${text}\n` : `${text}\n`)
  }

  #drawRunning(): void {
    const now = performance.now()
    const names = [...this.#running].map(([name, since]) => `${name} ${Math.round((now - since) / 1000)} s`)
    this.#out.write(`\r\u001b[K${names.length === 0 ? "" : `  ${names.join(", ")}`}`)
  }
}

/** What a failed step's output says about failures: passing tests, and files in which all passed, are left out. */
function tellingLines(result: StepResult): string[] {
  const output = result.output.trimEnd()
  if (!result.step.counted) return output.split("\n")
  const withoutPasses = output.replace(/^\(pass\).*\n/gm, "")
  return withoutPasses.replace(/^\S+_test\.ts:\n\n(?=\S+_test\.ts:\n|\n)/gm, "").split("\n")
}
