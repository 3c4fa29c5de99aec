// Gate: whether live traffic of a window holds what a release must hold. Stateless: who waits asks again with the same
// begin, so a restart of this process, or another replica, changes no verdict.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import {
  type GateLimits,
  type GateRequest,
  type GateResponseSchema,
  type GateRowSchema,
  GateVerdict,
} from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { compareResources, resourceKey } from "../resources/mod.ts"
import { EDGES_MS, type FigureSum, MIN_WINDOW_MS, slotMsOf, type TelemetryQueries } from "../telemetry/mod.ts"
import { DEFAULT_WINDOW_MS, figuresOf } from "./figures.ts"
import { type PodCount, traffic } from "./stat.ts"

/** Longest window of a gate: figures are kept for an hour, and a gate waits a little before and after. */
export const MAX_GATE_WINDOW_MS = 55 * 60_000

/** Proxies report at least every 1.1 s; after this time what happened before has been reported. */
export const REPORT_DELAY_MS = 2_000

/** A rate seen for less than this foretells nothing. */
export const MIN_FORECAST_MS = 5_000

/** For the rest of a window up to this many times the traffic seen so far is thought possible, before a gate gives up. */
export const FORECAST_FACTOR = 2

/** Above the last bucket's edge latencies are not told apart. */
const MAX_LATENCY_MS = EDGES_MS.at(-1) ?? 0

/** How the time of a window stands. */
export interface GateTime {
  /** How much of it has passed, milliseconds. */
  readonly elapsedMs: number
  /** Its length, milliseconds. */
  readonly windowMs: number
  /** Whether it is over, and everything that happened within it reported. */
  readonly over: boolean
}

/**
 * Answers a Gate request.
 *
 * @param nowMs  wall clock, milliseconds since 1970
 * @throws ConnectError for limits that make no sense, what cannot be selected, or when telemetry cannot be asked
 */
export async function gate(
  store: ClusterStore,
  queries: TelemetryQueries,
  request: GateRequest,
  nowMs: number,
): Promise<MessageInitShape<typeof GateResponseSchema>> {
  const { limits, beginMs, allowNoTraffic } = request
  const windowMs = request.windowMs === 0 ? DEFAULT_WINDOW_MS : request.windowMs
  checkLimits(limits, windowMs)
  const live = beginMs !== 0
  if (!Number.isFinite(beginMs) || (live && nowMs - beginMs > MAX_GATE_WINDOW_MS + 60_000))
    throw invalid(`begin_ms ${beginMs} is longer ago than figures are kept`)
  const elapsedMs = live ? Math.max(0, nowMs - beginMs) : windowMs
  // Half a second more than has passed leads into the slot before the one that the window begins with, which is left out.
  const askedMs = live ? Math.max(MIN_WINDOW_MS, elapsedMs + 500) : windowMs
  const time = { elapsedMs, windowMs, over: !live || elapsedMs >= windowMs + REPORT_DELAY_MS }
  const { target, sums, pods } = await traffic(store, queries, request, askedMs)
  const rows = [...target.resources.values()]
    .sort(compareResources)
    .map((resource): MessageInitShape<typeof GateRowSchema> => {
      const key = resourceKey(resource)
      const sum = elapsedMs === 0 ? undefined : sums.get(key)
      const count = pods.get(key) ?? { meshed: 0, injected: 0, total: 0 }
      const reasons = absent(target.kind, count, request) ?? judge(sum, limits, time, allowNoTraffic)
      const failed = reasons.length > 0
      const verdict = failed ? GateVerdict.FAILED : time.over ? GateVerdict.PASSED : GateVerdict.WAITING
      const { http } = figuresOf(sum)
      return { resource, verdict, reasons: [...reasons], ...(http === undefined ? {} : { http }) }
    })
  const slotMs = slotMsOf(windowMs + REPORT_DELAY_MS + 1000)
  return { rows, elapsedMs, nextBeginMs: Math.ceil((nowMs + REPORT_DELAY_MS) / slotMs) * slotMs }
}

/** Why a workload's own proxies can have no figures; null where they can, or where it is callers who count. */
function absent(kind: string, { injected, total }: PodCount, request: GateRequest): readonly string[] | null {
  if (kind === "service" || request.from !== undefined || injected > 0) return null
  if (total === 0) return request.allowNoTraffic ? null : ["no pod of it runs"]
  const pods = total === 1 ? "its pod is not meshed" : `none of its ${total} pods is meshed`
  return [`${pods}, so nobody counts its traffic; conduit inject puts the proxy in`]
}

/**
 * Judges one resource.
 *
 * A window that is not over fails as soon as its limits cannot be held any more, were all requests to come successful
 * and fast, and FORECAST_FACTOR times as many as there were.
 *
 * @returns why it fails, a sentence each; none when it does not, or not yet
 */
export function judge(
  sum: FigureSum | undefined,
  limits: GateLimits | undefined,
  time: GateTime,
  allowNoTraffic: boolean,
): readonly string[] {
  const http = sum?.http() ?? null
  if (http === null || sum === undefined) {
    if (!time.over || allowNoTraffic) return []
    return [`no HTTP request ended within ${seconds(time.windowMs)}: nothing shows that it works`]
  }
  const { responses } = http
  const reasons: string[] = []
  const least = Number(limits?.minRequests ?? 0n)
  if (time.over && responses < least)
    reasons.push(`only ${requests(responses)} ended within the window, and ${least} are needed for a verdict`)
  const most = time.over ? responses : foretold(responses, time)
  const lost = (bad: number, share: number): boolean => (share === 0 ? bad > 0 : bad > share * most + 1e-6)
  const { success = 0, p50Ms = 0, p95Ms = 0, p99Ms = 0 } = limits ?? {}
  const sofar = time.over ? "" : ` so far, which cannot be made good within ${seconds(time.windowMs)}`
  if (success > 0 && lost(http.failures, 1 - success)) {
    const seen = `${http.failures} of ${requests(responses)} failed`
    reasons.push(`success ${percent(http.success)} is below ${percent(success)}: ${seen}${sofar}`)
  }
  for (const [name, limitMs, share, ms] of [
    ["p50", p50Ms, 0.5, http.latencyMs.p50],
    ["p95", p95Ms, 0.05, http.latencyMs.p95],
    ["p99", p99Ms, 0.01, http.latencyMs.p99],
  ] as const) {
    if (limitMs > 0 && lost(sum.slower(limitMs), share))
      reasons.push(`${name} ${millis(ms)} is above ${millis(limitMs)} over ${requests(responses)}${sofar}`)
  }
  return reasons
}

/** The most responses that are thought possible until the window's end. */
function foretold(responses: number, { elapsedMs, windowMs }: GateTime): number {
  if (elapsedMs >= windowMs) return responses
  if (elapsedMs < MIN_FORECAST_MS) return Number.POSITIVE_INFINITY
  return responses + (FORECAST_FACTOR * responses * (windowMs - elapsedMs)) / elapsedMs
}

function checkLimits(limits: GateLimits | undefined, windowMs: number): void {
  const { success = 0, p50Ms = 0, p95Ms = 0, p99Ms = 0 } = limits ?? {}
  if (windowMs < MIN_WINDOW_MS || windowMs > MAX_GATE_WINDOW_MS)
    throw invalid(`window_ms must be ${MIN_WINDOW_MS} to ${MAX_GATE_WINDOW_MS} milliseconds, not ${windowMs}`)
  if (!(success >= 0 && success <= 1)) throw invalid(`limits.success must be 0 to 1, not ${success}`)
  for (const [name, ms] of Object.entries({ p50_ms: p50Ms, p95_ms: p95Ms, p99_ms: p99Ms })) {
    if (!(ms >= 0 && ms <= MAX_LATENCY_MS))
      throw invalid(`limits.${name} must be 0 to ${MAX_LATENCY_MS} milliseconds, not ${ms}`)
  }
  if (success === 0 && p50Ms === 0 && p95Ms === 0 && p99Ms === 0)
    throw invalid("limits: give a success rate, p50_ms, p95_ms or p99_ms; without one nothing can fail")
}

function invalid(message: string): ConnectError {
  return new ConnectError(message, Code.InvalidArgument)
}

function requests(count: number): string {
  return `${count} ${count === 1 ? "request" : "requests"}`
}

function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(1))} s`
}

/** A share, never rounded up to a limit that it does not reach. */
function percent(share: number): string {
  return `${Number((Math.floor(share * 1e5 + 1e-6) / 1e3).toFixed(3))} %`
}

function millis(ms: number): string {
  return `${Number(ms.toFixed(1))} ms`
}
