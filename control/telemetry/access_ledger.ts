// Who called what at one proxy, and what was decided: windows of its access records (`access_total`). A record that was
// repeated, that came late or on a new stream counts what happened once, as all that a proxy reports (reporter.ts).
import type { telemetryQueryV1 } from "../../protos/mod.ts"
import { MAX_LIVE_WINDOW_MS, Slots, type Span, TIERS } from "./window_ring.ts"

/** The metric of access records. */
export const ACCESS_METRIC = "access_total"

/**
 * Access records that are kept over all proxies. One holds some 2.5 KB, so this bounds them to about 50 MB; beyond it
 * what a proxy tells counts as `other` of that proxy.
 */
export const MAX_ACCESS_ENTRIES = 20_000

/** Longest text of a label that is kept; proxies send far shorter ones. */
const LABEL_LENGTH_MAX = 1024

/** What tells one kind of access from another. */
export type AccessKey = Pick<
  telemetryQueryV1.Access,
  | "clientId"
  | "clientIp"
  | "port"
  | "protocol"
  | "method"
  | "path"
  | "example"
  | "verdict"
  | "policy"
  | "audit"
  | "other"
>

/** Counts of one kind of access. */
export interface AccessEntry {
  readonly key: AccessKey
  /** Last time that it grew, milliseconds since 1970. */
  activeMs: number
  /** Series that feed it and that the proxy has not dropped. */
  series: number
  readonly tiers: readonly Slots<Uint32Array>[]
}

/** One series of a proxy. */
export interface AccessSeries {
  readonly id: string
  readonly entry: AccessEntry
  /** Last cumulative value; NaN before the first. */
  value: number
}

/** Room for entries, shared by all proxies. */
export interface AccessBudget {
  /** Makes room for one more; false when there is none. There always is for an `other`: a proxy has one per verdict. */
  take(other: boolean): boolean
  /** Gives back the room of `count` entries. */
  give(count: number): void
}

/** All that is kept of one proxy's access records. */
export class AccessLedger {
  readonly entries = new Map<string, AccessEntry>()
  private readonly series = new Map<string, AccessSeries>()
  private readonly budget: AccessBudget
  private readonly limit: number

  /** @param limit  series of the proxy that are kept at most */
  constructor(budget: AccessBudget, limit: number) {
    this.budget = budget
    this.limit = limit
  }

  /** The series of these labels, made when it is new; null beyond the limit. */
  declare(labels: Readonly<Record<string, string>>): AccessSeries | null {
    const key = keyOf(labels)
    const id = JSON.stringify(key)
    const known = this.series.get(id)
    if (known !== undefined) return known
    if (this.series.size >= this.limit) return null
    const entry = this.entryOf(id, key)
    entry.series++
    const made = { id, entry, value: Number.NaN }
    this.series.set(id, made)
    return made
  }

  /** Counts. */
  add({ entry }: AccessSeries, growth: number, span: Span): void {
    entry.activeMs = span.toMs
    for (const slots of entry.tiers) slots.add(span, 0, growth)
  }

  /** All series. */
  all(): Iterable<AccessSeries> {
    return this.series.values()
  }

  /** Forgets a series that the proxy dropped; what it counted stays. */
  forget(series: AccessSeries): void {
    if (this.series.get(series.id) !== series) return
    this.series.delete(series.id)
    series.entry.series--
  }

  /** Forgets entries that no series feeds and that did not grow within the longest window. */
  sweep(nowMs: number): void {
    for (const [id, entry] of this.entries) {
      if (entry.series > 0 || nowMs - entry.activeMs <= MAX_LIVE_WINDOW_MS) continue
      this.entries.delete(id)
      this.budget.give(1)
    }
  }

  /** Forgets everything. */
  close(): void {
    this.budget.give(this.entries.size)
    this.entries.clear()
    this.series.clear()
  }

  private entryOf(id: string, key: AccessKey): AccessEntry {
    const known = this.entries.get(id)
    if (known !== undefined) return known
    if (!this.budget.take(key.other)) {
      const other = otherKey(key.verdict)
      return this.entryOf(JSON.stringify(other), other)
    }
    const tiers = TIERS.map(tier => new Slots(tier, 1, length => new Uint32Array(length)))
    const entry: AccessEntry = { key, activeMs: 0, series: 0, tiers }
    this.entries.set(id, entry)
    return entry
  }
}

/** How often an entry's access happened in the slots of a tier from `firstSlot` to `lastSlot`, both included. */
export function countOf(entry: AccessEntry, tier: number, firstSlot: number, lastSlot: number): number {
  const slots = entry.tiers[tier]
  return slots?.sum(0, slots.held(firstSlot, lastSlot)) ?? 0
}

function keyOf(labels: Readonly<Record<string, string>>): AccessKey {
  const verdict = VERDICTS.has(labels.verdict ?? "") ? (labels.verdict ?? "") : "deny"
  const tooLong = Object.values(labels).some(text => text.length > LABEL_LENGTH_MAX)
  if (labels.other !== undefined || tooLong) return otherKey(verdict)
  return {
    clientId: labels.client_id ?? "",
    clientIp: labels.client_ip ?? "",
    port: portOf(labels.port ?? ""),
    protocol: labels.protocol ?? "",
    method: labels.method ?? "",
    path: labels.path ?? "",
    example: labels.example ?? labels.path ?? "",
    verdict,
    policy: labels.policy ?? "",
    audit: labels.audit ?? "",
    other: false,
  }
}

const VERDICTS: ReadonlySet<string> = new Set(["allow", "deny", "audit"])

function otherKey(verdict: string): AccessKey {
  return {
    clientId: "",
    clientIp: "",
    port: 0,
    protocol: "",
    method: "",
    path: "",
    example: "",
    verdict,
    policy: "",
    audit: "",
    other: true,
  }
}

function portOf(text: string): number {
  const port = Number(text)
  return Number.isInteger(port) && port > 0 && port <= 65535 ? port : 0
}
