// What a Service says of how its endpoints are chosen, and where the proxy that chooses stands.
import type { BalancingConfig } from "../../protos/routes/mod.ts"
import { hashOf } from "./rendezvous.ts"

export type { BalancingConfig }

/** Where this proxy stands; one per process, told by the control plane in time. */
export class Standpoint {
  /** Zone of the pod's node; "" while it is not known. */
  zone = ""
  /** Name of the pod's node; "" where it was not told. */
  readonly node: string
  /** What tells this proxy from others where each is to choose otherwise, and always the same. */
  readonly key: number

  /** @param pod  its name */
  constructor(pod: string, node = "") {
    this.node = node
    this.key = hashOf(pod)
  }
}
