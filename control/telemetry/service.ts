// The telemetry service on its port: conduit.telemetry.v1, reports from proxies and questions from the API.
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { telemetryQueryV1, telemetryV1 } from "../../protos/mod.ts"
import { type KeepaliveOptions, type Listening, listen, type TlsOptions } from "../serve/mod.ts"
import { type MeshNames, type Peer, peerOf } from "../tls/mod.ts"
import { HISTORY_SLOT_MS } from "./figure_history.ts"
import { EDGES_MS } from "./histogram_edges.ts"
import { apartOf, seriesMessage } from "./series_messages.ts"
import type { SteadyClock } from "./steady_clock.ts"
import type { TelemetryQueries } from "./queries.ts"
import type { TelemetryStore } from "./store.ts"
import { MAX_WINDOW_MS, MIN_WINDOW_MS } from "./window_ring.ts"

/** Largest report that is taken: the first one of a proxy with all the series it may have. */
export const MAX_REPORT_BYTES = 8 * 1024 * 1024
/** Points of a series at most: a day by the minute. */
export const MAX_SERIES_POINTS = 1440
/** How often proxies that went long ago are forgotten. */
export const SWEEP_MS = 60_000

/** How the service is served. */
export interface TelemetryOptions {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  /** Clock of the reports. */
  readonly clock: SteadyClock
  /** Intervals of PINGs to proxies. */
  readonly keepalive?: KeepaliveOptions
  /** TLS of the port; where it requires certificates, reports and questions need the right identity. */
  readonly tls?: TlsOptions
  /** Names of the mesh, for a control plane with identity. */
  readonly names?: MeshNames
}

const PEER = createContextKey<Peer | null>(null)

/**
 * Serves the telemetry API over a store.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export async function serveTelemetry(
  store: TelemetryStore,
  queries: TelemetryQueries,
  options: TelemetryOptions,
): Promise<Listening> {
  const { host, port, clock, keepalive, tls, names } = options
  const guarded = tls?.client === "required"
  /** Questions show all traffic of the mesh: they are for the control plane's own services. */
  const checkAsker = ({ values }: HandlerContext): void => {
    if (!guarded || values.get(PEER)?.namespace === names?.controlNamespace) return
    throw new ConnectError("only services of the control plane may ask this", Code.PermissionDenied)
  }
  const routes = (router: ConnectRouter): void => {
    router.service(telemetryV1.TelemetryService, {
      report: (reports, { values }) =>
        takeReports(store, reports, clock, guarded ? values.get(PEER) : undefined),
    })
    router.service(telemetryQueryV1.QueryService, {
      traffic: ({ windowMs, direction, byAuthority }, context) => {
        checkAsker(context)
        return queries.traffic(checked(windowMs), direction, byAuthority)
      },
      routes: ({ windowMs }, context) => {
        checkAsker(context)
        return queries.routes(checked(windowMs))
      },
      access: ({ windowMs }, context) => {
        checkAsker(context)
        return queries.access(checked(windowMs))
      },
      reporters: (_request, context) => {
        checkAsker(context)
        return queries.reporters()
      },
      timeSeries: async (request, context) => {
        checkAsker(context)
        const { fromMs, stepMs, points, direction, reporters, called } = request
        if (
          points < 1 ||
          points > MAX_SERIES_POINTS ||
          stepMs < HISTORY_SLOT_MS ||
          stepMs % HISTORY_SLOT_MS > 0
        ) {
          const sentence = `a series has 1 to ${MAX_SERIES_POINTS} points of a multiple of ${HISTORY_SLOT_MS} milliseconds, not ${points} of ${stepMs}`
          throw new ConnectError(sentence, Code.InvalidArgument)
        }
        const apart = apartOf(request.apart)
        const rows = await queries.series({ fromMs, stepMs, points, direction, apart, reporters, called })
        return { histogramEdgesMs: [...EDGES_MS], series: rows.map(seriesMessage) }
      },
    })
  }
  const onRequest = connectNodeAdapter({
    routes,
    readMaxBytes: MAX_REPORT_BYTES,
    acceptCompression: [],
    contextValues: request => {
      const session = "stream" in request ? request.stream.session : undefined
      return createContextValues().set(PEER, peerOf(session))
    },
  })
  const listening = await listen({
    host,
    port,
    onRequest,
    tls,
    ...(keepalive === undefined ? {} : { keepalive }),
  })
  const sweeper = setInterval(() => store.sweep(clock.nowMs()), SWEEP_MS)
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
  clock: SteadyClock,
  peer: Peer | null | undefined,
): Promise<Record<string, never>> {
  let stream: ReturnType<TelemetryStore["openStream"]> = null
  try {
    for await (const report of reports) {
      if (stream === null) {
        if (!report.reporter?.namespace || !report.reporter.pod) {
          const sentence = "the first message of a stream must name its reporter: namespace and pod"
          throw new ConnectError(sentence, Code.InvalidArgument)
        }
        if (peer !== undefined && peer?.namespace !== report.reporter.namespace) {
          const sentence = `a proxy of namespace "${report.reporter.namespace}" must prove an identity of it`
          throw new ConnectError(sentence, Code.PermissionDenied)
        }
        stream = store.openStream(report.reporter, clock.aheadMs())
        if (stream === null) throw new ConnectError("no room for another proxy", Code.ResourceExhausted)
      }
      stream.take(report, clock.nowMs())
    }
  } finally {
    stream?.close(clock.nowMs())
  }
  return {}
}
