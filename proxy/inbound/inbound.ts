// The side that faces calls to the application: every connection goes on to the address and port it came for.
import { createSide, type DirectionOptions, type GuardConnection, type Side } from "../accept/mod.ts"
import { INBOUND_CONNECT_TIMEOUT_MS } from "../net/mod.ts"
import { INBOUND } from "../telemetry/mod.ts"
import { LocalTarget, type PortSettings } from "./local_target.ts"

/** Addresses and ports of the pod that are remembered; a scan of all ports must not fill the memory. */
export const LOCAL_TARGETS_MAX = 1024

/** Where settings of the pod's own ports come from; `Discovery` of discovery/. */
export interface PortSettingsSource {
  /** The same object every time, updated in place; defaults until an answer came. */
  inboundPort(port: number): PortSettings
}

/** Who may call the pod; `InboundPolicy` of policy/. */
export interface Admittance {
  readonly guard: GuardConnection
  /** Calls back once it is known who may; at once where it is, within seconds at the latest. */
  whenKnown(callback: () => void): void
}

/** Parts of the inbound side. */
export interface InboundOptions extends DirectionOptions {
  readonly discovery: PortSettingsSource
  readonly policy: Admittance
}

/** Makes the inbound side; call `listen` on it. */
export function createInbound(options: InboundOptions): Side {
  const { discovery, policy } = options
  const targets = new Map<string, LocalTarget>()
  const unproven = (options.mesh ?? null) === null ? "disabled" : "no_identity"
  return createSide(options, {
    direction: INBOUND,
    connectTimeoutMs: INBOUND_CONNECT_TIMEOUT_MS,
    guard: policy.guard,
    isOwn: destination => options.ownPorts.includes(destination.port),
    resolve(destination, ready) {
      const key = `${destination.address}|${destination.port}`
      let target = targets.get(key)
      if (target === undefined) {
        target = new LocalTarget(destination, discovery.inboundPort(destination.port), unproven)
        targets.set(key, target)
        if (targets.size > LOCAL_TARGETS_MAX) {
          // Not empty, so there is a first one: the one made longest ago.
          const [oldKey, old] = targets.entries().next().value as [string, LocalTarget]
          targets.delete(oldKey)
          old.endpoint.remove()
        }
      }
      const found = target
      policy.whenKnown(() => ready(found))
    },
  })
}
