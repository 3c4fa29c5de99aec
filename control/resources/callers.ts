// Who stands behind an access: the workload at the client's address, or the service account whose identity it proved.
import type { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { spiffeId } from "../policy/mod.ts"
import type { ResourceName } from "./resources.ts"

/** A service account, as an identity names it. */
export interface Account {
  readonly namespace: string
  readonly name: string
  readonly trustDomain: string
}

const MARK = ".serviceaccount.identity."

/** The service account of a DNS identity; null for a name that is none (the contract, "Identity"). */
export function accountOf(dnsName: string): Account | null {
  const mark = dnsName.indexOf(MARK)
  const dot = dnsName.lastIndexOf(".", mark - 1)
  if (mark < 0 || dot <= 0) return null
  const behind = dnsName.slice(mark + MARK.length)
  const trustDomain = behind.slice(behind.indexOf(".") + 1)
  return { namespace: dnsName.slice(dot + 1, mark), name: dnsName.slice(0, dot), trustDomain }
}

/** The SPIFFE id of a DNS identity; empty for none. */
export function spiffeIdOf(dnsName: string): string {
  const account = accountOf(dnsName)
  return account === null ? "" : spiffeId(account.trustDomain, account.namespace, account.name)
}

/** A caller. */
export interface Caller {
  /** The workload; null where neither the address nor the identity names exactly one. */
  readonly workload: ResourceName | null
  /** The pod at its address; undefined when it is gone, or was never one. */
  readonly pod: PodRecord | undefined
}

/** Finds who called. An address that another pod has by now is not believed against a proven identity. */
export function callerOf(
  store: ClusterStore,
  { clientId, clientIp }: Pick<telemetryQueryV1.Access, "clientId" | "clientIp">,
): Caller {
  const account = accountOf(clientId)
  // Pods on their node's network share its address: without a port of theirs none is meant.
  const pod = store.podAt(clientIp, 0)
  const fits =
    account === null || (pod?.namespace === account.namespace && pod.serviceAccount === account.name)
  if (pod !== undefined && fits) return { workload: workloadOf(store, pod), pod }
  if (account === null) return { workload: null, pod: undefined }
  const workloads = new Map<string, ResourceName>()
  for (const one of store.pods(account.namespace)) {
    if (one.serviceAccount !== account.name) continue
    const workload = workloadOf(store, one)
    workloads.set(`${workload.kind}/${workload.name}`, workload)
  }
  const [only] = workloads.size === 1 ? workloads.values() : []
  return { workload: only ?? null, pod: undefined }
}

/** The workload of a pod; itself when nothing owns it. */
export function workloadOf(store: ClusterStore, pod: PodRecord): ResourceName {
  return { namespace: pod.namespace, ...store.workloadOf(pod) }
}

/** The workload whose proxy counted. */
export function calledSide(store: ClusterStore, access: telemetryQueryV1.Access): ResourceName | null {
  const { reporter } = access
  if (reporter === undefined) return null
  const pod = store.pod(reporter.namespace, reporter.pod)
  if (pod !== undefined) return workloadOf(store, pod)
  const { namespace } = reporter
  return reporter.workload === ""
    ? { namespace, kind: "pod", name: reporter.pod }
    : { namespace, kind: reporter.workloadKind, name: reporter.workload }
}

/** DNS identities of callers: proxies tell of the other end's alone, and each has but one, which mutual TLS proves. */
export class ClientNames {
  private readonly store: ClusterStore
  private readonly accounts = new Map<string, string>()

  constructor(store: ClusterStore) {
    this.store = store
  }

  /** Of who counted a row; empty without mutual TLS, and where it is not known. */
  of({ reporter, serverId, tls }: telemetryQueryV1.Traffic): string {
    const at = serverId.indexOf(MARK)
    if (reporter === undefined || tls !== "true" || at < 0) return ""
    const account = this.accountOf(reporter)
    return account === "" ? "" : `${account}.${reporter.namespace}${serverId.slice(at)}`
  }

  private accountOf({ namespace, pod, workloadKind, workload }: telemetryQueryV1.PodRef): string {
    const own = this.store.pod(namespace, pod)?.serviceAccount
    const key = `${namespace}/${workloadKind}/${workload}`
    if (own !== undefined) this.accounts.set(key, own)
    const known = own ?? this.accounts.get(key)
    if (known !== undefined) return known
    // A pod that has gone went by the account of those that took its place.
    let account = ""
    for (const other of this.store.pods(namespace)) {
      const { kind, name } = this.store.workloadOf(other)
      if (kind === workloadKind && name === workload) account = other.serviceAccount
    }
    this.accounts.set(key, account)
    return account
  }
}
