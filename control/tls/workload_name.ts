// Names of a workload in certificates: SPIFFE id (SPIFFE-ID section 2) and DNS name, each made from the other.

/** Names that depend on the installation. */
export interface MeshNames {
  /** Trust domain, such as `cluster.local`. */
  readonly trustDomain: string
  /** Namespace of the control plane. */
  readonly controlNamespace: string
}

/** Who a workload is. */
export interface Workload {
  readonly namespace: string
  readonly serviceAccount: string
}

/** RFC 1123 label, at most 63 characters: what a namespace is. */
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
/** RFC 1123 subdomain: what a service account's name is. */
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
/** Longest DNS name (RFC 1035 section 2.3.4). */
const MAX_DNS_NAME_LENGTH = 253

/** Whether both names are what Kubernetes lets a namespace and a service account be called. */
export function isWorkload({ namespace, serviceAccount }: Workload): boolean {
  return (
    LABEL.test(namespace) && serviceAccount.length <= MAX_DNS_NAME_LENGTH && SUBDOMAIN.test(serviceAccount)
  )
}

/** Whether text can be a trust domain: a DNS name. */
export function isTrustDomain(text: string): boolean {
  return text.length <= MAX_DNS_NAME_LENGTH && SUBDOMAIN.test(text)
}

/** `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>`. */
export function spiffeId({ namespace, serviceAccount }: Workload, { trustDomain }: MeshNames): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`
}

/** `<service-account>.<namespace>.serviceaccount.identity.<control-namespace>.<trust-domain>`. */
export function workloadDnsName(workload: Workload, names: MeshNames): string {
  const { namespace, serviceAccount } = workload
  return `${serviceAccount}.${namespace}.serviceaccount.identity.${names.controlNamespace}.${names.trustDomain}`
}

/** The workload of a SPIFFE id of this mesh; null for anything else. */
export function workloadOfSpiffeId(id: string, { trustDomain }: MeshNames): Workload | null {
  const begin = `spiffe://${trustDomain}/ns/`
  if (!id.startsWith(begin)) return null
  const [namespace = "", sa, serviceAccount = "", ...rest] = id.slice(begin.length).split("/")
  const workload = { namespace, serviceAccount }
  return sa === "sa" && rest.length === 0 && isWorkload(workload) ? workload : null
}
