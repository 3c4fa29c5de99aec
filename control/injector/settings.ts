// Settings of the injector, from the environment: what it puts into pods, and which webhook it is.
import { durationMs } from "../mesh_settings.ts"
import { isTrustDomain, isWorkload } from "../tls/mod.ts"
import { CERTIFICATE_LIFETIME_MS } from "./serving_certificate.ts"

/** Shortest life of the webhook's certificate: after 70 % of it the next one must have time to be known and served. */
export const MIN_WEBHOOK_CERTIFICATE_MS = 60_000
/** Longest life of the webhook's certificate. */
export const MAX_WEBHOOK_CERTIFICATE_MS = 30 * 24 * 3_600_000

/** What the injector is told. */
export interface InjectorSettings {
  /** Namespace of the control plane; its Service there is what API servers call. */
  readonly conduitNamespace: string
  /** Name of the MutatingWebhookConfiguration that names this injector. */
  readonly webhookName: string
  readonly clusterDomain: string
  readonly trustDomain: string
  /** PEM file of the trust anchors that proxies are given; where it is not there, proxies have no identity. */
  readonly trustAnchorsFile: string
  /** Where proxies' images come from; null for the defaults of inject. */
  readonly images: { readonly registry: string; readonly tag: string; readonly pullPolicy: string } | null
  /** The cluster's CNI plugin of Conduit redirects pods: none gets an init container for that. */
  readonly cni: boolean
  readonly certificateLifetimeMs: number
}

/** Settings of the injector, or a sentence that says what is wrong. @param version  of this release */
export function injectorSettings(
  env: Readonly<Record<string, string | undefined>>,
  version: string,
): InjectorSettings | string {
  const conduitNamespace = env.CONDUIT_NAMESPACE ?? "conduit"
  if (!isWorkload({ namespace: conduitNamespace, serviceAccount: "conduit-injector" }))
    return `CONDUIT_NAMESPACE must be the name of a namespace, not "${conduitNamespace}"`
  const domains = { CONDUIT_CLUSTER_DOMAIN: "cluster.local", CONDUIT_TRUST_DOMAIN: "cluster.local" }
  for (const name of Object.keys(domains) as (keyof typeof domains)[]) {
    domains[name] = env[name] || domains[name]
    if (!isTrustDomain(domains[name]))
      return `${name} must be a DNS name such as cluster.local, not "${domains[name]}"`
  }
  const lifetime = "CONDUIT_INJECTOR_CERTIFICATE_LIFETIME"
  const certificateLifetimeMs = durationMs(env, lifetime, CERTIFICATE_LIFETIME_MS)
  if (typeof certificateLifetimeMs === "string") return certificateLifetimeMs
  if (
    certificateLifetimeMs < MIN_WEBHOOK_CERTIFICATE_MS ||
    certificateLifetimeMs > MAX_WEBHOOK_CERTIFICATE_MS
  )
    return `${lifetime} must be from 60s to 720h`
  const { CONDUIT_PROXY_CNI: cni = "false" } = env
  if (cni !== "true" && cni !== "false") return `CONDUIT_PROXY_CNI must be true or false, not "${cni}"`
  const registry = env.CONDUIT_PROXY_IMAGE_REGISTRY ?? ""
  return {
    conduitNamespace,
    webhookName: env.CONDUIT_INJECTOR_WEBHOOK || `conduit-${conduitNamespace}-injector`,
    clusterDomain: domains.CONDUIT_CLUSTER_DOMAIN,
    trustDomain: domains.CONDUIT_TRUST_DOMAIN,
    trustAnchorsFile: env.CONDUIT_TRUST_ANCHORS_FILE ?? "",
    images:
      registry === ""
        ? null
        : {
            registry,
            tag: env.CONDUIT_PROXY_IMAGE_VERSION || version,
            pullPolicy: env.CONDUIT_PROXY_IMAGE_PULL_POLICY || "IfNotPresent",
          },
    cni: cni === "true",
    certificateLifetimeMs,
  }
}
