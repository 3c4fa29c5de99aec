// Taps of the tap service in another process.
import { Code, ConnectError } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createRelayClient } from "../../protos/mod.ts"
import type { Relay } from "../api/mod.ts"
import { PING_INTERVAL_MS, PING_TIMEOUT_MS } from "../serve/mod.ts"
import type { MeshTransport } from "../tls/mod.ts"

/**
 * Asks the tap service at `host:port`; connects when first asked, and again after a loss.
 *
 * @param transportTo  how to get there; default: plaintext, for a control plane without identity
 */
export function remoteRelay(
  address: string,
  transportTo: (address: string) => MeshTransport = plaintext,
): Relay {
  const transport = transportTo(address)
  return async function* relay(request, asker, signal) {
    try {
      for await (const { response } of createRelayClient(transport()).relay({ request, asker }, { signal }))
        if (response !== undefined) yield response
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error)
      if (code !== Code.Unavailable && code !== Code.Unknown) throw error
      throw new ConnectError(
        `the tap service at ${address} does not answer: ${rawMessage}`,
        Code.Unavailable,
        undefined,
        undefined,
        error,
      )
    }
  }
}

function plaintext(address: string): MeshTransport {
  const transport = createGrpcTransport({
    baseUrl: `http://${address}`,
    pingIntervalMs: PING_INTERVAL_MS,
    pingTimeoutMs: PING_TIMEOUT_MS,
  })
  return () => transport
}
