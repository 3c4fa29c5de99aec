// Where an accepted connection goes, as discovery (outbound) or the pod itself (inbound) says.
import type { HttpTarget } from "../http/mod.ts"
import type { ConnectionLabels } from "../telemetry/mod.ts"
import type { Client } from "./client.ts"

/** The destination of a connection; its fields follow discovery and are read when needed. */
export interface Target {
  /** Hint, one of the `PROTOCOL_` constants of balance/. */
  readonly protocol: number
  /** For HTTP engines; `source` also serves raw connections. */
  readonly http: HttpTarget
  /** Labels of the accepted connection. */
  readonly connectionLabels: ConnectionLabels
  /** The same destination as one client reaches it: labels name the client that has proven itself. */
  of(client: Client): Target
}
