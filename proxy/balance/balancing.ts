// What a Service says of how its endpoints are chosen, and where the proxy that chooses stands.
import { hashOf } from "./rendezvous.ts"

/** How endpoints are chosen beside their load. */
export interface BalancingConfig {
  /** Milliseconds over which an endpoint that joins comes to its full share; 0 at once. */
  readonly slowStartMs: number
  /** Endpoints of the proxy's own zone come first. */
  readonly preferZone: boolean
  /** The proxy stays with one endpoint. */
  readonly byClient: boolean
}

/** Where this proxy stands; one per process, told by the control plane in time. */
export class Standpoint {
  /** Zone of the pod's node; "" while it is not known. */
  zone = ""
  /** What tells this proxy from others where each is to choose otherwise, and always the same. */
  readonly key: number

  /** @param pod  its name */
  constructor(pod: string) {
    this.key = hashOf(pod)
  }
}
