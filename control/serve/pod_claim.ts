// Whether a caller is the pod that it says it is: it must have proven the identity that the pod runs as.
import type { ClusterStore } from "../cluster/mod.ts"
import type { Peer } from "../tls/mod.ts"
import { GRPC_PERMISSION_DENIED, GRPC_UNAVAILABLE } from "./grpc_stream.ts"

/** Why a claim is refused: a gRPC status and a sentence. */
export interface ClaimRefusal {
  readonly status: number
  readonly message: string
}

/**
 * Checks a claim against a cluster that is known.
 *
 * @param peer  who the caller proved to be, null for nobody
 * @returns null when the caller is who it says
 */
export function refuseClaim(
  store: ClusterStore,
  peer: Peer | null,
  namespace: string,
  pod: string,
): ClaimRefusal | null {
  const record = store.pod(namespace, pod)
  const proven = peer !== null && peer.namespace === namespace
  if (proven && record?.serviceAccount === peer.serviceAccount) return null
  const name = `pod ${namespace}/${pod}`
  // A pod that has just begun may not be known yet: it comes again.
  return proven && record === undefined
    ? { status: GRPC_UNAVAILABLE, message: `${name} is not known yet; try again` }
    : { status: GRPC_PERMISSION_DENIED, message: `the caller did not prove an identity of ${name}` }
}
