// What an HTTP engine is given of its surroundings: clock, timers, a way to dial, the log, and whether we drain.
import type { Endpoint } from "../balance/mod.ts"
import type { Carries } from "../identity/mod.ts"
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
  /**
   * Connects to an endpoint, with the connect timeout of the direction, and in mutual TLS where the endpoint has an
   * identity and so have we.
   *
   * @param encrypted  what is to be sent is TLS of the application's own. Default: false
   */
  dial(endpoint: Endpoint, handler: ConnHandler, carries: Carries, encrypted?: boolean): Conn
  /** Told of every endpoint that could not be reached: what is known of endpoints may be old. */
  readonly onUnreached?: (() => void) | undefined
}
