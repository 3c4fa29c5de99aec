// The side that faces the application's calls: what stands behind the address, then the shared accept path.
import { type ConnectionTracker, EndpointLabels, type HttpEngines, Side } from "../accept/mod.ts"
import type { Destination } from "../discovery/mod.ts"
import type { HttpEnv } from "../http/mod.ts"
import { type Conn, dial, originalDestination, type SocketAddress } from "../net/mod.ts"
import type { PortRange } from "../port_ranges.ts"
import { OUTBOUND, type Telemetry } from "../telemetry/mod.ts"
import { DestinationTarget } from "./destination_target.ts"

/** Where destinations come from; `Discovery` of discovery/. */
export interface DestinationSource {
  /** What stands behind an address; the same object every time, updated in place. */
  lookup(address: string, port: number): Destination
}

/** Parts of the outbound side. */
export interface OutboundOptions {
  readonly listenAddresses: readonly string[]
  readonly port: number
  /** Ports of the proxy's own listeners. */
  readonly ownPorts: readonly number[]
  /** Addresses of the pod. */
  readonly podIps: readonly string[]
  readonly discovery: DestinationSource
  readonly engines: HttpEngines
  /** Clock, timers and log; `dial` is made here. */
  readonly env: Omit<HttpEnv, "dial" | "draining">
  readonly telemetry: Telemetry
  readonly tracker: ConnectionTracker
  readonly opaquePorts: readonly PortRange[]
  readonly accessLog: boolean
  readonly random: () => number
  /** For tests without a redirect. */
  readonly originalDestination?: (conn: Conn) => SocketAddress | null
}

/** Makes the outbound side; call `listen` on it. */
export function createOutbound(options: OutboundOptions): Side {
  const { tracker, discovery } = options
  const labels = new EndpointLabels(OUTBOUND)
  const targets = new WeakMap<Destination, DestinationTarget>()
  const targetOf = (destination: Destination): DestinationTarget => {
    let target = targets.get(destination)
    if (target === undefined) {
      target = new DestinationTarget(destination)
      targets.set(destination, target)
    }
    return target
  }
  const env: HttpEnv = {
    clock: options.env.clock,
    timers: options.env.timers,
    log: options.env.log,
    draining: false,
    dial(endpoint, handler) {
      const conn = dial(endpoint.address, endpoint.port, handler)
      tracker.dialled(conn, () => labels.of(endpoint))
      return conn
    },
  }
  return new Side({
    ...options,
    direction: OUTBOUND,
    env,
    originalDestination: options.originalDestination ?? redirectedFrom,
    isOwn: destination =>
      options.ownPorts.includes(destination.port) &&
      (isLoopback(destination.address) || options.podIps.includes(destination.address)),
    resolve({ address, port }, ready) {
      const destination = discovery.lookup(address, port)
      // Discovery gives up by itself after a bounded wait; then the address itself is the endpoint.
      destination.whenKnown(() => ready(targetOf(destination)))
    },
  })
}

/** The destination before the redirect of an accepted connection. */
export function redirectedFrom(conn: Conn): SocketAddress | null {
  return originalDestination(conn.fd, conn.remoteAddress.includes(":"))
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1"
}
