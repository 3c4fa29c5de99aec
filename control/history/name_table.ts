// Numbers for what the windows of the history speak of: proxies' processes, and the keys of what they counted. Bounded: what is
// not used for longer than a day is forgotten.
import type { AccessKey, PodName, TrafficKey } from "../telemetry/mod.ts"
import { isSeenLate, type Name } from "./history_file.ts"

/** Keys of figures that are told apart within a day; some 30 MB of memory. Those beyond are left out. */
export const MAX_HISTORY_KEYS = 100_000
/** Processes of proxies that are told apart within a day. Those beyond are left out. */
export const MAX_HISTORY_REPORTERS = 20_000

/** Kind of the names of processes; all others are of keys. */
export const REPORTER = "reporter"

/** A proxy's process, as its windows are kept by. */
type ProcessName = PodName & { readonly process: string }

/** What a number stands for. */
interface Named {
  readonly kind: string
  /** A PodName of a process; a TrafficKey or AccessKey otherwise. */
  readonly value: unknown
  readonly name: Name
}

/** All names, by text and by number. */
export class NameTable {
  private readonly byText = new Map<string, Name>()
  private readonly byId = new Map<number, Named>()
  private reporters = 0
  private nextId = 1
  private readonly changed = new Set<Name>()
  private readonly maxKeys: number
  private readonly onLeftOut: () => void

  /** @param onLeftOut  told of each record for whose key there is no room */
  constructor(maxKeys: number, onLeftOut: () => void) {
    this.maxKeys = maxKeys
    this.onLeftOut = onLeftOut
  }

  /** What a number stands for. */
  of(id: number): Named | undefined {
    return this.byId.get(id)
  }

  /** The number of a name, given when it is new; null where there is no room. */
  idOf(
    kind: string,
    value: ProcessName | TrafficKey | AccessKey,
    nowMs: number,
    sinceMs = nowMs,
  ): number | null {
    const text = JSON.stringify(value)
    const known = this.byText.get(`${kind} ${text}`)
    if (known !== undefined) {
      if (isSeenLate(known, nowMs)) {
        known.seenMs = nowMs
        this.changed.add(known)
      }
      return known.id
    }
    const full =
      kind === REPORTER
        ? this.reporters >= MAX_HISTORY_REPORTERS
        : this.byId.size - this.reporters >= this.maxKeys
    if (full) {
      this.onLeftOut()
      return null
    }
    const name = { id: this.nextId, kind, text, sinceMs: Math.floor(sinceMs), seenMs: nowMs }
    this.learn(name)
    this.changed.add(name)
    return name.id
  }

  /** Names that are to be written. */
  unsaved(): Name[] {
    return [...this.changed]
  }

  /** They were written. */
  saved(): void {
    this.changed.clear()
  }

  /** Nothing is written any more. */
  forgetSaved(): void {
    for (const { name } of this.byId.values()) this.changed.add(name)
  }

  /** Takes names in the place of all that are known. */
  learnAll(names: readonly Name[]): void {
    this.byText.clear()
    this.byId.clear()
    this.changed.clear()
    this.reporters = 0
    for (const name of names) this.learn(name)
  }

  /** Forgets a name. */
  forget(id: number): void {
    const known = this.byId.get(id)
    if (known === undefined) return
    this.byId.delete(id)
    this.byText.delete(`${known.kind} ${known.name.text}`)
    if (known.kind === REPORTER) this.reporters--
  }

  private learn(name: Name): void {
    const { process: _, ...value } = JSON.parse(name.text)
    this.byText.set(`${name.kind} ${name.text}`, name)
    this.byId.set(name.id, { kind: name.kind, value, name })
    if (name.kind === REPORTER) this.reporters++
    this.nextId = Math.max(this.nextId, name.id + 1)
  }
}
