// Services that ask for faults by their annotations: who reads figures must know of them.
import type { ClusterStore, ServiceRecord } from "../cluster/mod.ts"
import { compareResources } from "../resources/mod.ts"

/** A Service that asks for faults, and which, as a clause. */
export interface InjectedFault {
  readonly service: ServiceRecord
  /** `10 % of requests are delayed by 500 ms`. */
  readonly message: string
}

/** Services of a namespace (empty: of all) that ask for faults, ordered. */
export function injectedFaults(store: ClusterStore, namespace: string): InjectedFault[] {
  return [...store.services(namespace)].sort(compareResources).flatMap(service => {
    const { fault } = service.traffic
    if (fault === null) return []
    const { delayMs, delayPercent, abortStatus, abortPercent } = fault
    const parts = [
      ...(delayPercent === 0 ? [] : [`${delayPercent} % of requests are delayed by ${delayMs} ms`]),
      ...(abortPercent === 0 ? [] : [`${abortPercent} % of requests are answered ${abortStatus}`]),
    ]
    return [{ service, message: `${parts.join(", ")}, since its annotations fault.conduit.io/* ask for it` }]
  })
}
