// Where exchanges meet taps: one comparison where nobody looks.
import type { Clock } from "../net/mod.ts"
import type { TapMatch } from "./match.ts"
import { Tap, type TapSink } from "./tap.ts"
import { type TapLabels, Tapped, type TapRequestHead, type TapSource } from "./tapped.ts"

/** Taps of one proxy at once: each is somebody looking, and all cost each request a match. */
export const MAX_TAPS = 8

/** The taps of a proxy. */
export class TapPoint {
  /** Whether anybody looks; `begin` need not be called otherwise. */
  on = false
  private readonly clock: Clock
  private readonly random: () => number
  private taps: readonly Tap[] = []
  private nextId = 1

  /** @param random  uniform, 0 to 1 */
  constructor(clock: Clock, random: () => number = Math.random) {
    this.clock = clock
    this.random = random
  }

  /** Begins a tap; null where there are too many. */
  open(match: TapMatch, sink: TapSink): Tap | null {
    if (this.taps.length >= MAX_TAPS) return null
    const tap = new Tap(match, sink, Date.now() - this.clock.nowMs)
    this.taps = [...this.taps, tap]
    this.on = true
    return tap
  }

  /** Ends a tap; what is under way is told to nobody any more. */
  close(tap: Tap): void {
    this.taps = this.taps.filter(one => one !== tap)
    this.on = this.taps.length > 0
  }

  /** A request was begun. @returns who is to be told what becomes of it; null for nobody */
  begin(source: TapSource, labels: TapLabels, head: TapRequestHead, nowMs: number): Tapped | null {
    const { taps } = this
    const isInbound = labels.direction === 0
    let first: Tapped | null = null
    for (const tap of taps) {
      const { match } = tap
      if (match.sample < 1 && this.random() >= match.sample) continue
      if (!match.takesHead(isInbound, head.method, head.path, head.authority)) continue
      if (isInbound && match.peers !== null && !match.peers.has(hostOf(source.peer))) continue
      tap.at(nowMs)
      first = new Tapped(tap, this.nextId, source, labels, head, nowMs, first)
    }
    if (first !== null) this.nextId++
    return first
  }
}

/** `10.0.0.1` of `10.0.0.1:80`, `fd00::1` of `[fd00::1]:80`. */
function hostOf(address: string): string {
  const host = address.slice(0, address.lastIndexOf(":"))
  return host.startsWith("[") ? host.slice(1, -1) : host
}
