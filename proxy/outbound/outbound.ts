// The side that faces the application's calls: what stands behind the address, then the shared accept path.
import { createSide, type DirectionOptions, type GuardConnection, type Side } from "../accept/mod.ts"
import type { Destination } from "../discovery/mod.ts"
import { OUTBOUND_CONNECT_TIMEOUT_MS } from "../net/mod.ts"
import { OUTBOUND } from "../telemetry/mod.ts"
import { DestinationTarget } from "./destination_target.ts"

/** Where destinations come from; `Discovery` of discovery/. */
export interface DestinationSource {
  /** What stands behind an address; the same object every time, updated in place. */
  lookup(address: string, port: number): Destination
}

/** Parts of the outbound side. */
export interface OutboundOptions extends DirectionOptions {
  /** Addresses of the pod. */
  readonly podIps: readonly string[]
  readonly discovery: DestinationSource
  /** Guards connections to what is outside of the cluster. Default: nobody does. */
  readonly egress?: Egress
}

/** What may be called outside; `OutboundPolicy` of policy/. */
export interface Egress {
  /** Guards a connection to an address outside. */
  guard: GuardConnection
  /** Calls back once it is known what may be called; at once where it is, within seconds at the latest. */
  whenKnown(callback: () => void): void
}

/** Makes the outbound side; call `listen` on it. */
export function createOutbound(options: OutboundOptions): Side {
  const { discovery, egress } = options
  const targets = new WeakMap<Destination, DestinationTarget>()
  const targetOf = (destination: Destination): DestinationTarget => {
    let target = targets.get(destination)
    if (target === undefined) {
      target = new DestinationTarget(destination)
      targets.set(destination, target)
    }
    return target
  }
  return createSide(options, {
    direction: OUTBOUND,
    connectTimeoutMs: OUTBOUND_CONNECT_TIMEOUT_MS,
    ...(egress === undefined
      ? {}
      : {
          guard: (client, address, port) =>
            discovery.lookup(address, port).kind === "external" ? egress.guard(client, address, port) : null,
        }),
    isOwn: destination =>
      options.ownPorts.includes(destination.port) &&
      (isLoopback(destination.address) || options.podIps.includes(destination.address)),
    resolve({ address, port }, ready) {
      const destination = discovery.lookup(address, port)
      // Discovery gives up by itself after a bounded wait; then the address itself is the endpoint.
      destination.whenKnown(() => {
        const target = targetOf(destination)
        if (egress === undefined || destination.kind !== "external") ready(target)
        else egress.whenKnown(() => ready(target))
      })
    },
  })
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1"
}
