// Questions to the telemetry service in another process.
import { Code, ConnectError } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createTelemetryQueryClient } from "../../protos/mod.ts"
import { PING_INTERVAL_MS, PING_TIMEOUT_MS } from "../serve/mod.ts"
import type { TelemetryQueries } from "./service.ts"

/** An answer takes milliseconds; one that takes this long will not come. */
export const QUERY_TIMEOUT_MS = 5_000

/** Asks the telemetry service at `host:port`; connects when first asked, and again after a loss. */
export function remoteQueries(address: string): TelemetryQueries {
  const client = createTelemetryQueryClient(
    createGrpcTransport({
      baseUrl: `http://${address}`,
      defaultTimeoutMs: QUERY_TIMEOUT_MS,
      pingIntervalMs: PING_INTERVAL_MS,
      pingTimeoutMs: PING_TIMEOUT_MS,
    }),
  )
  const explained = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await answer
    } catch (error) {
      const reason = error instanceof ConnectError ? error.rawMessage : String(error)
      throw new ConnectError(
        `telemetry at ${address} does not answer: ${reason}`,
        Code.Unavailable,
        undefined,
        undefined,
        error,
      )
    }
  }
  return {
    traffic: (windowMs, direction) => explained(client.traffic({ windowMs, direction })),
    access: windowMs => explained(client.access({ windowMs })),
    reporters: () => explained(client.reporters({})),
  }
}
