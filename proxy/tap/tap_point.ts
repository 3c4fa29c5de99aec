// Where exchanges meet taps: one comparison where nobody looks.
import type { Clock } from "../net/mod.ts"
import type { TapMatch } from "./match.ts"
import { type RawConnection, RawConnections } from "./raw_connections.ts"
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
  private readonly raw = new RawConnections(() => this.nextId++)
  /** Whether a tap is told of one more connection, as far as chance decides. */
  private readonly takes = (tap: Tap): boolean => tap.match.sample >= 1 || this.random() < tap.match.sample

  /** @param random  uniform, 0 to 1 */
  constructor(clock: Clock, random: () => number = Math.random) {
    this.clock = clock
    this.random = random
  }

  /** Begins a tap, which is told of the raw connections that are open; null where there are too many. */
  open(match: TapMatch, sink: TapSink): Tap | null {
    if (this.taps.length >= MAX_TAPS) return null
    const tap = new Tap(match, sink, Date.now() - this.clock.nowMs)
    this.taps = [...this.taps, tap]
    this.on = true
    this.tellOpen(tap)
    return tap
  }

  /** A tap asks for something else from now on. */
  replace(tap: Tap, match: TapMatch): void {
    tap.match = match
    this.tellOpen(tap)
  }

  private tellOpen(tap: Tap): void {
    tap.at(this.clock.nowMs)
    this.raw.tellOpen(tap, this.takes)
  }

  /** Ends a tap; what is under way is told to nobody any more. */
  close(tap: Tap): void {
    this.taps = this.taps.filter(one => one !== tap)
    this.raw.forget(tap)
    this.on = this.taps.length > 0
  }

  /** Both ends of a raw connection are connected. */
  opened(connection: RawConnection): void {
    for (const tap of this.taps) tap.at(this.clock.nowMs)
    this.raw.opened(connection, this.taps, this.takes)
  }

  /** A raw connection is over. @param error  null after an orderly end */
  closed(connection: RawConnection, error: string | null): void {
    this.raw.closed(connection, error, this.clock.nowMs)
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
