// A connection of the proxy's own to a service of the cluster, made as one of the application's would be: to one of the
// endpoints, and in mutual TLS where that is meshed.
import type { Side } from "../accept/mod.ts"
import { NONE_TRIED } from "../balance/mod.ts"
import { CARRIES_HTTP1 } from "../identity/mod.ts"
import type { Conn, ConnHandler } from "../net/mod.ts"
import type { DestinationSource } from "./outbound.ts"

/**
 * Connects to speak HTTP/1. A dial that fails is told to the handler.
 *
 * @param address  an IP address as text, of a Service, a pod or anything else
 * @throws Error (rejects) when there is no endpoint
 */
export async function ownConnection(
  discovery: DestinationSource,
  outbound: Side,
  address: string,
  port: number,
  handler: ConnHandler,
): Promise<Conn> {
  const destination = discovery.lookup(address, port)
  await new Promise<void>(known => destination.whenKnown(known))
  const endpoint = destination.source.pick(NONE_TRIED, outbound.env.clock.nowMs)
  if (endpoint === null) throw new Error("there is no endpoint")
  return outbound.env.dial(endpoint, handler, CARRIES_HTTP1)
}
