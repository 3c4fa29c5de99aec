// Questions about what was counted in the past, whoever keeps it: memory for the last hour, a file for a day, or a
// Prometheus for as long as it keeps. All are held to the table of control/history/history_cases.ts.
import type { telemetryQueryV1 } from "../../protos/mod.ts"
import type { AccessKey } from "./access_ledger.ts"
import type { TrafficKey } from "./traffic_key.ts"
import type { WindowSums } from "./window_ring.ts"

/** What is asked for. */
export type Figures = "traffic" | "routes" | "access"

/** The pod whose proxy counted, with the workload that it belongs to. */
export type PodName = Pick<telemetryQueryV1.PodRef, "namespace" | "pod" | "workloadKind" | "workload">

/** What rows are told apart by: proxy and peer, or authority as well; or who counted alone, or who was called alone. */
export type Apart =
  | "peer"
  | "authority"
  | "pod"
  | "workload"
  | "namespace"
  | "service"
  | "called-workload"
  | "called-namespace"

/** Chooses pods, or a Service; an empty field is any. */
export interface PodFilter extends PodName {
  readonly service: string
}

/** A question. Times are milliseconds since 1970 and multiples of `HISTORY_SLOT_MS`. */
export interface HistoryQuestion {
  readonly figures: Figures
  /** Which side counted; of traffic only. */
  readonly direction: telemetryQueryV1.Direction
  /** Begin of the first point. */
  readonly fromMs: number
  /** Time that a point covers. */
  readonly stepMs: number
  /** Number of points. */
  readonly points: number
  /** Only what was counted from here on, and until `untilMs`: another has the rest of the points. */
  readonly sinceMs: number
  readonly untilMs: number
  readonly apart: Apart
  /** Only what these counted; empty for all. */
  readonly reporters: readonly PodFilter[]
  /** Only what went to these; empty for all. */
  readonly called: readonly PodFilter[]
}

/** An answer's row. */
export interface HistoryRow {
  /** Who counted, or who was called where rows are told apart by it; fields that rows are not told apart by are empty. */
  readonly reporter: PodName
  /** Towards whom, where rows are told apart by peer or Service; called pods are not. */
  readonly key: TrafficKey | null
  /** The record, for access. */
  readonly access: AccessKey | null
  /** Per point; null where there was no traffic. */
  readonly points: (WindowSums | null)[]
  /** From when on who counted is known, milliseconds since 1970; infinite where nobody says. */
  sinceMs: number
}

/** Resolution of questions. */
export const HISTORY_SLOT_MS = 10_000

/** What was counted, by time. */
export interface FigureHistory {
  /**
   * Rows that had traffic, in no order. Times before what is kept read as no traffic.
   *
   * @throws Error with a sentence for a person when it cannot be asked
   */
  read(question: HistoryQuestion): Promise<HistoryRow[]>
}

/** Whether a pod, or the Service that was called, is one of those chosen. */
export function matches(filters: readonly PodFilter[], pod: PodName, service: string): boolean {
  if (filters.length === 0) return true
  return filters.some(
    filter =>
      (filter.namespace === "" || filter.namespace === pod.namespace) &&
      (filter.workload === "" ||
        (filter.workload === pod.workload && filter.workloadKind === pod.workloadKind)) &&
      (filter.pod === "" || filter.pod === pod.pod) &&
      (filter.service === "" || filter.service === service),
  )
}

/** The called end of traffic. */
export function calledPod(key: TrafficKey): PodName {
  return {
    namespace: key.dstNamespace,
    pod: key.dstPod,
    workloadKind: key.dstWorkloadKind,
    workload: key.dstWorkload,
  }
}

const NOBODY: PodName = { namespace: "", pod: "", workloadKind: "", workload: "" }

/** Rows of an answer while it is put together. */
export class HistoryRows {
  private readonly rows = new Map<string, HistoryRow>()
  private readonly question: HistoryQuestion

  constructor(question: HistoryQuestion) {
    this.question = question
  }

  /** Which side the question is about. */
  get direction(): telemetryQueryV1.Direction {
    return this.question.direction
  }

  /** The row that counts of a proxy towards a peer belong to; null for those that were not asked for. */
  rowOf(reporter: PodName, key: TrafficKey | AccessKey): HistoryRow | null {
    const { apart, direction, reporters, called, points } = this.question
    const access = "verdict" in key ? key : null
    const traffic = "verdict" in key ? null : key
    if (traffic !== null && direction !== 0 && traffic.direction !== direction) return null
    if (!matches(reporters, reporter, "")) return null
    if (traffic !== null && !matches(called, calledPod(traffic), traffic.dstService)) return null
    let row: Pick<HistoryRow, "reporter" | "key" | "access">
    if (apart === "peer") row = { reporter, key: traffic && { ...traffic, authority: "" }, access }
    else if (apart === "authority" && traffic !== null)
      row = { reporter, key: { ...traffic, authority: traffic.authority ?? "" }, access }
    else if (apart === "service" && traffic !== null) {
      const { dstNamespace, dstService } = traffic
      if (dstService === "") return null
      row = { reporter: NOBODY, key: { ...NO_TRAFFIC, dstNamespace, dstService }, access: null }
    } else if (apart === "called-workload" || apart === "called-namespace") {
      if (traffic === null || traffic.dstNamespace === "") return null
      const who = toldApart(calledPod(traffic), apart === "called-workload" ? "workload" : "namespace")
      if (apart === "called-workload" && who.workload === "") return null
      row = { reporter: who, key: null, access: null }
    } else row = { reporter: toldApart(reporter, apart), key: null, access: null }
    const id = JSON.stringify(row)
    const known = this.rows.get(id)
    if (known !== undefined) return known
    const made = {
      ...row,
      points: new Array<WindowSums | null>(points).fill(null),
      sinceMs: Number.POSITIVE_INFINITY,
    }
    this.rows.set(id, made)
    return made
  }

  /** Number of the point that a time belongs to; -1 for one that was not asked for. */
  pointAt(timeMs: number): number {
    const { fromMs, stepMs, points, sinceMs, untilMs } = this.question
    if (timeMs < sinceMs || timeMs >= untilMs) return -1
    const index = Math.floor((timeMs - fromMs) / stepMs)
    return index < points ? index : -1
  }

  /** Those with traffic. */
  all(): HistoryRow[] {
    return [...this.rows.values()].filter(row => row.points.some(point => point !== null))
  }
}

/** A key that says nothing. */
export const NO_TRAFFIC: TrafficKey = {
  direction: 0,
  dstNamespace: "",
  dstService: "",
  dstWorkloadKind: "",
  dstWorkload: "",
  dstPod: "",
  tls: "",
  clientId: "",
  serverId: "",
  route: "",
  host: "",
  authority: "",
}

function toldApart({ namespace, pod, workloadKind, workload }: PodName, apart: Apart): PodName {
  if (apart === "namespace") return { ...NOBODY, namespace }
  return { namespace, workloadKind, workload, pod: apart === "workload" ? "" : pod }
}
