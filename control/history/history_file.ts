// The history's file: an SQLite database with the windows of each proxy in three resolutions, a row per window and proxy.
// Every write is one transaction that leaves the coarser windows true to the finer ones, whenever the process dies.
import { Database, type Statement } from "bun:sqlite"
import { mergeWindows, type ByteWriter } from "./window_codec.ts"

/** A resolution that is kept. */
interface KeptTier {
  readonly slotMs: number
  readonly keptMs: number
}

/** 10 s for an hour, a minute for a day; ten minutes make long windows quick to read. */
export const KEPT_TIERS: readonly KeptTier[] = [
  { slotMs: 10_000, keptMs: 3_600_000 },
  { slotMs: 60_000, keptMs: 24 * 3_600_000 },
  { slotMs: 600_000, keptMs: 24 * 3_600_000 },
]

/** Version of the tables; a file of another version is set aside. */
const SCHEMA_VERSION = 2
const PAGE_BYTES = 4096
/** Share of the file's bound from which on the oldest minutes make room. */
const TRIM_ABOVE = 0.9
/** Minutes that make room at a time. */
const TRIM_SLOTS = 30
/** A key's or proxy's last use is written when it is this much newer than what is written. */
const SEEN_STEP_MS = 6 * 3_600_000
/** What was not used for this long is forgotten: nothing in the file speaks of it any more. */
const UNSEEN_MS = 24 * 3_600_000 + 2 * SEEN_STEP_MS
/** Longest WAL that is left on disk after a checkpoint. */
const WAL_BYTES = 16 * 1024 * 1024

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS windows (
    tier INTEGER, slot INTEGER, reporter INTEGER, data BLOB, PRIMARY KEY (tier, slot, reporter)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, kind TEXT, text TEXT, since INTEGER, seen INTEGER);
  CREATE TABLE IF NOT EXISTS processes (key TEXT PRIMARY KEY, used INTEGER, data BLOB) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
`

/** A proxy or the key of a figure, by number. */
export interface Name {
  readonly id: number
  /** `reporter`, or the figures that the key is of. */
  readonly kind: string
  /** JSON. */
  readonly text: string
  /** First use, milliseconds since 1970. */
  readonly sinceMs: number
  /** Last use as it is written, milliseconds since 1970. */
  seenMs: number
}

/** One proxy's window of the finest tier. */
export interface WindowRow {
  readonly slot: number
  readonly reporter: number
  readonly data: Uint8Array
}

/** What is written at once. */
export interface Batch {
  readonly windows: readonly WindowRow[]
  /** Last cumulative values of proxies, by process. */
  readonly processes: ReadonlyMap<string, Uint8Array>
  readonly names: readonly Name[]
  /** Slots of the finest tier before this one are complete. */
  readonly untilSlot: number
  /** How far the wall clock is ahead of the clock of the slots. */
  readonly aheadMs: number
}

/** The open file. All methods throw what SQLite throws. */
export class HistoryFile {
  private readonly db: Database
  private readonly statements = new Map<string, Statement>()
  private readonly writer: ByteWriter
  private readonly limitPages: number
  /** By tier: slots before it are there, as far as they are kept. */
  private readonly untilSlots: number[] = [0, 0, 0]

  /** @param limitBytes  bound of the file; it forgets the oldest minutes before it is reached */
  constructor(path: string, limitBytes: number, nowMs: number, writer: ByteWriter) {
    this.writer = writer
    this.limitPages = Math.max(16, Math.floor(limitBytes / PAGE_BYTES))
    this.db = new Database(path, { create: true, readwrite: true })
    try {
      // One process has the file: a second one would count the same proxies again.
      for (const setting of ["locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"])
        this.db.run(`PRAGMA ${setting}`)
      this.db.run(`PRAGMA max_page_count = ${this.limitPages}`)
      this.db.run(`PRAGMA journal_size_limit = ${WAL_BYTES}`)
      this.db.run("PRAGMA cache_size = -8192")
      // The file system around it may be read-only.
      this.db.run("PRAGMA temp_store = MEMORY")
      const version = this.pragma("user_version")
      if (version !== 0 && version !== SCHEMA_VERSION) throw new OtherVersion(version)
      this.db.run(SCHEMA)
      this.db.run(`PRAGMA user_version = ${SCHEMA_VERSION}`)
      this.correctClock(nowMs)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Slots of the finest tier before this time are there, milliseconds since 1970; 0 for an empty file. */
  get savedUntilMs(): number {
    return (this.untilSlots[0] ?? 0) * slotMsOf(0)
  }

  /** All names. */
  names(): Name[] {
    return this.statement(
      "SELECT id, kind, text, since AS sinceMs, seen AS seenMs FROM names",
    ).all() as Name[]
  }

  /** Last cumulative values of a process; null for one that is not known. */
  values(key: string): Uint8Array | null {
    const row = this.statement("SELECT data FROM processes WHERE key = ?").get(key)
    return (row as { data: Uint8Array } | null)?.data ?? null
  }

  /** Bytes of the file that are in use. */
  usedBytes(): number {
    return (this.pragma("page_count") - this.pragma("freelist_count")) * PAGE_BYTES
  }

  /** Writes a batch, makes the coarser windows that it completes or changes, and forgets what is too old. */
  write({ windows, processes, names, untilSlot, aheadMs }: Batch): void {
    const nowMs = untilSlot * slotMsOf(0)
    this.db.transaction(() => {
      for (const { id, kind, text, sinceMs, seenMs } of names)
        this.put("names", id, kind, text, sinceMs, seenMs)
      for (const { slot, reporter, data } of windows) this.put("windows", 0, slot, reporter, data)
      for (const [key, data] of processes) this.put("processes", key, nowMs, data)
      let changed = windows.map(({ slot }) => slot)
      const until = [untilSlot, 0, 0]
      for (let tier = 1; tier < KEPT_TIERS.length; tier++) {
        until[tier] = Math.floor(((until[tier - 1] ?? 0) * slotMsOf(tier - 1)) / slotMsOf(tier))
        changed = this.rollUp(tier, changed, until[tier] ?? 0)
      }
      for (const [tier, { slotMs, keptMs }] of KEPT_TIERS.entries()) {
        this.drop(tier, Math.floor((nowMs - keptMs) / slotMs))
        this.put("meta", `until_${tier}`, until[tier] ?? 0)
      }
      this.put("meta", "ahead_ms", Math.round(aheadMs))
      for (const tier of until.keys()) this.untilSlots[tier] = until[tier] ?? 0
    })()
    if (this.usedBytes() > this.limitPages * PAGE_BYTES * TRIM_ABOVE) this.trim()
  }

  /** Forgets the oldest minutes, so that there is room for new ones. */
  trim(): void {
    for (const tier of [1, 0, 2]) {
      const { oldest } = this.statement("SELECT min(slot) AS oldest FROM windows WHERE tier = ?").get(
        tier,
      ) as {
        oldest: number | null
      }
      if (oldest === null) continue
      this.drop(tier, oldest + TRIM_SLOTS)
      return
    }
  }

  /** Forgets names that nothing speaks of any more, and processes that are gone. @returns numbers of the names */
  forget(nowMs: number, liveProcesses: ReadonlySet<string>): number[] {
    const old = this.statement("SELECT id FROM names WHERE seen < ?").all(nowMs - UNSEEN_MS) as Name[]
    const gone = this.statement("SELECT key FROM processes WHERE used < ?").all(
      nowMs - (KEPT_TIERS[0]?.keptMs ?? 0),
    ) as { key: string }[]
    this.db.transaction(() => {
      for (const { id } of old) this.db.run("DELETE FROM names WHERE id = ?", [id])
      for (const { key } of gone)
        if (!liveProcesses.has(key)) this.db.run("DELETE FROM processes WHERE key = ?", [key])
    })()
    return old.map(({ id }) => id)
  }

  /**
   * The windows that cover a time best: the coarsest that fit, finer ones at its ends.
   *
   * @param coarsest  tier at most
   */
  pieces(
    fromMs: number,
    toMs: number,
    coarsest: number,
  ): { readonly tier: number; readonly slot: number; readonly timeMs: number }[] {
    if (toMs <= fromMs) return []
    const slotMs = slotMsOf(coarsest)
    const first = coarsest === 0 ? Math.floor(fromMs / slotMs) : Math.ceil(fromMs / slotMs)
    const until = Math.min(
      coarsest === 0 ? Math.ceil(toMs / slotMs) : Math.floor(toMs / slotMs),
      this.untilSlots[coarsest] ?? 0,
    )
    if (first >= until) return coarsest === 0 ? [] : this.pieces(fromMs, toMs, coarsest - 1)
    const middle = Array.from({ length: until - first }, (_, index) => ({
      tier: coarsest,
      slot: first + index,
      timeMs: (first + index) * slotMs,
    }))
    if (coarsest === 0) return middle
    return [
      ...this.pieces(fromMs, first * slotMs, coarsest - 1),
      ...middle,
      ...this.pieces(until * slotMs, toMs, coarsest - 1),
    ]
  }

  /** Windows of a slot, by proxy. */
  slot(tier: number, slot: number): [reporter: number, data: Uint8Array][] {
    const read = this.statement("SELECT reporter, data FROM windows WHERE tier = ? AND slot = ?")
    return read.values(tier, slot) as [number, Uint8Array][]
  }

  /** Closes the file. */
  close(): void {
    // A statement that is left holds the file, and its lock.
    for (const statement of this.statements.values()) statement.finalize()
    this.statements.clear()
    this.db.close()
  }

  /**
   * Makes windows of a tier anew from those of the tier below: those that came to an end, and those that changed.
   *
   * @returns the slots that were made
   */
  private rollUp(tier: number, changed: readonly number[], untilSlot: number): number[] {
    const ratio = slotMsOf(tier) / slotMsOf(tier - 1)
    const ended = this.statement(
      "SELECT DISTINCT slot FROM windows WHERE tier = ? AND slot >= ? AND slot < ?",
    ).values(tier - 1, (this.untilSlots[tier] ?? 0) * ratio, untilSlot * ratio) as [number][]
    const slots = new Set([...changed, ...ended.map(([slot]) => slot)].map(slot => Math.floor(slot / ratio)))
    const made: number[] = []
    for (const slot of slots) {
      if (slot >= untilSlot) continue
      const parts = new Map<number, Uint8Array[]>()
      for (let part = slot * ratio; part < (slot + 1) * ratio; part++) {
        for (const [reporter, data] of this.slot(tier - 1, part)) {
          const known = parts.get(reporter)
          if (known === undefined) parts.set(reporter, [data])
          else known.push(data)
        }
      }
      for (const [reporter, windows] of parts) {
        const [only] = windows
        const data = windows.length === 1 && only !== undefined ? only : mergeWindows(windows, this.writer)
        this.put("windows", tier, slot, reporter, data)
      }
      made.push(slot)
    }
    return made
  }

  /**
   * Windows are told apart by a clock that never steps, set when the process began. What an earlier one wrote is moved to
   * where the wall clock has it now; what would lie in the future ends now.
   */
  private correctClock(nowMs: number): void {
    this.readUntil()
    if (this.savedUntilMs === 0) return
    const { value: aheadMs } = (this.statement("SELECT value FROM meta WHERE name = 'ahead_ms'").get() ?? {
      value: 0,
    }) as { value: number }
    // Whole slots of every tier: what is left, the clock of this process makes good (steady_clock.ts).
    const unitMs = slotMsOf(KEPT_TIERS.length - 1)
    let units = Math.round(aheadMs / unitMs)
    if (this.savedUntilMs + units * unitMs >= nowMs + unitMs)
      units = Math.floor((nowMs - this.savedUntilMs) / unitMs)
    if (units === 0) return
    this.db.transaction(() => {
      for (const [tier, { slotMs }] of KEPT_TIERS.entries()) {
        const slots = (units * unitMs) / slotMs
        // By way of negative numbers: a slot must not meet the next one that has not moved yet.
        this.db.run("UPDATE windows SET slot = -(slot + ?) WHERE tier = ?", [slots, tier])
        this.db.run("UPDATE windows SET slot = -slot WHERE tier = ?", [tier])
        this.put("meta", `until_${tier}`, (this.untilSlots[tier] ?? 0) + slots)
      }
      this.put("meta", "ahead_ms", 0)
    })()
    this.readUntil()
  }

  private readUntil(): void {
    for (const tier of KEPT_TIERS.keys()) {
      const row = this.statement("SELECT value FROM meta WHERE name = ?").get(`until_${tier}`)
      this.untilSlots[tier] = (row as { value: number } | null)?.value ?? 0
    }
  }

  private drop(tier: number, beforeSlot: number): void {
    this.statement("DELETE FROM windows WHERE tier = ? AND slot < ?").run(tier, beforeSlot)
  }

  private put(
    table: "windows" | "names" | "processes" | "meta",
    ...row: (string | number | Uint8Array)[]
  ): void {
    this.statement(`INSERT OR REPLACE INTO ${table} VALUES (${row.map(() => "?").join(", ")})`).run(...row)
  }

  private statement(text: string): Statement {
    const known = this.statements.get(text)
    if (known !== undefined) return known
    const made = this.db.prepare(text)
    this.statements.set(text, made)
    return made
  }

  private pragma(name: string): number {
    return Number(Object.values(this.statement(`PRAGMA ${name}`).get() as object)[0])
  }
}

/** The file was written by another version of Conduit. */
export class OtherVersion extends Error {
  constructor(version: number) {
    super(`its tables are of version ${version}, not ${SCHEMA_VERSION}`)
  }
}

/** Whether a name's last use is to be written again. */
export function isSeenLate(name: Name, nowMs: number): boolean {
  return nowMs - name.seenMs >= SEEN_STEP_MS
}

function slotMsOf(tier: number): number {
  return KEPT_TIERS[tier]?.slotMs ?? 1
}
