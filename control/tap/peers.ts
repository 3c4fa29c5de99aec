// What stands behind the addresses of a request, as the cluster knows it now.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { TapPeerSchema } from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { type MeshNames, workloadDnsName } from "../tls/mod.ts"

/** Addresses whose pods are remembered; then all are asked for anew. */
export const MAX_KNOWN_ADDRESSES = 10_000

/** How long what stands behind an address is believed, milliseconds. */
export const ADDRESS_TTL_MS = 2_000

type Peer = MessageInitShape<typeof TapPeerSchema>

/** Names peers. */
export class Peers {
  private readonly store: ClusterStore
  private readonly names: MeshNames | undefined
  private readonly nowMs: () => number
  private readonly known = new Map<string, Peer>()
  private sinceMs = Number.NEGATIVE_INFINITY

  constructor(store: ClusterStore, names: MeshNames | undefined, nowMs: () => number) {
    this.store = store
    this.names = names
    this.nowMs = nowMs
  }

  /** The peer at an address with its port. @param identity  what it proved; empty for nothing */
  at(address: string, identity: string): Peer {
    const { host, port } = split(address)
    if (this.nowMs() - this.sinceMs > ADDRESS_TTL_MS || this.known.size >= MAX_KNOWN_ADDRESSES) {
      this.known.clear()
      this.sinceMs = this.nowMs()
    }
    let peer = this.known.get(host)
    if (peer === undefined) {
      const pod = this.store.podAt(host, port)
      peer = pod === undefined ? {} : this.named(pod)
      this.known.set(host, peer)
    }
    return { ...peer, address, identity }
  }

  /** The pod whose proxy tells. @param proves  whether it proved itself to the other side */
  self(pod: PodRecord, address: string, proves: boolean): Peer {
    const identity = proves && this.names !== undefined ? workloadDnsName(pod, this.names) : ""
    return { ...this.named(pod), address, identity }
  }

  private named(pod: PodRecord): Peer {
    const { kind, name } = this.store.workloadOf(pod)
    return { namespace: pod.namespace, pod: pod.name, kind: kind.toLowerCase(), name }
  }
}

function split(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(":")
  const host = address.slice(0, colon)
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port: Number(address.slice(colon + 1)) }
}
