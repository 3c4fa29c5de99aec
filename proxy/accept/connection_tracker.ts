// Keeps account of open connections: bytes into the metrics while they live, what is open at shutdown.
import type { Conn, ConnObserver } from "../net/mod.ts"
import {
  type AuthorityLabel,
  type ConnectionLabels,
  type ConnectionRecord,
  OUTBOUND,
  type Telemetry,
} from "../telemetry/mod.ts"

/** What a connection leaves behind when it ends, bytes: as measured for raw TCP, one of its two sockets. */
const ENDED_CONNECTION_BYTES = 2048

/** Told of the end of an accepted connection, whoever serves it by then. */
export type ConnectionEnded = (error: string | null) => void

/** One connection that is counted. */
class TrackedConn implements ConnObserver {
  private readonly tracker: ConnectionTracker
  private readonly conn: Conn
  private labels: () => ConnectionLabels
  private readonly ended: ConnectionEnded | null
  /**
   * Made late, when somebody looks or the connection ends: the client's TLS may first tell a name for it, and a
   * counter once raised cannot be lowered.
   */
  private record: ConnectionRecord | null = null
  private authority: AuthorityLabel | null = null
  private opened = false
  private openedMs = 0
  private read = 0
  private written = 0

  constructor(
    tracker: ConnectionTracker,
    conn: Conn,
    labels: () => ConnectionLabels,
    ended: ConnectionEnded | null,
  ) {
    this.tracker = tracker
    this.conn = conn
    this.labels = labels
    this.ended = ended
  }

  connOpened(): void {
    this.opened = true
    this.openedMs = this.tracker.telemetry.nowMs
  }

  named(authority: AuthorityLabel): void {
    this.authority = authority
    // Counted already without a name: that one closes, so that in every series opened less closed is open.
    this.record?.leave()
    this.record = null
  }

  proven(labels: ConnectionLabels): void {
    this.labels = () => labels
    this.record?.leave()
    this.record = null
  }

  /** A dialled connection in plaintext to an endpoint that has an identity. */
  get isBare(): boolean {
    if (this.ended !== null || this.conn.peer !== null) return false
    const { direction, dst } = this.labels()
    return direction === OUTBOUND && dst !== null && dst.identity !== ""
  }

  outdate(): void {
    this.conn.outdated = true
  }

  connClosed(_conn: Conn, error: string | null): void {
    this.tracker.forget(this)
    this.tracker.churnedBytes += ENDED_CONNECTION_BYTES
    this.collect()
    this.record?.close(error)
    this.ended?.(error)
  }

  collect(): void {
    if (!this.opened) return
    this.record ??= this.tracker.telemetry.openConnection(this.labels(), this.authority, this.openedMs)
    const { bytesWritten } = this.conn
    // Fewer than before where the first bytes turned out to be TLS; a counter once raised cannot be lowered.
    const bytesRead = Math.max(this.read, this.conn.bytesRead)
    if (bytesRead === this.read && bytesWritten === this.written) return
    this.tracker.churnedBytes += bytesRead - this.read + bytesWritten - this.written
    this.record.add(bytesRead - this.read, bytesWritten - this.written)
    this.read = bytesRead
    this.written = bytesWritten
  }
}

/** All proxied connections of the process, accepted and dialled. */
export class ConnectionTracker {
  readonly telemetry: Telemetry
  /** What has become garbage so far, about: bytes that passed, as of the last `collect`, and connections that ended. */
  churnedBytes = 0
  private readonly open = new Set<TrackedConn>()

  constructor(telemetry: Telemetry) {
    this.telemetry = telemetry
  }

  /** Connections that are open or being dialled. */
  get size(): number {
    return this.open.size
  }

  /** Counts an accepted connection from now to its end. */
  accepted(conn: Conn, labels: ConnectionLabels, ended: ConnectionEnded): void {
    const tracked = new TrackedConn(this, conn, () => labels, ended)
    this.open.add(tracked)
    conn.observer = tracked
    tracked.connOpened()
  }

  /** Counts a dialled connection from its opening to its end. */
  dialled(conn: Conn, labels: () => ConnectionLabels): void {
    const tracked = new TrackedConn(this, conn, labels, null)
    this.open.add(tracked)
    conn.observer = tracked
  }

  /** A connection is for that name, as its client's TLS says: its figures bear it as `authority`. */
  named(conn: Conn, serverName: string): void {
    const tracked = conn.observer
    if (tracked instanceof TrackedConn) tracked.named(this.telemetry.authorities.of(serverName))
  }

  /** The client of an accepted connection proved itself: its figures say so. */
  proven(conn: Conn, labels: ConnectionLabels): void {
    const tracked = conn.observer
    if (tracked instanceof TrackedConn) tracked.proven(labels)
  }

  /** Nothing new is to be begun on connections that were made in plaintext for want of a certificate. */
  outdateBare(): void {
    for (const tracked of this.open) if (tracked.isBare) tracked.outdate()
  }

  /** Brings all figures of connections up to date; to be called before they are shown or reported. */
  collect(): void {
    for (const tracked of this.open) tracked.collect()
  }

  /** For the connections themselves. */
  forget(tracked: TrackedConn): void {
    this.open.delete(tracked)
  }
}
