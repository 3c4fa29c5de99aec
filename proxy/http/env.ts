// What an HTTP engine is given of its surroundings: clock, timers, a way to dial, the log, and whether we drain.
import type { Endpoint } from "../balance/mod.ts"
import type { Logger } from "../log.ts"
import type { Clock, Conn, ConnHandler, TimerWheel } from "../net/mod.ts"

/** Surroundings of the engines; one per direction, shared by all its connections. */
export interface HttpEnv {
  /** Fresh within a callback. */
  readonly clock: Clock
  readonly timers: TimerWheel
  readonly log: Logger
  /** The proxy is shutting down: answer with `Connection: close`, begin no new streams (inbound only). */
  draining: boolean
  /** Connects to an endpoint, with the connect timeout of the direction (and later mutual TLS). */
  dial(endpoint: Endpoint, handler: ConnHandler): Conn
}
