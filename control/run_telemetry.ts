// The telemetry service of a control-plane process: memory for the last hour, and who keeps what is older.
import { EmbeddedHistory, PrometheusHistory } from "./history/mod.ts"
import type { Log } from "./log.ts"
import type { Listening, Metric } from "./serve/mod.ts"
import type { HistorySettings } from "./settings.ts"
import {
  HISTORY_SLOT_MS,
  localQueries,
  serveTelemetry,
  steadyClock,
  type TelemetryOptions,
  type TelemetryQueries,
  TelemetryStore,
} from "./telemetry/mod.ts"

/** How often the history looks whether a window has ended. */
const TICK_MS = 1_000

/** Telemetry that runs. */
export interface RunningTelemetry {
  readonly listening: Listening
  readonly queries: TelemetryQueries
  metrics(): readonly Metric[]
}

/**
 * Serves telemetry.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export async function runTelemetry(
  { folder, prometheusUrl }: HistorySettings,
  options: Omit<TelemetryOptions, "clock">,
  log: Log,
): Promise<RunningTelemetry> {
  const embedded = folder === "" || prometheusUrl !== "" ? null : new EmbeddedHistory(folder, { log })
  const prometheus = prometheusUrl === "" ? null : new PrometheusHistory(prometheusUrl)
  const resumedMs = embedded?.resumedMs ?? 0
  const clock = steadyClock(resumedMs)
  const beganMs = Math.floor(clock.nowMs() / HISTORY_SLOT_MS) * HISTORY_SLOT_MS
  const store = new TelemetryStore(resumedMs === 0 ? beganMs : resumedMs, embedded)
  const queries = localQueries(store, clock.nowMs, embedded ?? prometheus, clock.aheadMs)
  const listening = await serveTelemetry(store, queries, { ...options, clock })
  const ticker = embedded === null ? null : setInterval(() => embedded.tick(store.all(), clock), TICK_MS)
  return {
    queries,
    listening: {
      port: listening.port,
      close: () => {
        if (ticker !== null) clearInterval(ticker)
        listening.close()
        embedded?.close()
      },
    },
    metrics: () => [...storeMetrics(store), ...(embedded === null ? [] : historyMetrics(embedded))],
  }
}

function gauge(name: string, help: string, value: number): Metric {
  return { name: `telemetry_${name}`, help, type: "gauge", value }
}

function counter(name: string, help: string, value: number): Metric {
  return { name: `telemetry_${name}`, help, type: "counter", value }
}

function storeMetrics(store: TelemetryStore): Metric[] {
  const { losses } = store
  return [
    gauge("reporters", "Proxies kept.", store.reporterCount),
    gauge("peers", "Peers of proxies kept.", store.peerCount),
    gauge("access_records", "Access records of proxies kept.", store.accessCount),
    counter(
      "folded_access_records_total",
      "Access records counted as other as too many.",
      losses.foldedAccesses,
    ),
    counter("refused_reporters_total", "Proxies refused as too many.", losses.refusedReporters),
    counter("left_out_peers_total", "Peers left out as too many.", losses.leftOutPeers),
  ]
}

function historyMetrics(history: EmbeddedHistory): Metric[] {
  const { counts } = history
  return [
    gauge("history_healthy", "1 while the history's file can be written, else 0.", history.healthy ? 1 : 0),
    gauge("history_bytes", "Bytes of the history's file in use.", history.usedBytes()),
    gauge("history_write_seconds", "Time that the last write took.", counts.lastWriteMs / 1000),
    gauge("history_write_longest_seconds", "Longest time that a write took.", counts.longestWriteMs / 1000),
    counter("history_windows_total", "Windows written, one per proxy.", counts.windows),
    counter(
      "history_write_failures_total",
      "Writes that failed, tried again with the next.",
      counts.failures,
    ),
    counter(
      "history_lost_windows_total",
      "Windows given up since the file could not be written.",
      counts.lost,
    ),
    counter("history_left_out_total", "Records left out as too many.", counts.leftOut),
    counter("history_set_aside_total", "Files set aside as unreadable.", counts.setAside),
  ]
}
