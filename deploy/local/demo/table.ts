// What the demo shows: tables of the mesh's figures as lines of text, with colour only where asked for.
import type { Edge, HttpFigures, StatRow } from "../../../protos/mod.ts"
import { type Comparison, successOf } from "./compare.ts"

/** How lines are painted. */
export interface Paint {
  bold(text: string): string
  dim(text: string): string
  good(text: string): string
  bad(text: string): string
}

/** No colour. */
export const PLAIN: Paint = { bold: same, dim: same, good: same, bad: same }

/** ANSI colours, for a terminal. */
export const COLOURED: Paint = {
  bold: text => `\x1b[1m${text}\x1b[22m`,
  dim: text => `\x1b[2m${text}\x1b[22m`,
  good: text => `\x1b[32m${text}\x1b[39m`,
  bad: text => `\x1b[33m${text}\x1b[39m`,
}

/** A figure that no traffic stands behind. */
const NOTHING = "-"

interface Cell {
  readonly text: string
  readonly paint?: (text: string) => string
}

/** Lines of a table, columns as wide as their widest cell; the first `leftColumns` are aligned left. */
function align(rows: readonly (readonly Cell[])[], leftColumns: number): string[] {
  const widths: number[] = []
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.text.length)
  return rows.map(row =>
    row
      .map((cell, index) => {
        const room = " ".repeat((widths[index] ?? 0) - cell.text.length)
        const painted = cell.paint === undefined ? cell.text : cell.paint(cell.text)
        return index < leftColumns ? painted + room : room + painted
      })
      .join("  ")
      .trimEnd(),
  )
}

/** Figures per Deployment. */
export function deploymentLines(rows: readonly StatRow[], paint: Paint): string[] {
  const titles = ["NAMESPACE", "DEPLOYMENT", "MESHED", "SUCCESS", "RPS", "P50", "P95", "P99", "TCP"]
  const cells = rows.map(({ resource, meshedPods, totalPods, http, tcp }): Cell[] => [
    { text: resource?.namespace ?? "" },
    { text: resource?.name ?? "", paint: paint.bold },
    { text: `${meshedPods}/${totalPods}`, paint: meshedPods === totalPods ? paint.good : paint.bad },
    successCell(http, paint),
    { text: http?.rps.toFixed(1) ?? NOTHING },
    { text: millis(http?.latencyMs?.p50) },
    { text: millis(http?.latencyMs?.p95) },
    { text: millis(http?.latencyMs?.p99) },
    { text: tcp?.open.toString() ?? NOTHING },
  ])
  return align([titles.map(text => ({ text, paint: paint.dim })), ...cells], 2)
}

/** Who calls whom. */
export function edgeLines(edges: readonly Edge[], paint: Paint): string[] {
  const titles = ["FROM", "", "TO", "SUCCESS", "RPS", "P50", "P99", "IN", "OUT"]
  const cells = edges.map(({ from, to, http, tcp }): Cell[] => [
    { text: from?.name ?? "" },
    { text: "->", paint: paint.dim },
    { text: to?.name ?? "", paint: paint.bold },
    successCell(http, paint),
    { text: http?.rps.toFixed(1) ?? NOTHING },
    { text: millis(http?.latencyMs?.p50) },
    { text: millis(http?.latencyMs?.p99) },
    { text: byteRate(tcp?.readBytesPerSec) },
    { text: byteRate(tcp?.writeBytesPerSec) },
  ])
  return align([titles.map(text => ({ text, paint: paint.dim })), ...cells], 3)
}

/** The generator's counts beside the mesh's. */
export function comparisonLines(comparisons: readonly Comparison[], paint: Paint): string[] {
  const titles = ["SERVICE", "SENT", "MESH", "DIFF", "FAILED", "MESH", "SUCCESS", "MESH", ""]
  const cells = comparisons.map((each): Cell[] => [
    { text: each.service, paint: paint.bold },
    { text: each.generator.responses.toString() },
    { text: each.mesh.responses.toString() },
    { text: percent(each.difference) },
    { text: each.generator.failures.toString() },
    { text: each.mesh.failures.toString() },
    { text: percent(successOf(each.generator)) },
    { text: percent(successOf(each.mesh)) },
    each.agrees ? { text: "agree", paint: paint.good } : { text: "DIFFER", paint: paint.bad },
  ])
  return align([titles.map(text => ({ text, paint: paint.dim })), ...cells], 1)
}

function successCell(http: HttpFigures | undefined, paint: Paint): Cell {
  if (http === undefined) return { text: NOTHING }
  return { text: percent(http.success), paint: http.failures === 0n ? paint.good : paint.bad }
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`
}

function millis(ms: number | undefined): string {
  if (ms === undefined) return NOTHING
  return ms < 100 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`
}

function byteRate(bytesPerSec: number | undefined): string {
  if (bytesPerSec === undefined) return NOTHING
  return bytesPerSec < 1000 ? `${Math.round(bytesPerSec)} B/s` : `${(bytesPerSec / 1000).toFixed(1)} kB/s`
}

function same(text: string): string {
  return text
}
