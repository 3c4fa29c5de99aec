// The history in a file of this process (history_file.ts): takes windows as they end, answers questions about a day. What
// goes wrong with the file costs history and nothing else: it is told once, counted, and tried again.
import { mkdirSync, renameSync, rmSync } from "node:fs"
import { dirname } from "node:path"
import type { Log } from "../log.ts"
import {
  type AccessKey,
  countOf,
  emptySums,
  type Figures,
  type FigureHistory,
  HISTORY_SLOT_MS,
  type HistoryQuestion,
  type HistoryRow,
  HistoryRows,
  isEmpty,
  type Journal,
  type PodName,
  podRefOf,
  processKey,
  RECORDED_TIER,
  type Reporter,
  type Resumed,
  type SteadyClock,
  seriesHash,
  type TrafficKey,
} from "../telemetry/mod.ts"
import { HistoryFile, KEPT_TIERS, OtherVersion, type WindowRow } from "./history_file.ts"
import { MAX_HISTORY_KEYS, NameTable, REPORTER } from "./name_table.ts"
import { ByteReader, ByteWriter, decodeValues, encodeValues } from "./window_codec.ts"

/** The file's name in its folder. */
export const HISTORY_FILE = "history.db"
/** Bound of the file: a day of 500 proxies with 15 peers each takes some 250 MB. */
export const MAX_HISTORY_BYTES = 512 * 1024 * 1024
/** Windows that wait to be written, in bytes: ten minutes of 1,000 proxies. The oldest give way. */
export const MAX_PENDING_BYTES = 64 * 1024 * 1024
/** After the end of a window reports are waited for this long: a proxy reports once a second. */
export const WRITE_DELAY_MS = 2_500
/**
 * Longest that telemetry may have been away for proxies' counts to go on where they were; after a longer time they begin
 * anew, since memory has no windows for what was counted meanwhile.
 */
export const MAX_AWAY_MS = 600_000
/** Work of a question between two turns of the event loop. */
export const MAX_READ_TURN_MS = 8
/** How often what is too old is forgotten. */
const FORGET_MS = 3_600_000

/** What the history went through. */
export interface HistoryCounts {
  /** Windows written, one per proxy. */
  windows: number
  /** Windows that could not be kept until the file could be written. */
  lost: number
  /** Records left out as too many. */
  leftOut: number
  /** Attempts to write that failed. */
  failures: number
  /** Files set aside as unreadable. */
  setAside: number
  /** Longest and last time that writing took, milliseconds. */
  longestWriteMs: number
  lastWriteMs: number
}

/** Options of the history. */
export interface EmbeddedHistoryOptions {
  readonly log: Log
  /** Bound of the file. Default: MAX_HISTORY_BYTES. */
  readonly limitBytes?: number
  /** Wall clock when the history is opened. Default: Date.now. */
  readonly wallMs?: () => number
  /** Keys that are told apart. Default: MAX_HISTORY_KEYS. */
  readonly maxKeys?: number
}

/** The history in a file. */
export class EmbeddedHistory implements FigureHistory, Journal {
  readonly counts: HistoryCounts = {
    windows: 0,
    lost: 0,
    leftOut: 0,
    failures: 0,
    setAside: 0,
    longestWriteMs: 0,
    lastWriteMs: 0,
  }
  private readonly path: string
  private readonly options: EmbeddedHistoryOptions
  private file: HistoryFile | null = null
  /** Why the file cannot be used now; empty when it can. */
  private problem = ""
  private readonly writer = new ByteWriter()
  private readonly names: NameTable
  private pending = new Map<string, WindowRow>()
  private pendingBytes = 0
  private processes = new Map<string, Uint8Array>()
  /** Proxies' processes whose values were taken. */
  private readonly written = new Set<string>()
  private writtenSlot = 0
  private forgottenMs = 0
  /** Until when an earlier process had saved what it saw, milliseconds since 1970; 0 where that is not known or too long ago. */
  readonly resumedMs: number

  /** @param folder  where the file is, made when it is missing; one that cannot be written costs history only */
  constructor(folder: string, options: EmbeddedHistoryOptions) {
    this.path = `${folder}/${HISTORY_FILE}`
    this.options = options
    this.names = new NameTable(options.maxKeys ?? MAX_HISTORY_KEYS, () => {
      this.counts.leftOut++
    })
    const nowMs = (options.wallMs ?? Date.now)()
    this.open(nowMs)
    const savedMs = this.file?.savedUntilMs ?? 0
    this.resumedMs = savedMs > 0 && nowMs - savedMs <= MAX_AWAY_MS ? savedMs : 0
  }

  /** Whether the file can be used. */
  get healthy(): boolean {
    return this.problem === ""
  }

  /** Until when windows are written, milliseconds since 1970; 0 for an empty file, and while it cannot be used. */
  get savedUntilMs(): number {
    return this.file?.savedUntilMs ?? 0
  }

  /** Bytes of the file in use; 0 while it cannot be used. */
  usedBytes(): number {
    return this.attempt(file => file.usedBytes()) ?? 0
  }

  resume(key: string): Resumed | null {
    if (this.resumedMs === 0) return null
    const bytes = this.attempt(file => file.values(key)) ?? null
    return bytes === null ? null : { savedMs: this.resumedMs, values: decodeValues(bytes) }
  }

  beforeReport(reporter: Reporter, nowMs: number): void {
    const slot = Math.floor(nowMs / HISTORY_SLOT_MS)
    if (reporter.changedSlot < slot) this.record(reporter, slot)
  }

  /** Writes what has ended, once reports had time to come. To be called about once a second. */
  tick(reporters: Iterable<Reporter>, clock: SteadyClock): void {
    const nowMs = clock.nowMs()
    const slot = Math.floor((nowMs - WRITE_DELAY_MS) / HISTORY_SLOT_MS)
    if (slot <= this.writtenSlot) return
    const live = new Set<string>()
    for (const reporter of reporters) {
      const process = processKey(reporter.about)
      live.add(process)
      // One that has counted nothing yet is written too: after a restart it would be a stranger, whose counts are a base.
      const silent = reporter.changedSlot === Number.POSITIVE_INFINITY && !this.written.has(process)
      if (silent || reporter.changedSlot < slot) this.record(reporter, slot)
    }
    this.write(slot, clock.aheadMs())
    if (nowMs - this.forgottenMs < FORGET_MS) return
    this.forgottenMs = nowMs
    for (const process of this.written) if (!live.has(process)) this.written.delete(process)
    for (const id of this.attempt(file => file.forget(nowMs, live)) ?? []) this.names.forget(id)
  }

  /** Closes the file. What has not ended is not lost: proxies' counts go on from the last window when they report again. */
  close(): void {
    this.file?.close()
    this.file = null
  }

  async read(question: HistoryQuestion): Promise<HistoryRow[]> {
    const { figures, fromMs, stepMs, points, sinceMs, untilMs } = question
    const begin = Math.max(fromMs, sinceMs)
    const end = Math.min(fromMs + stepMs * points, untilMs)
    const rows = new HistoryRows(question)
    let coarsest = KEPT_TIERS.length - 1
    // A window must not lie in two points.
    while (points > 1 && [fromMs, stepMs].some(ms => ms % (KEPT_TIERS[coarsest]?.slotMs ?? 1) !== 0))
      coarsest--
    const pieces = this.attempt(file => file.pieces(begin, end, Math.max(0, coarsest))) ?? []
    /** Rows by proxy and key, so that each pair is looked at once. */
    const known = new Map<number, HistoryRow | null>()
    let turnBegan = performance.now()
    for (const { tier, slot, timeMs } of pieces) {
      const point = rows.pointAt(timeMs)
      if (point < 0) continue
      for (const [reporterId, data] of this.attempt(file => file.slot(tier, slot)) ?? []) {
        const reporter = this.names.of(reporterId)
        if (reporter === undefined) continue
        const reader = new ByteReader(data)
        while (reader.more) {
          const keyId = reader.number()
          const pair = reporterId * PAIRS + keyId
          let row = known.get(pair)
          if (row === undefined) {
            const key = this.names.of(keyId)
            row =
              key?.kind === figures
                ? rows.rowOf(reporter.value as PodName, key.value as TrafficKey | AccessKey)
                : null
            known.set(pair, row)
            if (row !== null) row.sinceMs = Math.min(row.sinceMs, reporter.name.sinceMs)
          }
          if (row === null) reader.addTo(null)
          else {
            const sums = row.points[point] ?? emptySums()
            row.points[point] = sums
            reader.addTo(sums)
          }
        }
      }
      if (performance.now() - turnBegan < MAX_READ_TURN_MS) continue
      await new Promise(resolve => setImmediate(resolve))
      turnBegan = performance.now()
    }
    return rows.all()
  }

  /** Keeps what a proxy counted in the slots that changed, up to and without `untilSlot`. */
  private record(reporter: Reporter, untilSlot: number): void {
    const { namespace, pod, workloadKind, workload } = podRefOf(reporter.about)
    const timeMs = untilSlot * HISTORY_SLOT_MS
    // A window that changes late is written again, so each process has its own: a restarted one counts beside the one before.
    const process = processKey(reporter.about)
    const name = { namespace, pod, workloadKind, workload, process }
    const id = this.names.idOf(REPORTER, name, timeMs, reporter.sinceMs)
    const from = reporter.changedSlot
    reporter.changedSlot = Number.POSITIVE_INFINITY
    if (id === null) return
    for (let slot = Math.max(from, untilSlot - MAX_SLOTS); slot < untilSlot; slot++) {
      for (const { key, ring, authorities } of reporter.peers.values()) {
        for (const [authority, sum] of authorities.of(ring)) {
          const sums = sum(RECORDED_TIER, slot, slot)
          if (isEmpty(sums)) continue
          const kind: Figures = key.route === "" ? "traffic" : "routes"
          const keyId = this.names.idOf(kind, { ...key, dstPod: "", authority }, timeMs)
          if (keyId !== null) this.writer.record(keyId, sums)
        }
      }
      for (const entry of reporter.access.entries.values()) {
        const sent = countOf(entry, RECORDED_TIER, slot, slot)
        if (sent === 0) continue
        const keyId = this.names.idOf("access", entry.key, timeMs)
        if (keyId !== null) this.writer.record(keyId, { ...emptySums(), sent })
      }
      const data = this.writer.take()
      if (data.length > 0) this.keep(`${slot} ${id}`, { slot, reporter: id, data })
    }
    this.written.add(process)
    this.processes.set(process, encodeValues(hashed(reporter), this.writer))
  }

  private keep(key: string, row: WindowRow): void {
    this.pendingBytes += row.data.length - (this.pending.get(key)?.data.length ?? 0)
    this.pending.set(key, row)
    for (const [oldest, { data }] of this.pending) {
      if (this.pendingBytes <= MAX_PENDING_BYTES) return
      this.pending.delete(oldest)
      this.pendingBytes -= data.length
      this.counts.lost++
    }
  }

  private write(untilSlot: number, aheadMs: number): void {
    this.writtenSlot = untilSlot
    if (this.file === null) this.open(untilSlot * HISTORY_SLOT_MS)
    const began = performance.now()
    const written = this.attempt(file => {
      const windows = [...this.pending.values()]
      file.write({ windows, processes: this.processes, names: this.names.unsaved(), untilSlot, aheadMs })
      return windows.length
    }, true)
    if (written === undefined) {
      this.counts.failures++
      return
    }
    this.counts.lastWriteMs = performance.now() - began
    this.counts.longestWriteMs = Math.max(this.counts.longestWriteMs, this.counts.lastWriteMs)
    this.counts.windows += written
    this.pending.clear()
    this.pendingBytes = 0
    this.processes.clear()
    this.names.saved()
  }

  private open(nowMs: number): void {
    const { limitBytes = MAX_HISTORY_BYTES } = this.options
    for (const last of [false, true]) {
      try {
        mkdirSync(dirname(this.path), { recursive: true })
        const file = new HistoryFile(this.path, limitBytes, nowMs, this.writer)
        const names = file.names()
        // A new file learns the names that are known; one that is there has names of its own, and other numbers mean nothing.
        if (names.length === 0) this.names.forgetSaved()
        else {
          this.names.learnAll(names)
          this.counts.lost += this.pending.size
          this.pending.clear()
          this.pendingBytes = 0
        }
        this.file = file
        this.written.clear()
        return
      } catch (error) {
        if (last || !isBroken(error)) {
          this.fail(error)
          return
        }
        this.setAside(error)
      }
    }
  }

  /** Does something with the file; undefined where it cannot be done. */
  private attempt<T>(what: (file: HistoryFile) => T, writes = false): T | undefined {
    if (this.file === null) return undefined
    try {
      const result = what(this.file)
      if (writes) this.heal()
      return result
    } catch (error) {
      this.fail(error)
      if (!isBroken(error) && !isGone(error)) {
        this.makeRoom(error)
        return undefined
      }
      this.close()
      if (isBroken(error)) this.setAside(error)
      return undefined
    }
  }

  /** A file that has reached its bound forgets the oldest; where the disk itself is full, that may fail as well. */
  private makeRoom(error: unknown): void {
    if (codeOf(error) !== "SQLITE_FULL") return
    try {
      this.file?.trim()
    } catch {
      // Told already: the next write tries again.
    }
  }

  private fail(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    if (this.problem === "") {
      this.options.log.warn(
        `history: ${this.path} cannot be used: ${reason}; figures of the last hour are answered from memory, older ones are missing until it can be written again`,
      )
    }
    this.problem = reason
  }

  private heal(): void {
    if (this.problem !== "") this.options.log.info(`history: ${this.path} can be used again`)
    this.problem = ""
  }

  private setAside(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    const aside = `${this.path}.broken`
    try {
      renameSync(this.path, aside)
      for (const suffix of ["-wal", "-shm"]) rmSync(`${this.path}${suffix}`, { force: true })
    } catch (cause) {
      this.fail(cause)
      return
    }
    this.counts.setAside++
    this.options.log.warn(
      `history: ${this.path} cannot be read: ${reason}; it is kept as ${aside}, and a new one begun`,
    )
  }
}

/** More slots than a ring of memory has. */
const MAX_SLOTS = 61
/** Numbers of names are below this: a proxy and a key are one exact number together. */
const PAIRS = 2 ** 26

function* hashed(reporter: Reporter): Generator<readonly [bigint, readonly number[]]> {
  for (const [id, values] of reporter.values()) yield [seriesHash(id), values]
}

function codeOf(error: unknown): string {
  return (error as { code?: string } | null)?.code ?? ""
}

/** Whether the file's content is to blame. */
function isBroken(error: unknown): boolean {
  return (
    error instanceof OtherVersion ||
    ["SQLITE_CORRUPT", "SQLITE_NOTADB"].some(code => codeOf(error).startsWith(code))
  )
}

/** Whether the file has to be opened anew. */
function isGone(error: unknown): boolean {
  return ["SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_MISUSE", "SQLITE_BUSY"].some(code =>
    codeOf(error).startsWith(code),
  )
}
