// Whose pods run as which service account: what a policy's `deployments` come to, per namespace, kept until a pod of
// that namespace changes.
import { type ClusterStore, ipToBytes } from "../cluster/mod.ts"

/** Pods of a Deployment as clients. */
export interface ClientWorkload {
  /** Service accounts that its pods run as, sorted. */
  readonly accounts: readonly string[]
  /** Addresses of its pods, 4 or 16 bytes each, sorted by their text. */
  readonly addresses: readonly Uint8Array[]
  /** No pod of another workload runs as one of its accounts. */
  readonly exclusive: boolean
}

const NOBODY: ClientWorkload = { accounts: [], addresses: [], exclusive: true }

/** Answers from the store, with a memory that `forget` clears. */
export class ClientPods {
  private readonly store: ClusterStore
  private readonly byNamespace = new Map<string, ReadonlyMap<string, ClientWorkload>>()

  constructor(store: ClusterStore) {
    this.store = store
  }

  /** Something about a pod of that namespace is different now. */
  forget(namespace: string): void {
    this.byNamespace.delete(namespace)
  }

  /** Pods of a Deployment. */
  deployment(namespace: string, name: string): ClientWorkload {
    let workloads = this.byNamespace.get(namespace)
    if (workloads === undefined) {
      workloads = this.read(namespace)
      this.byNamespace.set(namespace, workloads)
    }
    return workloads.get(name) ?? NOBODY
  }

  private read(namespace: string): Map<string, ClientWorkload> {
    /** Workloads, as `kind/name`, by service account. */
    const users = new Map<string, Set<string>>()
    const pods = new Map<string, { accounts: Set<string>; ips: Set<string> }>()
    for (const pod of this.store.pods(namespace)) {
      if (pod.finished) continue
      const { kind, name } = this.store.workloadOf(pod)
      const key = `${kind}/${name}`
      const known = users.get(pod.serviceAccount) ?? new Set()
      users.set(pod.serviceAccount, known.add(key))
      if (kind !== "deployment") continue
      const own = pods.get(name) ?? { accounts: new Set(), ips: new Set() }
      pods.set(name, own)
      own.accounts.add(pod.serviceAccount)
      for (const ip of pod.ips) own.ips.add(ip)
    }
    const workloads = new Map<string, ClientWorkload>()
    for (const [name, { accounts, ips }] of pods) {
      const exclusive = [...accounts].every(account => users.get(account)?.size === 1)
      // Of a workload that is alone its addresses make no difference: they would only make states differ.
      const addresses = exclusive ? [] : [...ips].sort().flatMap(ip => ipToBytes(ip) ?? [])
      workloads.set(name, { accounts: [...accounts].sort(), addresses, exclusive })
    }
    return workloads
  }
}
