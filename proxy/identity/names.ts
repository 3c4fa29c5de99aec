// The two names of an identity: a SPIFFE id and the DNS name that stands for it in TLS; each follows from the other.

/** Where identities belong to. */
export interface TrustDomain {
  /** Such as `cluster.local`. */
  readonly trustDomain: string
  /** Namespace of the control plane. */
  readonly controlNamespace: string
}

/** DNS name of a service account: the SNI of calls to it, and what metrics show. */
export function identityName(domain: TrustDomain, namespace: string, serviceAccount: string): string {
  return `${serviceAccount}.${namespace}${nameSuffix(domain)}`
}

/** SPIFFE id that belongs to a DNS name of an identity; "" when it is none of this mesh. */
export function spiffeIdOf(domain: TrustDomain, dnsName: string): string {
  const suffix = nameSuffix(domain)
  if (!dnsName.endsWith(suffix)) return ""
  const head = dnsName.slice(0, -suffix.length)
  // Names of service accounts may have dots, those of namespaces may not.
  const dot = head.lastIndexOf(".")
  if (dot <= 0 || dot === head.length - 1) return ""
  return `spiffe://${domain.trustDomain}/ns/${head.slice(dot + 1)}/sa/${head.slice(0, dot)}`
}

function nameSuffix({ trustDomain, controlNamespace }: TrustDomain): string {
  return `.serviceaccount.identity.${controlNamespace}.${trustDomain}`
}

/** The names that a certificate shows, as `DNS:a, URI:b`. */
export interface AltNames {
  readonly dnsNames: readonly string[]
  readonly uris: readonly string[]
}

/**
 * Reads `DNS:a, URI:b`. Names that need quoting come as `DNS:"..."`; such are no identities and are left out, so that
 * nothing within quotes can pass for another name.
 */
export function readAltNames(text: string): AltNames {
  const dnsNames: string[] = []
  const uris: string[] = []
  if (text.includes('"')) return { dnsNames, uris }
  for (const part of text.split(", ")) {
    if (part.startsWith("DNS:")) dnsNames.push(part.slice(4))
    else if (part.startsWith("URI:")) uris.push(part.slice(4))
  }
  return { dnsNames, uris }
}

/** The identity that names prove: exactly one URI, and the DNS name that belongs to it; null when they do not agree. */
export function provenIdentity(
  domain: TrustDomain,
  { dnsNames, uris }: AltNames,
): { readonly spiffeId: string; readonly dnsName: string } | null {
  if (uris.length !== 1) return null
  const [spiffeId] = uris as [string]
  for (const dnsName of dnsNames) {
    if (spiffeIdOf(domain, dnsName) === spiffeId) return { spiffeId, dnsName }
  }
  return null
}
