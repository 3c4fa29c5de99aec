// Questions to the telemetry service in another process.
import { Code, ConnectError } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createTelemetryQueryClient, type TelemetryQueryClient } from "../../protos/mod.ts"
import { PING_INTERVAL_MS, PING_TIMEOUT_MS } from "../serve/mod.ts"
import type { MeshTransport } from "../tls/mod.ts"
import type { TelemetryQueries } from "./queries.ts"
import { seriesRequest, seriesRows } from "./series_messages.ts"

/** An answer takes milliseconds; one that takes this long will not come. */
export const QUERY_TIMEOUT_MS = 5_000

/**
 * Asks the telemetry service at `host:port`; connects when first asked, and again after a loss.
 *
 * @param transportTo  how to get there; default: plaintext, for a control plane without identity
 */
export function remoteQueries(
  address: string,
  transportTo: (address: string) => MeshTransport = plaintext,
): TelemetryQueries {
  const transport = transportTo(address)
  const explained = async <T>(ask: (client: TelemetryQueryClient) => Promise<T>): Promise<T> => {
    try {
      return await ask(createTelemetryQueryClient(transport()))
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
    traffic: (windowMs, direction, byAuthority = false) =>
      explained(client => client.traffic({ windowMs, direction, byAuthority })),
    routes: windowMs => explained(client => client.routes({ windowMs })),
    access: windowMs => explained(client => client.access({ windowMs })),
    reporters: () => explained(client => client.reporters({})),
    series: async question =>
      seriesRows(await explained(client => client.timeSeries(seriesRequest(question))), question.points),
  }
}

function plaintext(address: string): MeshTransport {
  const transport = createGrpcTransport({
    baseUrl: `http://${address}`,
    defaultTimeoutMs: QUERY_TIMEOUT_MS,
    pingIntervalMs: PING_INTERVAL_MS,
    pingTimeoutMs: PING_TIMEOUT_MS,
  })
  return () => transport
}
