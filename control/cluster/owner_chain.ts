// Who owns a pod: from its controller up to the workload that people deployed.
import type { OwnerRef, PodRecord, WorkloadRecord } from "./model.ts"

/** Longest chain of owners that is followed (pod, ReplicaSet, Deployment, and one to spare); stops loops. */
export const MAX_OWNER_DEPTH = 4

/**
 * Owners of a pod from the nearest to the topmost; none for a bare pod.
 *
 * @param lookUp the workload of that kind and name in the pod's namespace, if it is known
 */
export function ownerChain(
  pod: PodRecord,
  lookUp: (owner: OwnerRef) => WorkloadRecord | undefined,
): OwnerRef[] {
  const chain: OwnerRef[] = []
  let next = pod.owner
  while (next !== null && chain.length < MAX_OWNER_DEPTH) {
    chain.push(next)
    const owner = lookUp(next)
    next = owner === undefined ? guessOwner(next, pod) : owner.owner
  }
  return chain
}

/** A Deployment's ReplicaSet bears its name and the pods' `pod-template-hash`, known or not yet. */
function guessOwner(owner: OwnerRef, pod: PodRecord): OwnerRef | null {
  const suffix = `-${pod.labels.get("pod-template-hash") ?? ""}`
  if (owner.kind !== "replicaset" || suffix === "-" || !owner.name.endsWith(suffix)) return null
  return { kind: "deployment", name: owner.name.slice(0, -suffix.length) }
}
