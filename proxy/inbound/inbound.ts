// The side that faces calls to the application: every connection goes on to the address and port it came for.
import { type ConnectionTracker, EndpointLabels, type HttpEngines, Side } from "../accept/mod.ts"
import type { HttpEnv } from "../http/mod.ts"
import {
  type Conn,
  dial,
  INBOUND_CONNECT_TIMEOUT_MS,
  originalDestination,
  type SocketAddress,
} from "../net/mod.ts"
import type { PortRange } from "../port_ranges.ts"
import { INBOUND, type Telemetry } from "../telemetry/mod.ts"
import { LocalTarget, type PortSettings } from "./local_target.ts"

/** Addresses and ports of the pod that are remembered; a scan of all ports must not fill the memory. */
export const LOCAL_TARGETS_MAX = 1024

/** Where settings of the pod's own ports come from; `Discovery` of discovery/. */
export interface PortSettingsSource {
  /** The same object every time, updated in place; defaults until an answer came. */
  inboundPort(port: number): PortSettings
}

/** Parts of the inbound side. */
export interface InboundOptions {
  readonly listenAddresses: readonly string[]
  readonly port: number
  /** Ports of the proxy's own listeners. */
  readonly ownPorts: readonly number[]
  readonly discovery: PortSettingsSource
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

/** Makes the inbound side; call `listen` on it. */
export function createInbound(options: InboundOptions): Side {
  const { tracker, discovery } = options
  const labels = new EndpointLabels(INBOUND)
  const targets = new Map<string, LocalTarget>()
  const env: HttpEnv = {
    clock: options.env.clock,
    timers: options.env.timers,
    log: options.env.log,
    draining: false,
    dial(endpoint, handler) {
      const conn = dial(endpoint.address, endpoint.port, handler, {
        connectTimeoutMs: INBOUND_CONNECT_TIMEOUT_MS,
      })
      tracker.dialled(conn, () => labels.of(endpoint))
      return conn
    },
  }
  return new Side({
    ...options,
    direction: INBOUND,
    env,
    originalDestination:
      options.originalDestination ?? (conn => originalDestination(conn.fd, conn.remoteAddress.includes(":"))),
    isOwn: destination => options.ownPorts.includes(destination.port),
    resolve(destination, ready) {
      const key = `${destination.address}|${destination.port}`
      let target = targets.get(key)
      if (target === undefined) {
        target = new LocalTarget(destination, discovery.inboundPort(destination.port))
        targets.set(key, target)
        if (targets.size > LOCAL_TARGETS_MAX) {
          // Not empty, so there is a first one: the one made longest ago.
          const [oldKey, old] = targets.entries().next().value as [string, LocalTarget]
          targets.delete(oldKey)
          old.endpoint.remove()
        }
      }
      ready(target)
    },
  })
}
