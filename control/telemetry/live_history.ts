// The last hour of figures, from memory.
import { countOf } from "./access_ledger.ts"
import { type FigureHistory, type HistoryQuestion, type HistoryRow, HistoryRows } from "./figure_history.ts"
import type { Reporter } from "./reporter.ts"
import { podRefOf } from "./traffic_messages.ts"
import type { TelemetryStore } from "./store.ts"
import { addSums, emptySums, isEmpty, TIERS, type WindowSums } from "./window_ring.ts"

const FINE = 1
const COARSE = 2

/** Answers from a store: points of a minute and more for an hour, finer ones for ten minutes. */
export class LiveHistory implements FigureHistory {
  private readonly store: TelemetryStore

  constructor(store: TelemetryStore) {
    this.store = store
  }

  async read(question: HistoryQuestion): Promise<HistoryRow[]> {
    const rows = new HistoryRows(question)
    for (const reporter of this.store.all()) {
      const about = nameOf(reporter)
      if (question.figures === "access") {
        for (const entry of reporter.access.entries.values()) {
          addPoints(rows, rows.rowOf(about, entry.key), question, (tier, first, last) => ({
            ...emptySums(),
            sent: countOf(entry, tier, first, last),
          }))
        }
        continue
      }
      for (const { key, ring, authorities } of reporter.peers.values()) {
        if ((key.route !== "") !== (question.figures === "routes")) continue
        if (question.apart === "authority") {
          for (const [authority, sum] of authorities.of(ring))
            addPoints(rows, rows.rowOf(about, { ...key, dstPod: "", authority }), question, sum)
          continue
        }
        const row = rows.rowOf(about, key.dstPod === "" ? key : { ...key, dstPod: "" })
        addPoints(rows, row, question, (tier, first, last) => ring.sum(tier, first, last))
      }
    }
    return rows.all()
  }
}

/** How finely, and how far back, memory answers points of this length that begin so. */
export function liveTierOf(
  stepMs: number,
  fromMs: number,
): { readonly slotMs: number; readonly keptMs: number } {
  const { slotMs, slots } = TIERS[tierFor(stepMs, fromMs)] ?? { slotMs: 1, slots: 1 }
  return { slotMs, keptMs: (slots - 1) * slotMs }
}

function tierFor(stepMs: number, fromMs = 0): number {
  const coarseMs = TIERS[COARSE]?.slotMs ?? 1
  return stepMs % coarseMs === 0 && fromMs % coarseMs === 0 ? COARSE : FINE
}

function addPoints(
  rows: HistoryRows,
  row: HistoryRow | null,
  { fromMs, stepMs, sinceMs, untilMs }: HistoryQuestion,
  sum: (tier: number, firstSlot: number, lastSlot: number) => WindowSums,
): void {
  if (row === null) return
  const tier = tierFor(stepMs, fromMs)
  const slotMs = TIERS[tier]?.slotMs ?? 1
  const begin = Math.floor((Math.max(fromMs, sinceMs) - fromMs) / stepMs)
  for (let index = begin; index < row.points.length; index++) {
    // The store holds nothing from before `sinceMs`, be it within a slot: a slot that it cuts is taken whole.
    const first = Math.floor(Math.max(sinceMs, fromMs + index * stepMs) / slotMs)
    const last = Math.ceil(Math.min(untilMs, fromMs + (index + 1) * stepMs) / slotMs) - 1
    const point = rows.pointAt(Math.max(sinceMs, fromMs + index * stepMs))
    if (point < 0 || last < first) continue
    const sums = sum(tier, first, last)
    if (isEmpty(sums)) continue
    const known = row.points[point]
    if (known == null) row.points[point] = sums
    else addSums(known, sums)
  }
}

function nameOf(reporter: Reporter) {
  const { namespace, pod, workloadKind, workload } = podRefOf(reporter.about)
  return { namespace, pod, workloadKind, workload }
}
