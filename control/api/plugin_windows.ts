// The Telemetry hook: figures of who called whom, window by window, and what has changed in the mesh meanwhile.
import { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import type { WindowFeed } from "../plugins/mod.ts"
import type { TelemetryQueries } from "../telemetry/mod.ts"
import { edgesOf } from "../traffic/mod.ts"
import { type EventRing, eventKindWord } from "./events.ts"

/** Length of a window. */
export const PLUGIN_WINDOW_MS = 10_000

/** Tells a feed a window at a time, while anybody reads. */
export class PluginWindows {
  readonly #tell: () => Promise<void>
  readonly #timer: NodeJS.Timeout

  /** @param nowMs  milliseconds since 1970 */
  constructor(
    feed: WindowFeed,
    sources: {
      readonly store: ClusterStore
      readonly queries: TelemetryQueries
      readonly events: EventRing
      readonly nowMs: () => number
    },
  ) {
    const { store, queries, events, nowMs } = sources
    let toldMs = 0
    this.#tell = async () => {
      if (!feed.wanted) return
      const endMs = nowMs()
      const startMs = endMs - PLUGIN_WINDOW_MS
      const { traffic } = await queries.traffic(PLUGIN_WINDOW_MS, telemetryQueryV1.Direction.OUTBOUND)
      const seen = events.since({ namespace: "", windowMs: PLUGIN_WINDOW_MS * 2 }, endMs)
      const fresh = (seen.events ?? []).filter(({ timeMs = 0 }) => timeMs > toldMs)
      toldMs = endMs
      feed.publish({
        window: {
          startMs: BigInt(Math.round(startMs)),
          endMs: BigInt(Math.round(endMs)),
          edges: edgesOf(store, traffic, [], "", () => true).flatMap(({ from, to, secured, http }) => {
            if (http === undefined) return []
            const { responses = 0n, failures = 0n, latencyMs } = http
            const { p50 = 0, p95 = 0, p99 = 0 } = latencyMs ?? {}
            return [
              {
                ...{
                  client: refOf(from),
                  server: refOf(to),
                  success: responses - failures,
                  failure: failures,
                },
                ...{ p50Ms: p50, p95Ms: p95, p99Ms: p99, secured: secured === true },
              },
            ]
          }),
        },
        events: fresh.map(({ timeMs = 0, kind = 0, resource, what = "" }) => ({
          ...{ timeMs: BigInt(Math.round(timeMs)), kind: eventKindWord(kind), what },
          ...(resource === undefined ? {} : { resource: refOf(resource) }),
        })),
      })
    }
    this.#timer = setInterval(() => void this.tell().catch(() => feed.miss()), PLUGIN_WINDOW_MS)
  }

  /** Tells a window now. @throws ConnectError when telemetry cannot be asked */
  async tell(): Promise<void> {
    await this.#tell()
  }

  /** Tells no more. */
  stop(): void {
    clearInterval(this.#timer)
  }
}

function refOf({
  namespace = "",
  kind = "",
  name = "",
}: Partial<Record<"namespace" | "kind" | "name", string>>) {
  return { namespace, kind, name }
}
