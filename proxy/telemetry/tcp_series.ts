// The series of TCP connections: opened, open, closed, bytes, duration; per direction, peer and destination.
import type { EndpointInfo } from "../balance/mod.ts"
import type { Clock } from "../net/mod.ts"
import type { AuthorityLabel } from "./authority_labels.ts"
import { compact, type Direction, destinationLabels, OUTBOUND, type TlsLabel } from "./http_series.ts"
import type { Registry } from "./registry.ts"
import { type Histogram, type Labels, type Metric, type Scalar, SeriesGroup } from "./series.ts"

const OPEN_TOTAL: Metric = { name: "tcp_open_total", kind: "counter", help: "Connections opened." }
const OPEN: Metric = { name: "tcp_open_connections", kind: "gauge", help: "Connections open now." }
const CLOSE_TOTAL: Metric = { name: "tcp_close_total", kind: "counter", help: "Connections closed." }
const READ_BYTES: Metric = {
  name: "tcp_read_bytes_total",
  kind: "counter",
  help: "Bytes read from the peer.",
}
const WRITE_BYTES: Metric = {
  name: "tcp_write_bytes_total",
  kind: "counter",
  help: "Bytes written to the peer.",
}
const DURATION: Metric = {
  name: "tcp_connection_duration_ms",
  kind: "histogram",
  help: "Milliseconds from a connection's opening to its end.",
}

/** Who is at the other end: `src` the client's side (accepted), `dst` the server's side (dialled). */
export type PeerLabel = "src" | "dst"

/** What is known about a connection. */
export interface ConnectionLabels {
  readonly direction: Direction
  readonly peer: PeerLabel
  /** `address:port` that the connection goes to; empty to leave it out. */
  readonly targetAddress: string
  readonly tls: TlsLabel
  /** Identity that the client proved; empty for none. */
  readonly clientId: string
  /** Identity that the server proved; empty for none. */
  readonly serverId: string
  /** Service addressed; empty for none. */
  readonly dstService: string
  readonly dstNamespace: string
  /** Endpoint that the connection goes to; null when unknown. */
  readonly dst: EndpointInfo | null
}

/** Series of connections with the same labels. */
export class ConnectionSeries extends SeriesGroup {
  /** Name that clients asked for in their TLS; null where none is known. */
  readonly authority: AuthorityLabel | null
  readonly opened: Scalar
  readonly open: Scalar
  readonly read: Scalar
  readonly written: Scalar
  readonly duration: Histogram
  private readonly registry: Registry
  private readonly labels: Labels
  private readonly closed = new Map<string, Scalar>()

  constructor(key: string, registry: Registry, labels: Labels, authority: AuthorityLabel | null) {
    super(key)
    this.authority = authority
    this.registry = registry
    this.labels = labels
    this.opened = registry.scalar(this, OPEN_TOTAL, labels)
    this.open = registry.scalar(this, OPEN, labels)
    this.read = registry.scalar(this, READ_BYTES, labels)
    this.written = registry.scalar(this, WRITE_BYTES, labels)
    this.duration = registry.histogram(this, DURATION, labels)
  }

  close(error: string): void {
    let series = this.closed.get(error)
    if (series === undefined) {
      const labels: Labels = error === "" ? this.labels : [...this.labels, ["error", error]]
      series = this.registry.scalar(this, CLOSE_TOTAL, labels)
      this.closed.set(error, series)
    }
    series.value++
  }
}

/** One connection's figures. */
export class ConnectionRecord {
  private readonly series: ConnectionSeries
  private readonly clock: Clock
  private readonly openedMs: number
  private closed = false

  /** Made by `TcpMetrics.open`. */
  constructor(series: ConnectionSeries, clock: Clock, openedMs: number) {
    this.series = series
    this.clock = clock
    this.openedMs = openedMs
    series.running++
    series.opened.value++
    series.open.value++
  }

  /** Adds bytes that went over the connection since the last call. */
  add(bytesRead: number, bytesWritten: number): void {
    this.series.read.value += bytesRead
    this.series.written.value += bytesWritten
  }

  /** The connection is over; calls after the first do nothing. `error` is a short code, null for a clean end. */
  close(error: string | null): void {
    if (this.closed) return
    this.series.duration.observe(this.clock.nowMs - this.openedMs)
    this.leave(error)
  }

  /** The connection goes on under other labels: closed here, with no duration since it has not ended. */
  leave(error: string | null = null): void {
    if (this.closed) return
    this.closed = true
    this.series.running--
    this.series.open.value--
    this.series.close(error ?? "")
  }
}

/** Finds and makes the series of connections. */
export class TcpMetrics {
  private readonly registry: Registry
  private readonly clock: Clock
  /** Series by the identity of labels: targets share one object among all their connections. */
  private readonly seriesOf = new WeakMap<ConnectionLabels, ConnectionSeries>()

  constructor(registry: Registry, clock: Clock) {
    this.registry = registry
    this.clock = clock
  }

  /** Counts a connection as open since `openedMs`. */
  open(labels: ConnectionLabels, authority: AuthorityLabel | null, openedMs: number): ConnectionRecord {
    // Named connections are found by key: a handshake costs a hundred times as much.
    if (authority !== null) return new ConnectionRecord(this.find(labels, authority), this.clock, openedMs)
    const known = this.seriesOf.get(labels)
    if (known !== undefined && !known.dropped) return new ConnectionRecord(known, this.clock, openedMs)
    const series = this.find(labels, null)
    this.seriesOf.set(labels, series)
    return new ConnectionRecord(series, this.clock, openedMs)
  }

  private find(labels: ConnectionLabels, authority: AuthorityLabel | null): ConnectionSeries {
    const outbound = labels.direction === OUTBOUND
    const pairs = compact([
      ["direction", outbound ? "outbound" : "inbound"],
      ["peer", labels.peer],
      ["authority", authority?.text ?? ""],
      ["target_addr", labels.targetAddress],
      ["tls", labels.tls],
      ["client_id", labels.clientId],
      ["server_id", labels.serverId],
      ...(outbound ? destinationLabels(labels.dstService, labels.dstNamespace, labels.dst) : []),
    ])
    let key = `tcp ${JSON.stringify(pairs)}`
    let kept: Labels = pairs
    if (this.registry.full && !this.registry.has(key)) {
      kept = pairs.slice(0, 2)
      key = `tcp overflow ${labels.direction} ${labels.peer}`
      return this.registry.group(key, newKey => new ConnectionSeries(newKey, this.registry, kept, null))
    }
    return this.registry.group(key, newKey => new ConnectionSeries(newKey, this.registry, kept, authority))
  }
}
