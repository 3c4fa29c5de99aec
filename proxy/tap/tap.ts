// One tap: what it asks for, what it was told of and what was left out. Events are encoded at once
// (conduit.tap.v1.WatchResponse), sent a batch at a time, and dropped where their reader is slow: no request waits for it.
import { ProtoWriter } from "../control_plane/mod.ts"
import type { TapMatch } from "./match.ts"
import type { ConnectionFacts } from "./raw_connections.ts"
import type { Tapped } from "./tapped.ts"

/** Events that leave together at the latest; some 250 bytes each. */
export const MAX_TAP_BATCH = 128

/** How long an event waits for others to leave with, milliseconds: people do not notice, and 10,000 a second cost less. */
export const TAP_BATCH_MS = 20

/** What may wait for a reader, bytes; beyond it events are dropped and counted. Two seconds of 2,000 requests a second. */
export const MAX_TAP_UNREAD_BYTES = 1024 * 1024

/** What events are about. */
export interface TapSubject {
  readonly id: number
  /** Something of it was left out. */
  lossy: boolean
}

/** Where a tap's messages go. */
export interface TapSink {
  /** What was sent and not taken yet, bytes. */
  readonly unreadBytes: number
  /** Sends an encoded WatchResponse. */
  send(message: Uint8Array): void
  /** Sees to it that `flush` of the tap is called after TAP_BATCH_MS. */
  wake(): void
}

/** One tap. */
export class Tap {
  /** What it asks for; may be replaced. */
  match: TapMatch
  /** Requests left out for `maxRps`. */
  limited = 0
  /** Requests of which something was dropped. */
  dropped = 0
  private readonly sink: TapSink
  private readonly wallOffsetMs: number
  private writer: ProtoWriter | null = null
  private events = 0
  private secondMs = Number.NEGATIVE_INFINITY
  private toldThisSecond = 0
  private nowMs = 0
  private countsSent = 0

  /** @param wallOffsetMs  from the monotonic clock to the wall clock */
  constructor(match: TapMatch, sink: TapSink, wallOffsetMs: number) {
    this.match = match
    this.sink = sink
    this.wallOffsetMs = wallOffsetMs
  }

  /** Wall clock of a reading of the monotonic clock. */
  wallMs(clockMs: number): number {
    return clockMs + this.wallOffsetMs
  }

  /** The clock of the request that is looked at. */
  at(nowMs: number): void {
    this.nowMs = nowMs
  }

  /** Tells of a request's beginning; false: there were too many within this second. */
  tellBegun(tapped: Tapped): boolean {
    if (this.isOver()) return false
    const writer = this.beginEvent(tapped)
    if (writer === null) return true
    const { labels, source, fields } = tapped
    writer.begin(2)
    if (labels.direction === 0) writer.varint(1, 1)
    writer.text(2, source.peer)
    writer.text(3, labels.clientId)
    writer.text(4, tapped.server)
    writer.text(5, tapped.serverId)
    writer.text(6, tapped.tls)
    writer.text(7, tapped.method)
    writer.text(8, tapped.scheme)
    writer.text(9, tapped.authority)
    writer.text(10, tapped.path)
    writer.text(11, labels.route)
    if (labels.dstService !== "") writer.text(12, `${labels.dstService}.${labels.dstNamespace}`)
    writer.double(13, tapped.wallMs)
    for (let i = 0; i < fields.length; i += 2) {
      writer.begin(14)
      // Pairs.
      writer.text(1, fields[i]!)
      writer.text(2, fields[i + 1]!)
      writer.end()
    }
    writer.end()
    this.endEvent(writer)
    return true
  }

  /** Tells of a raw connection; false: there were too many within this second. */
  tellOpened(subject: TapSubject, facts: ConnectionFacts): boolean {
    if (this.isOver()) return false
    const writer = this.beginEvent(subject)
    if (writer === null) return true
    writer.begin(5)
    if (facts.inbound) writer.varint(1, 1)
    writer.text(2, facts.client)
    writer.text(3, facts.clientId)
    writer.text(4, facts.server)
    writer.text(5, facts.serverId)
    writer.text(6, facts.tls)
    writer.text(7, facts.protocol)
    writer.text(8, facts.serverName)
    writer.text(9, facts.service)
    writer.double(10, this.wallMs(facts.openedMs))
    writer.end()
    this.endEvent(writer)
    return true
  }

  /** Tells of a raw connection's end. */
  tellClosed(
    subject: TapSubject,
    afterMs: number,
    clientBytes: number,
    serverBytes: number,
    error: string,
  ): void {
    const writer = this.beginEvent(subject)
    if (writer === null) return
    writer.begin(6)
    writer.double(1, afterMs)
    if (clientBytes > 0) writer.varint(2, clientBytes)
    if (serverBytes > 0) writer.varint(3, serverBytes)
    writer.text(4, error)
    writer.end()
    this.endEvent(writer)
  }

  /** Tells of a response's head. */
  tellHead(tapped: Tapped): void {
    const writer = this.beginEvent(tapped)
    if (writer === null) return
    writer.begin(3)
    writer.varint(1, tapped.status)
    writer.double(2, tapped.headAfterMs)
    writer.end()
    this.endEvent(writer)
  }

  /** Tells of a request's end. @param grpcStatus  -1 for none */
  tellEnd(
    tapped: Tapped,
    grpcStatus: number,
    failed: boolean,
    error: string,
    bytes: number,
    afterMs: number,
  ): void {
    const writer = this.beginEvent(tapped)
    if (writer === null) return
    const id = tapped.proxyError === "" ? null : /; id=(\S+)/.exec(tapped.proxyError)
    writer.begin(4)
    if (tapped.status > 0) writer.varint(1, tapped.status)
    if (grpcStatus >= 0) writer.varint(2, grpcStatus)
    writer.double(3, afterMs)
    if (bytes > 0) writer.varint(4, bytes)
    if (failed) writer.varint(5, 1)
    writer.text(6, error)
    if (id !== null) writer.text(7, id[1] ?? "")
    writer.end()
    this.endEvent(writer)
  }

  /** Sends what waits; also the counts alone, where they have changed. */
  flush(): void {
    const counts = this.limited + this.dropped
    if (this.events === 0 && counts === this.countsSent) return
    const writer = this.writer ?? new ProtoWriter()
    if (this.limited > 0) writer.varint(2, this.limited)
    if (this.dropped > 0) writer.varint(3, this.dropped)
    this.countsSent = counts
    this.events = 0
    this.sink.send(writer.finish())
  }

  /** Whether as many as may be were told of within this second; counts one more of either. */
  private isOver(): boolean {
    if (this.nowMs - this.secondMs >= 1000) {
      this.secondMs = this.nowMs
      this.toldThisSecond = 0
    }
    if (this.toldThisSecond >= this.match.maxRps) {
      this.limited++
      this.sink.wake()
      return true
    }
    this.toldThisSecond++
    return false
  }

  /** Null where the reader is too slow. */
  private beginEvent(tapped: TapSubject): ProtoWriter | null {
    if (this.sink.unreadBytes > MAX_TAP_UNREAD_BYTES || tapped.lossy) {
      if (!tapped.lossy) this.dropped++
      tapped.lossy = true
      this.sink.wake()
      return null
    }
    this.writer ??= new ProtoWriter()
    const { writer } = this
    writer.begin(1)
    writer.varint(1, tapped.id)
    return writer
  }

  private endEvent(writer: ProtoWriter): void {
    writer.end()
    this.events++
    if (this.events >= MAX_TAP_BATCH) this.flush()
    else if (this.events === 1) this.sink.wake()
  }
}
