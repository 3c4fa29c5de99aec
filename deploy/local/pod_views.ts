// How the pods that run look to others: to Services as backends, to the control plane as what an API server shows.
import type { BackendPod } from "./net/service_view.ts"
import { KINDS, type KubeObject, objectKey } from "./objects/kube_object.ts"
import type { Pod } from "./pod/pod.ts"
import { replicaSet, templateHash } from "./workloads/controllers.ts"

/** A pod and what made it. */
export interface OwnedPod {
  readonly pod: Pod
  /** Key of the workload, or of the Pod object when it is bare. */
  readonly ownerKey: string
  /** Hash of the template that it was made from. */
  readonly hash: string
}

/** A pod as the packet rules and the name server see it. @param v6  whether it has an IPv6 address */
export function backendOf(pod: Pod, v6: boolean): BackendPod {
  const containers = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])]
  return {
    namespace: pod.namespace,
    name: pod.name,
    labels: pod.object.metadata.labels ?? {},
    ips: v6 ? [pod.address.v4, pod.address.v6] : [pod.address.v4],
    ready: pod.ready,
    present: !pod.terminating && !pod.finished,
    hostname: pod.spec.hostname,
    subdomain: pod.spec.subdomain,
    portNamed: name => {
      for (const container of containers) {
        const port = container.ports?.find(candidate => candidate.name === name)
        if (port !== undefined) return port.containerPort
      }
      return null
    },
  }
}

/**
 * All objects as an API server would show them to the control plane: workloads with their counts, a Deployment's
 * ReplicaSets, pods. No Secret: nothing there reads one, and a key must not lie in a file that others can read.
 */
export function* shownObjects(
  objects: Iterable<KubeObject>,
  owned: readonly OwnedPod[],
): Generator<KubeObject> {
  for (const object of objects) {
    if (object.kind === "Pod" || object.kind === "Secret") continue
    if (KINDS[object.kind] !== "workload") {
      yield object
      continue
    }
    const mine = owned.filter(({ ownerKey }) => ownerKey === objectKey(object))
    yield { ...object, status: countsOf(mine) }
    if (object.kind !== "Deployment") continue
    const hashes = new Set([templateHash(object), ...mine.map(({ hash }) => hash)])
    for (const hash of hashes) {
      const pods = mine.filter(owner => owner.hash === hash)
      yield replicaSet(object, hash, countsOf(pods))
    }
  }
  for (const { pod } of owned) yield pod.object
}

function countsOf(list: readonly OwnedPod[]): { replicas: number; readyReplicas: number } {
  return {
    replicas: list.filter(({ pod }) => !pod.terminating).length,
    readyReplicas: list.filter(({ pod }) => pod.ready).length,
  }
}
