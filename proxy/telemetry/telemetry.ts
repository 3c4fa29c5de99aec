// Everything that a proxy counts, behind one object: made once in main, handed to both directions and to admin.
import type { Clock } from "../net/mod.ts"
import { AuthorityLabels } from "./authority_labels.ts"
import { HttpMetrics } from "./http_series.ts"
import { Registry } from "./registry.ts"
import { type Metric, type Scalar, SeriesGroup } from "./series.ts"
import { type ConnectionLabels, type ConnectionRecord, TcpMetrics } from "./tcp_series.ts"

const ABANDONED: Metric = {
  name: "request_abandoned_total",
  kind: "counter",
  help: "Requests whose client went away before a response head came; in no response_total.",
}
const MALFORMED: Metric = {
  name: "request_malformed_total",
  kind: "counter",
  help: "Requests refused before their head could be read; in no request_total.",
}

/** The proxy's figures. */
export class Telemetry {
  readonly registry: Registry
  readonly http: HttpMetrics
  readonly authorities = new AuthorityLabels()
  /** Requests whose client went away before a response head came. */
  readonly abandoned: Scalar
  /** Requests refused before their head could be read. */
  readonly malformed: Scalar
  private readonly tcp: TcpMetrics

  constructor(clock: Clock, registry: Registry = new Registry()) {
    this.registry = registry
    this.http = new HttpMetrics(registry)
    this.tcp = new TcpMetrics(registry, clock)
    const own = registry.group("own", key => new SeriesGroup(key))
    // The proxy's own figures stay for life.
    own.running = 1
    this.abandoned = registry.scalar(own, ABANDONED, [])
    this.malformed = registry.scalar(own, MALFORMED, [])
  }

  /** Counts a connection as open; add bytes and close through what is returned. */
  openConnection(labels: ConnectionLabels): ConnectionRecord {
    return this.tcp.open(labels)
  }
}
