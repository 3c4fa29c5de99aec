// What the two directions of the proxy are made of alike; outbound/ and inbound/ add where a connection goes.
import type { Endpoint } from "../balance/mod.ts"
import type { AccessLog, HttpEnv, Tracer } from "../http/mod.ts"
import type { MeshTls } from "../identity/mod.ts"
import { type Conn, dial, dialThrough, originalDestination, type SocketAddress } from "../net/mod.ts"
import type { PortRange } from "../port_ranges.ts"
import { type Direction, OUTBOUND, type Telemetry, type TlsLabel } from "../telemetry/mod.ts"
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
  /** Clock, timers, log, and who is told of endpoints that could not be reached; `dial` is made here. */
  readonly env: Omit<HttpEnv, "dial" | "draining">
  readonly telemetry: Telemetry
  readonly tracker: ConnectionTracker
  readonly opaquePorts: readonly PortRange[]
  readonly accessLog: AccessLog | null
  readonly tracer: Tracer | null
  /** Mutual TLS of the mesh. Default: none, as without an identity. */
  readonly mesh?: MeshTls | null
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
  const mesh = options.mesh ?? null
  const env: HttpEnv = {
    clock: options.env.clock,
    timers: options.env.timers,
    log: options.env.log,
    onUnreached: options.env.onUnreached,
    draining: false,
    dial(endpoint, handler, carries, encrypted = false) {
      const { address, port } = endpoint
      const conn =
        mesh === null || rules.direction !== OUTBOUND
          ? dial(address, port, handler, { connectTimeoutMs })
          : dialThrough(address, port, handler, mesh.gate(endpoint, carries, connectTimeoutMs, encrypted))
      tracker.dialled(conn, () =>
        labels.of(endpoint, conn.peer === null ? tlsOfPlaintext(endpoint, mesh !== null) : "true"),
      )
      return conn
    },
  }
  return new Side({
    ...options,
    tlsTo: (endpoint, { peer }) => (peer === null ? tlsOfPlaintext(endpoint, mesh !== null) : "true"),
    mesh: rules.direction === OUTBOUND ? null : mesh,
    direction: rules.direction,
    env,
    originalDestination: options.originalDestination ?? redirectedFrom,
    isOwn: rules.isOwn,
    resolve: rules.resolve,
    guard: rules.guard ?? null,
  })
}

/** Label of a connection without TLS of the mesh: whose lack of an identity it is. */
function tlsOfPlaintext({ info }: Endpoint, haveIdentity: boolean): TlsLabel {
  if (info.itself) return "loopback"
  const peerCould = haveIdentity ? info.identity !== "" : info.meshed
  return peerCould ? "disabled" : "no_identity"
}

/** The destination before the redirect of an accepted connection. */
function redirectedFrom(conn: Conn): SocketAddress | null {
  return originalDestination(conn.fd, conn.remoteAddress.includes(":"))
}
