// What commands print: one set of rows as a table, a wide table, JSON or YAML; data goes to standard output only.

import { didYouMean } from "../deploy/suggest/mod.ts"
import { UsageError } from "./failure.ts"

/** How rows are shown. */
export type Format = "table" | "wide" | "json" | "yaml"

/** The formats of `-o`. */
export const FORMATS: readonly Format[] = ["table", "wide", "json", "yaml"]

/** One column of a table; the list of columns is the documentation of the table. */
export interface Column<Row> {
  /** Heading. */
  readonly title: string
  /** The cell's text; null is shown as `-`. */
  readonly cell: (row: Row) => string | null
  /** Numbers stand right. */
  readonly right?: boolean
  /** Only with `-o wide`. */
  readonly wide?: boolean
}

/**
 * Reads `-o`.
 *
 * @throws UsageError when there is no such format
 */
export function formatOf(value: string | undefined): Format
export function formatOf<Known extends string>(value: string | undefined, allowed: readonly Known[]): Known
export function formatOf(value: string | undefined, allowed: readonly string[] = FORMATS): string {
  const format = allowed.find(one => one === (value ?? "table"))
  if (format === undefined) {
    throw new UsageError(
      `-o cannot be "${value}"${didYouMean(value ?? "", allowed)}; it is one of ${allowed.join(", ")}`,
    )
  }
  return format
}

/** Rows as a table, its last column not padded; a heading even without rows. */
export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  format: Format,
): string {
  const shown = columns.filter(column => format === "wide" || !column.wide)
  const lines = [
    shown.map(column => column.title),
    ...rows.map(row => shown.map(column => column.cell(row) ?? "-")),
  ]
  const widths = shown.map((_, index) => Math.max(...lines.map(line => line[index]?.length ?? 0)))
  const text = lines.map(line =>
    line
      .map((cell, index) =>
        shown[index]?.right ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0),
      )
      .join("   ")
      .trimEnd(),
  )
  return `${text.join("\n")}\n`
}

/** Any value as JSON or YAML, with a newline at its end. */
export async function renderData(value: unknown, format: "json" | "yaml"): Promise<string> {
  if (format === "json") return `${JSON.stringify(value, null, 2)}\n`
  const { stringify } = await import("yaml")
  return stringify(value)
}

/**
 * Rows in the format asked for.
 *
 * @param data what JSON and YAML show of the rows; their shape is a contract, the table's is not
 */
export async function render<Row>(
  format: Format,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  data: (row: Row) => unknown,
): Promise<string> {
  if (format === "table" || format === "wide") return renderTable(rows, columns, format)
  return await renderData(rows.map(data), format)
}

/** Writes data to standard output. */
export function writeOut(text: string): void {
  process.stdout.write(text)
}

/** Tells a person something beside the data, on standard error. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Whether a stream may be coloured: a terminal, and NO_COLOR is not set (no-color.org). */
export function colourOn(
  stream: { readonly isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  return stream.isTTY === true && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb"
}

/** A share of 0..1 as a percentage with two decimals. */
export function percent(share: number | null): string | null {
  return share === null ? null : `${(share * 100).toFixed(2)}%`
}

/** Requests a second with one decimal. */
export function rate(perSecond: number | null): string | null {
  return perSecond === null ? null : perSecond.toFixed(1)
}

/** Milliseconds: whole ones, with one decimal below ten. */
export function millis(ms: number | null): string | null {
  if (ms === null) return null
  return ms < 9.95 ? `${Number(ms.toFixed(1))}ms` : `${Math.round(ms)}ms`
}

/** Bytes a second in the unit that fits (powers of 1024). */
export function byteRate(perSecond: number | null): string | null {
  if (perSecond === null) return null
  let value = perSecond
  for (const unit of ["B/s", "KiB/s", "MiB/s", "GiB/s"]) {
    if (value < 1024 || unit === "GiB/s")
      return `${unit === "B/s" ? Math.round(value) : value.toFixed(1)}${unit}`
    value /= 1024
  }
  return null
}

/** A stretch of time as people say it: `42s`, `5m`, `3h`, `12d`. */
export function ago(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`
}
