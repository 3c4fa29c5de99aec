// The telemetry service on its port: conduit.telemetry.v1, reports from proxies and questions from the API.
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { telemetryQueryV1, telemetryV1 } from "../../protos/mod.ts"
import { type KeepaliveOptions, type Listening, listen } from "../serve/mod.ts"
import type { TelemetryStore } from "./store.ts"
import { MAX_WINDOW_MS, MIN_WINDOW_MS } from "./window_ring.ts"

/** Largest report that is taken: the first one of a proxy with all the series it may have. */
export const MAX_REPORT_BYTES = 8 * 1024 * 1024
/** How often proxies that went long ago are forgotten. */
export const SWEEP_MS = 60_000

/** Answers questions about traffic; the store in the same process, or the service over the network. */
export interface TelemetryQueries {
  /** Traffic within a window that ends now. */
  traffic(windowMs: number, direction: telemetryQueryV1.Direction): Promise<telemetryQueryV1.TrafficResponse>
  /** Who called what within a window that ends now. */
  access(windowMs: number): Promise<telemetryQueryV1.AccessResponse>
  /** Proxies that are known. */
  reporters(): Promise<telemetryQueryV1.ReportersResponse>
}

/** Answers from a store in the same process. */
export function localQueries(store: TelemetryStore, nowMs: () => number): TelemetryQueries {
  return {
    traffic: async (windowMs, direction) => store.traffic(windowMs, direction, nowMs()),
    access: async windowMs => store.access(windowMs, nowMs()),
    reporters: async () => store.known(),
  }
}

/** How the service is served. */
export interface TelemetryOptions {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: () => number
  /** Intervals of PINGs to proxies. */
  readonly keepalive?: KeepaliveOptions
}

/**
 * Serves the telemetry API over a store.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export async function serveTelemetry(store: TelemetryStore, options: TelemetryOptions): Promise<Listening> {
  const { host, port, nowMs, keepalive } = options
  const queries = localQueries(store, nowMs)
  const routes = (router: ConnectRouter): void => {
    router.service(telemetryV1.TelemetryService, {
      report: reports => takeReports(store, reports, nowMs),
    })
    router.service(telemetryQueryV1.QueryService, {
      traffic: ({ windowMs, direction }) => queries.traffic(checked(windowMs), direction),
      access: ({ windowMs }) => queries.access(checked(windowMs)),
      reporters: () => queries.reporters(),
    })
  }
  const onRequest = connectNodeAdapter({ routes, readMaxBytes: MAX_REPORT_BYTES, acceptCompression: [] })
  const listening = await listen({ host, port, onRequest, ...(keepalive === undefined ? {} : { keepalive }) })
  const sweeper = setInterval(() => store.sweep(nowMs()), SWEEP_MS)
  return {
    port: listening.port,
    close: () => {
      clearInterval(sweeper)
      listening.close()
    },
  }
}

function checked(windowMs: number): number {
  if (windowMs >= MIN_WINDOW_MS && windowMs <= MAX_WINDOW_MS) return windowMs
  const range = `${MIN_WINDOW_MS} to ${MAX_WINDOW_MS} milliseconds`
  throw new ConnectError(`a window has ${range}, not ${windowMs}`, Code.InvalidArgument)
}

async function takeReports(
  store: TelemetryStore,
  reports: AsyncIterable<telemetryV1.ReportRequest>,
  nowMs: () => number,
): Promise<Record<string, never>> {
  let stream: ReturnType<TelemetryStore["openStream"]> = null
  try {
    for await (const report of reports) {
      if (stream === null) {
        if (!report.reporter?.namespace || !report.reporter.pod) {
          const sentence = "the first message of a stream must name its reporter: namespace and pod"
          throw new ConnectError(sentence, Code.InvalidArgument)
        }
        stream = store.openStream(report.reporter)
        if (stream === null) throw new ConnectError("no room for another proxy", Code.ResourceExhausted)
      }
      stream.take(report, nowMs())
    }
  } finally {
    stream?.close()
  }
  return {}
}
