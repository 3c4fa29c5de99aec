// Everything that a proxy counts, behind one object: made once in main, handed to both directions and to admin.
import type { Clock } from "../net/mod.ts"
import { RefusalRing } from "../refusal_ring.ts"
import { TapPoint } from "../tap/mod.ts"
import { AccessRecords } from "./access_records.ts"
import { type AuthorityLabel, AuthorityLabels } from "./authority_labels.ts"
import { HttpMetrics, RequestSeries } from "./http_series.ts"
import { ProcessMetrics } from "./process_metrics.ts"
import { prometheusText } from "./prometheus_text.ts"
import { Registry } from "./registry.ts"
import { type Labels, type Metric, Scalar, type Series, SeriesGroup } from "./series.ts"
import { type ConnectionLabels, type ConnectionRecord, ConnectionSeries, TcpMetrics } from "./tcp_series.ts"

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

const MIRRORED: Metric = {
  name: "request_mirror_total",
  kind: "counter",
  help: "Copies of requests that mirror filters ask for, by what became of them; in no request_total.",
}

const BUILD_INFO: Metric = {
  name: "conduit_build_info",
  kind: "gauge",
  help: "Version of the proxy, as a label.",
}

/** How often idle series are looked for. */
export const SWEEP_INTERVAL_MS = 60_000

/** Settings of telemetry. */
export interface TelemetryOptions {
  /** Version of the proxy. Default: left out. */
  readonly version?: string
  /** Start of the process, milliseconds since 1970. Default: now. */
  readonly startedAtMs?: number
}

/** Gives figures when somebody asks for /metrics. */
export type Collect = () => Iterable<Series>

/** The proxy's figures. */
export class Telemetry {
  readonly registry: Registry
  readonly http: HttpMetrics
  readonly authorities = new AuthorityLabels()
  /** Who called what, for the control plane only. */
  readonly access = new AccessRecords()
  /** What was refused lately, in full. */
  readonly refusals = new RefusalRing()
  /** Who looks at requests now. */
  readonly taps: TapPoint
  /** Requests whose client went away before a response head came. */
  readonly abandoned: Scalar
  /** Requests refused before their head could be read. */
  readonly malformed: Scalar
  /** Copies of requests, by what became of them. */
  readonly mirrors: { readonly answered: Scalar; readonly failed: Scalar; readonly dropped: Scalar }
  private readonly tcp: TcpMetrics
  private readonly clock: Clock
  private readonly collectors: Collect[] = []

  constructor(clock: Clock, registry: Registry = new Registry(), options: TelemetryOptions = {}) {
    this.clock = clock
    this.taps = new TapPoint(clock)
    this.registry = registry
    this.http = new HttpMetrics(registry)
    this.tcp = new TcpMetrics(registry, clock)
    const own = registry.group("own", key => new SeriesGroup(key))
    // The proxy's own figures stay for life.
    own.running = 1
    this.abandoned = registry.scalar(own, ABANDONED, [])
    this.malformed = registry.scalar(own, MALFORMED, [])
    const mirrored = (outcome: string): Scalar => registry.scalar(own, MIRRORED, [["outcome", outcome]])
    this.mirrors = {
      answered: mirrored("answered"),
      failed: mirrored("failed"),
      dropped: mirrored("dropped"),
    }
    if (options.version !== undefined) {
      registry.scalar(own, BUILD_INFO, [["version", options.version]]).value = 1
    }
    const ofProcess = new ProcessMetrics(options.startedAtMs ?? Date.now())
    this.collectors.push(() => ofProcess.collect())
  }

  /**
   * Counts a connection as open; add bytes and close through what is returned.
   *
   * @param authority  name that the client asked for in its TLS, null for none
   * @param openedMs  reading of the clock when it was opened; default: now
   */
  openConnection(
    labels: ConnectionLabels,
    authority: AuthorityLabel | null = null,
    openedMs: number = this.clock.nowMs,
  ): ConnectionRecord {
    return this.tcp.open(labels, authority, openedMs)
  }

  /** The clock that durations are taken by, milliseconds. */
  get nowMs(): number {
    return this.clock.nowMs
  }

  /** Adds figures that are read only when somebody asks. */
  addCollector(collect: Collect): void {
    this.collectors.push(collect)
  }

  /** Everything in the Prometheus text format. */
  text(): string {
    return prometheusText(this.all())
  }

  /** Drops series without change for ten minutes; to be called every `SWEEP_INTERVAL_MS`. */
  sweep(): void {
    this.registry.sweep(this.clock.nowMs)
    this.http.sweep()
    this.access.sweep(this.clock.nowMs)
    const used = new Set<string>()
    for (const group of this.registry.allGroups()) {
      const bears = group instanceof RequestSeries || group instanceof ConnectionSeries
      if (bears && group.authority !== null) used.add(group.authority.text)
    }
    this.authorities.retain(used)
  }

  private *all(): Generator<Series> {
    yield* this.registry.all()
    for (const collect of this.collectors) yield* collect()
  }
}

/** A figure for a collector to give. */
export function figure(metric: Metric, labels: Labels, value: number): Series {
  const series = new Scalar(metric, labels)
  series.value = value
  return series
}
