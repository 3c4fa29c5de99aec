// How checks are shown: lines for people, with ticks and colours on a terminal, and data for programs.
import { MARKS, paint } from "../marks.ts"
import type { Made } from "./run.ts"

/** A check of `conduit check -o json`. */
export interface CheckLine {
  /** Stable; also the anchor in CHECKS.md. */
  readonly id: string
  readonly about: string
  /** `skipped`: not made, since one that it needs did not succeed. */
  readonly result: "success" | "warning" | "failure" | "skipped"
  /** What was seen where all is well. */
  readonly detail: string | null
  /** What is wrong; for `skipped` the check that it needs. */
  readonly why: string | null
  readonly todo: string | null
  /** Where to read on; null where nothing is wrong. */
  readonly link: string | null
}

/** `conduit check -o json`. */
export interface CheckReport {
  /** No check failed; warnings do not count. */
  readonly success: boolean
  readonly sections: readonly { readonly name: string; readonly checks: readonly CheckLine[] }[]
}

/** How lines look. */
export interface Look {
  /** On a terminal. */
  readonly ticks: boolean
  readonly colour: boolean
  /** Only what is not well. */
  readonly short: boolean
  /** Also what was not made. */
  readonly verbose: boolean
}

/** Where a check is explained. */
export function linkOf(id: string): string {
  return `CHECKS.md#${id}`
}

/** Prints checks as they are made. */
export class Printer {
  private readonly look: Look
  private readonly write: (text: string) => void
  private section = ""

  constructor(look: Look, write: (text: string) => void) {
    this.look = look
    this.write = write
  }

  /** One check. */
  made(made: Made): void {
    const { look } = this
    const line = lineOf(made)
    if (look.short && (line.result === "success" || line.result === "skipped")) return
    if (line.result === "skipped" && !look.verbose) return
    const { section } = made.check
    if (section !== this.section) {
      this.write(`${this.section === "" ? "" : "\n"}${paint(section, 1, look)}\n`)
      this.section = section
    }
    const { tick, word, colour } = MARKS[line.result]
    const detail = line.detail === null ? "" : ` (${line.detail})`
    this.write(`  ${paint(look.ticks ? tick : word, colour, look)} ${line.about}${detail}\n`)
    if (line.why !== null) this.indented(line.why)
    if (line.todo !== null) this.indented(`${look.ticks ? "→" : "->"} ${line.todo}`)
    if (line.link !== null) this.indented(paint(`see ${line.link}`, 2, look))
  }

  /** The last line. */
  summary(all: readonly Made[]): void {
    const { look } = this
    const results = all.map(made => lineOf(made).result)
    const number = (result: CheckLine["result"]) => results.filter(one => one === result).length
    const [failures, warnings, skipped] = [number("failure"), number("warning"), number("skipped")]
    const begin = this.section === "" ? "" : "\n"
    const parts = [
      failures > 0 ? `${failures} failed` : "",
      warnings > 0 ? `${warnings} ${warnings === 1 ? "warns" : "warn"}` : "",
      skipped > 0 ? `${skipped} could not be made` : "",
    ].filter(part => part !== "")
    const text = parts.length === 0 ? "all succeeded" : parts.join(", ")
    const colour = failures > 0 ? 31 : warnings > 0 ? 33 : 32
    this.write(`${begin}${paint(`${all.length} checks: ${text}`, colour, look)}\n`)
  }

  private indented(text: string): void {
    const margin = this.look.ticks ? "    " : "         "
    for (const line of text.split("\n")) this.write(`${margin}${line}\n`)
  }
}

/** Checks as data, in sections. */
export function reportOf(all: readonly Made[]): CheckReport {
  const sections = new Map<string, CheckLine[]>()
  for (const made of all) {
    const { section } = made.check
    sections.set(section, [...(sections.get(section) ?? []), lineOf(made)])
  }
  return {
    success: succeeded(all),
    sections: [...sections].map(([name, checks]) => ({ name, checks })),
  }
}

/** Whether no check failed. */
export function succeeded(all: readonly Made[]): boolean {
  return all.every(({ finding }) => finding !== null && finding.state !== "failure")
}

function lineOf({ check: { id, about }, finding, needed }: Made): CheckLine {
  if (finding === null) {
    const why = `it needs ${needed}`
    return { id, about, result: "skipped", detail: null, why, todo: null, link: null }
  }
  if (finding.state === "success") {
    const detail = finding.detail === "" ? null : finding.detail
    return { id, about, result: "success", detail, why: null, todo: null, link: null }
  }
  const { state, why, todo } = finding
  return { id, about, result: state, detail: null, why, todo, link: linkOf(id) }
}
