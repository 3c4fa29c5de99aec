// What the two directions of the proxy are made of alike; outbound/ and inbound/ add where a connection goes.
import type { HttpEnv } from "../http/mod.ts"
import { type Conn, dial, originalDestination, type SocketAddress } from "../net/mod.ts"
import type { PortRange } from "../port_ranges.ts"
import type { Direction, Telemetry } from "../telemetry/mod.ts"
import type { ConnectionTracker } from "./connection_tracker.ts"
import { EndpointLabels } from "./endpoint_labels.ts"
import type { GuardConnection } from "./guard.ts"
import { type HttpEngines, type ResolveTarget, Side } from "./side.ts"

/** Parts that both directions take from the process. */
export interface DirectionOptions {
  readonly listenAddresses: readonly string[]
  readonly port: number
  /** Ports of the proxy's own listeners. */
  readonly ownPorts: readonly number[]
  readonly engines: HttpEngines
  /** Clock, timers and log; `dial` is made here. */
  readonly env: Omit<HttpEnv, "dial" | "draining">
  readonly telemetry: Telemetry
  readonly tracker: ConnectionTracker
  readonly opaquePorts: readonly PortRange[]
  readonly accessLog: boolean
  /** Uniform, 0 to 1. */
  readonly random: () => number
  /** For tests without a redirect. */
  readonly originalDestination?: (conn: Conn) => SocketAddress | null
}

/** What makes a direction what it is. */
export interface DirectionRules {
  readonly direction: Direction
  readonly connectTimeoutMs: number
  /** Whether a destination is one of the proxy's own listeners. */
  readonly isOwn: (destination: SocketAddress) => boolean
  readonly resolve: ResolveTarget
  /** Decides who may pass; absent: everybody. */
  readonly guard?: GuardConnection
}

/** Makes a direction; call `listen` on it. */
export function createSide(options: DirectionOptions, rules: DirectionRules): Side {
  const { tracker } = options
  const { connectTimeoutMs } = rules
  const labels = new EndpointLabels(rules.direction)
  const env: HttpEnv = {
    clock: options.env.clock,
    timers: options.env.timers,
    log: options.env.log,
    draining: false,
    dial(endpoint, handler) {
      const conn = dial(endpoint.address, endpoint.port, handler, { connectTimeoutMs })
      tracker.dialled(conn, () => labels.of(endpoint))
      return conn
    },
  }
  return new Side({
    ...options,
    direction: rules.direction,
    env,
    originalDestination: options.originalDestination ?? redirectedFrom,
    isOwn: rules.isOwn,
    resolve: rules.resolve,
    guard: rules.guard ?? null,
  })
}

/** The destination before the redirect of an accepted connection. */
function redirectedFrom(conn: Conn): SocketAddress | null {
  return originalDestination(conn.fd, conn.remoteAddress.includes(":"))
}
