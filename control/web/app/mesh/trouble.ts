// What is not well, and what it hurts: figures judged, failures followed to where they begin.
import type { HttpFigures } from "../../../../protos/mod.ts"
import type { Call, Mesh, Workload } from "./mesh.ts"

/** Below this share of successes a workload is failing. */
export const FAILING_BELOW = 0.95
/** Below this share it is degraded. */
export const DEGRADED_BELOW = 0.99
/** So few responses say nothing about a share. */
export const FEWEST_RESPONSES = 5

/** How a workload, or a call, is. */
export type Level = "failing" | "degraded" | "well" | "idle"

/** Judges figures. */
export function levelOf(http: HttpFigures | undefined): Level {
  if (http === undefined) return "idle"
  if (http.failures === 0n || http.responses < FEWEST_RESPONSES) return "well"
  if (http.success < FAILING_BELOW) return "failing"
  return http.success < DEGRADED_BELOW ? "degraded" : "well"
}

/** Something that fails. */
export interface Trouble {
  readonly workload: Workload
  readonly level: "failing" | "degraded"
  /** Failed responses a second. */
  readonly failuresPerSec: number
  /** Workloads whose calls to it fail, the most hurt first; then whose calls to those fail. */
  readonly hurts: readonly { readonly workload: Workload; readonly direct: boolean }[]
  /** What it calls that fails: where its own failures come from; empty where they begin with it. */
  readonly causes: readonly Workload[]
}

/** All that fails: where failures begin first, then by how many requests a second fail. */
export function troublesOf(mesh: Mesh): Trouble[] {
  const failing = mesh.calls.filter(({ edge }) => isBad(levelOf(edge.http)))
  const troubles = mesh.workloads.flatMap((workload): Trouble[] => {
    const level = levelOf(workload.http)
    if (level !== "failing" && level !== "degraded") return []
    const causes = [...new Set(callsOf(failing, workload.key).flatMap(({ to }) => to ?? []))]
    return [
      { workload, level, failuresPerSec: failures(workload.http), hurts: hurt(workload, failing), causes },
    ]
  })
  const begins = (trouble: Trouble): number => (trouble.causes.length === 0 ? 0 : 1)
  return troubles.sort((a, b) => begins(a) - begins(b) || b.failuresPerSec - a.failuresPerSec)
}

/** Failed responses a second. */
export function failures(http: HttpFigures | undefined): number {
  return http === undefined ? 0 : http.rps * (1 - http.success)
}

function isBad(level: Level): boolean {
  return level === "failing" || level === "degraded"
}

function callsOf(calls: readonly Call[], fromKey: string): readonly Call[] {
  return calls.filter(call => call.fromKey === fromKey && call.toKey !== fromKey)
}

/** Callers whose calls fail, and theirs, each once, the nearest first. */
function hurt(workload: Workload, failing: readonly Call[]) {
  const seen = new Set([workload.key])
  const found: { workload: Workload; direct: boolean }[] = []
  let round = [workload.key]
  for (let direct = true; round.length > 0; direct = false) {
    const callers = failing
      .filter(({ from, fromKey, toKey }) => from !== null && round.includes(toKey) && !seen.has(fromKey))
      .sort((a, b) => failures(b.edge.http) - failures(a.edge.http))
    round = []
    for (const { from, fromKey } of callers) {
      if (from === null || seen.has(fromKey)) continue
      seen.add(fromKey)
      found.push({ workload: from, direct })
      round.push(fromKey)
    }
  }
  return found
}
