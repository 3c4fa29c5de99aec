// Questions about traffic, answered from memory as far as it reaches, and from the history before that.
import { Code, ConnectError } from "@connectrpc/connect"
import type { telemetryQueryV1 } from "../../protos/mod.ts"
import {
  type Apart,
  type FigureHistory,
  type Figures,
  HISTORY_SLOT_MS,
  type HistoryRow,
  type PodFilter,
  type PodName,
} from "./figure_history.ts"
import { LiveHistory, liveTierOf } from "./live_history.ts"
import type { TelemetryStore } from "./store.ts"
import { addSums, MAX_LIVE_WINDOW_MS, type WindowSums } from "./window_ring.ts"

/** A minute, the finest that is kept of what is older than an hour. */
const MINUTE_MS = 60_000

/** A question about figures over time. */
export interface SeriesQuestion {
  /** Begin of the first point, milliseconds since 1970; rounded to HISTORY_SLOT_MS. */
  readonly fromMs: number
  /** Time that a point covers, a multiple of HISTORY_SLOT_MS. */
  readonly stepMs: number
  /** Number of points. */
  readonly points: number
  /** Which side counted. */
  readonly direction: telemetryQueryV1.Direction
  /** What series are told apart by. */
  readonly apart: Exclude<Apart, "peer" | "authority">
  /** Only what these counted; empty for all. */
  readonly reporters: readonly PodFilter[]
  /** Only what went to these; empty for all. */
  readonly called: readonly PodFilter[]
}

/** Figures of a pod, workload, namespace or Service over time. */
export interface SeriesRow {
  /** Fields that series are not told apart by are empty; a Service has the namespace alone. */
  readonly who: PodName
  /** The Service that was called, where series are told apart by it. */
  readonly service: string
  /** Per point; null where there was no traffic. */
  readonly points: readonly (WindowSums | null)[]
}

/** Answers questions about traffic; the store in the same process, or the service over the network. */
export interface TelemetryQueries {
  /** Traffic within a window that ends now; by authority too where that is asked for. */
  traffic(
    windowMs: number,
    direction: telemetryQueryV1.Direction,
    byAuthority?: boolean,
  ): Promise<telemetryQueryV1.TrafficResponse>
  /** Traffic per route within a window that ends now. */
  routes(windowMs: number): Promise<telemetryQueryV1.RoutesResponse>
  /** Who called what within a window that ends now. */
  access(windowMs: number): Promise<telemetryQueryV1.AccessResponse>
  /** Proxies that are known. */
  reporters(): Promise<telemetryQueryV1.ReportersResponse>
  /** Figures over time. */
  series(question: SeriesQuestion): Promise<readonly SeriesRow[]>
}

/**
 * Answers from a store in the same process.
 *
 * @param nowMs  clock of the store's reports
 * @param history  has what the store has not; null where nobody has
 * @param aheadMs  how far the machine's clock, which people ask by, is ahead of it
 */
export function localQueries(
  store: TelemetryStore,
  nowMs: () => number,
  history: FigureHistory | null = null,
  aheadMs: () => number = () => 0,
): TelemetryQueries {
  const live = new LiveHistory(store)

  /** Where memory begins to answer a window, null where it answers all of it; and what the history has of it. */
  const past = async (
    figures: Figures,
    windowMs: number,
    now: number,
    direction: telemetryQueryV1.Direction = 0,
    apart: "peer" | "authority" = "peer",
  ): Promise<{ readonly beginMs: number | null; readonly rows: HistoryRow[]; readonly fromMs: number }> => {
    const asked = now - windowMs
    const long = windowMs > MAX_LIVE_WINDOW_MS
    if (history === null || (!long && asked >= store.startedMs))
      return { beginMs: null, rows: [], fromMs: asked }
    const grid = long ? MINUTE_MS : HISTORY_SLOT_MS
    const fromMs = Math.ceil(asked / grid) * grid
    const oldest = Math.ceil((now - MAX_LIVE_WINDOW_MS) / MINUTE_MS) * MINUTE_MS
    const beginMs = Math.max(store.startedMs, oldest)
    if (fromMs >= beginMs) return { beginMs: null, rows: [], fromMs: asked }
    const span = { fromMs, stepMs: beginMs - fromMs, points: 1, sinceMs: fromMs, untilMs: beginMs }
    const question = { figures, direction, ...span, apart, reporters: [], called: [] } as const
    try {
      return { beginMs, rows: await history.read(question), fromMs }
    } catch (error) {
      // The live hour is answered whatever becomes of the history.
      if (!long) return { beginMs: null, rows: [], fromMs: asked }
      throw unavailable(error)
    }
  }
  const liveMs = (windowMs: number): number => Math.min(windowMs, MAX_LIVE_WINDOW_MS)

  return {
    traffic: async (windowMs, direction, byAuthority = false) => {
      const now = nowMs()
      const apart = byAuthority ? "authority" : "peer"
      const { beginMs, rows, fromMs } = await past("traffic", windowMs, now, direction, apart)
      const answer = store.traffic(liveMs(windowMs), direction, now, beginMs, byAuthority)
      for (const row of rows) answer.traffic.push(...trafficOf(row, fromMs, beginMs ?? now))
      return answer
    },
    routes: async windowMs => {
      const now = nowMs()
      const { beginMs, rows, fromMs } = await past("routes", windowMs, now)
      const answer = store.routes(liveMs(windowMs), now, beginMs)
      for (const row of rows) answer.routes.push(...routeOf(row, fromMs, beginMs ?? now))
      return answer
    },
    access: async windowMs => {
      const now = nowMs()
      const { beginMs, rows, fromMs } = await past("access", windowMs, now)
      const answer = store.access(liveMs(windowMs), now, beginMs)
      for (const row of rows) answer.accesses.push(...accessOf(row, fromMs, beginMs ?? now))
      return answer
    },
    reporters: async () => store.known(),
    series: async asked => {
      const now = nowMs()
      const { stepMs, points } = asked
      const fromMs = Math.round((asked.fromMs - aheadMs()) / HISTORY_SLOT_MS) * HISTORY_SLOT_MS
      const { keptMs, slotMs } = liveTierOf(stepMs, fromMs)
      const beginMs = Math.max(store.startedMs, Math.ceil((now - keptMs) / slotMs) * slotMs)
      const untilMs = fromMs + stepMs * points
      const question = { ...asked, figures: "traffic", fromMs } as const
      const [recent, before] = await Promise.all([
        live.read({ ...question, sinceMs: Math.max(fromMs, beginMs), untilMs }),
        history === null || fromMs >= beginMs
          ? []
          : history
              .read({ ...question, sinceMs: fromMs, untilMs: Math.min(untilMs, beginMs) })
              .catch(error => {
                throw unavailable(error)
              }),
      ])
      return together([...before, ...recent])
    },
  }
}

function unavailable(error: unknown): ConnectError {
  const reason = error instanceof Error ? error.message : String(error)
  return new ConnectError(reason, Code.Unavailable, undefined, undefined, error)
}

/** One row for what two have parts of. */
function together(rows: readonly HistoryRow[]): SeriesRow[] {
  const byWho = new Map<string, { who: PodName; service: string; points: (WindowSums | null)[] }>()
  for (const { reporter, key, points } of rows) {
    const who = key === null ? reporter : { ...reporter, namespace: key.dstNamespace }
    const service = key?.dstService ?? ""
    const id = JSON.stringify([who, service])
    const known = byWho.get(id)
    if (known === undefined) {
      byWho.set(id, { who, service, points })
      continue
    }
    for (const [index, sums] of points.entries()) {
      const before = known.points[index] ?? null
      if (before === null) known.points[index] = sums
      else if (sums !== null) addSums(before, sums)
    }
  }
  return [...byWho.values()]
}

/** What a row of the history covers: all of the time, or from when on its proxy is known. */
function coveredBy(row: HistoryRow, fromMs: number, toMs: number) {
  const since = Number.isFinite(row.sinceMs) ? Math.min(toMs, Math.max(fromMs, row.sinceMs)) : fromMs
  return { fromMs: since, toMs, wholeWindow: false }
}

function* trafficOf(row: HistoryRow, fromMs: number, toMs: number): Generator<telemetryQueryV1.Traffic> {
  const { key } = row
  const [sums] = row.points
  if (key === null || sums == null) return
  const { direction, dstNamespace: namespace, dstService, tls, clientId, serverId, host, authority } = key
  const dst = { namespace, pod: key.dstPod, workloadKind: key.dstWorkloadKind, workload: key.dstWorkload }
  yield {
    $typeName: "conduit.telemetry.v1.Traffic",
    ...{ direction, dstService, tls, clientId, serverId, host, authority },
    reporter: podRef(row.reporter),
    dst: podRef(dst),
    successes: BigInt(sums.successes),
    failures: BigInt(sums.failures),
    latencyCounts: sums.successes + sums.failures === 0 ? [] : Array.from(sums.latency, BigInt),
    hasTcp: sums.readBytes + sums.writeBytes > 0,
    open: 0n,
    readBytes: sums.readBytes,
    writeBytes: sums.writeBytes,
    ...coveredBy(row, fromMs, toMs),
  }
}

function* routeOf(row: HistoryRow, fromMs: number, toMs: number): Generator<telemetryQueryV1.RouteTraffic> {
  const [sums] = row.points
  if (row.key === null || sums == null) return
  const { dstNamespace, dstService, route } = row.key
  yield {
    $typeName: "conduit.telemetry.v1.RouteTraffic",
    ...{ dstNamespace, dstService, route },
    reporter: podRef(row.reporter),
    successes: BigInt(sums.successes),
    failures: BigInt(sums.failures),
    latencyCounts: Array.from(sums.latency, BigInt),
    sent: BigInt(sums.sent),
    begun: BigInt(sums.begun),
    ...coveredBy(row, fromMs, toMs),
  }
}

function* accessOf(row: HistoryRow, fromMs: number, toMs: number): Generator<telemetryQueryV1.Access> {
  const [sums] = row.points
  if (row.access === null || sums == null) return
  yield {
    $typeName: "conduit.telemetry.v1.Access",
    ...row.access,
    reporter: podRef(row.reporter),
    count: BigInt(sums.sent),
    ...coveredBy(row, fromMs, toMs),
  }
}

function podRef(name: PodName): telemetryQueryV1.PodRef {
  return { $typeName: "conduit.telemetry.v1.PodRef", ...name }
}
