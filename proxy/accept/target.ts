// Where an accepted connection goes, as discovery (outbound) or the pod itself (inbound) says.
import type { EndpointSource } from "../balance/mod.ts"
import type { HttpTarget } from "../http/mod.ts"
import type { ConnectionLabels } from "../telemetry/mod.ts"
import type { Client } from "./client.ts"

/** The destination of a connection; its fields follow discovery and are read when needed. */
export interface Target {
  /** Hint, one of the `PROTOCOL_` constants of balance/. */
  readonly protocol: number
  /**
   * For HTTP engines, of one connection.
   *
   * @param random  uniform, 0 to 1: a TCPRoute spreads connections whatever they carry
   */
  http(random: number): HttpTarget
  /**
   * Endpoints for one raw connection.
   *
   * @param random  uniform, 0 to 1: connections are spread over the backends of a TCPRoute or TLSRoute
   * @param serverName  that the client's own TLS asks for; "" for none
   */
  raw(random: number, serverName: string): EndpointSource
  /** Labels of the accepted connection. */
  readonly connectionLabels: ConnectionLabels
  /** The same destination as one client reaches it: labels name the client that has proven itself. */
  of(client: Client): Target
}
