// The certificates that API servers trust of our webhook: `caBundle` of its MutatingWebhookConfiguration. Every injector
// keeps its own in there; nothing else of the object is ours to change.
import { X509Certificate } from "node:crypto"
import { derToPem, endMs } from "../../deploy/identity/mod.ts"
import { type KubeApi, KubeError } from "../../deploy/kubernetes/mod.ts"

/** Most certificates of a bundle: pods of a day's rollouts; more would be those of pods that came and went. */
export const MAX_BUNDLE_CERTIFICATES = 100
/** Attempts before another injector's change is given way to until the next look. */
export const MAX_BUNDLE_CONFLICTS = 5
/** Field manager of the change, as `kubectl get -o yaml --show-managed-fields` shows it. */
const FIELD_MANAGER = "conduit-injector"

interface Webhook {
  readonly name: string
  readonly clientConfig?: { readonly caBundle?: string }
}

/**
 * A bundle with these certificates in it, and without those that ended or that the same maker replaced. The same
 * whoever computes it, so that injectors do not undo each other's order.
 *
 * @param own PEM, all of one name
 */
export function bundleWith(bundle: string, own: readonly string[], nowMs: number): string {
  const mine = own.map(pem => new X509Certificate(pem))
  const makers = new Set(mine.map(one => one.subject))
  const others = certificatesOf(bundle)
    .filter(one => endMs(one) > nowMs && !makers.has(one.subject))
    .sort(byEnd)
    .slice(-(MAX_BUNDLE_CERTIFICATES - mine.length))
  const all = new Map([...others, ...mine].map(one => [one.fingerprint256, one]))
  return [...all.values()]
    .sort(byEnd)
    .map(one => derToPem(one.raw))
    .join("")
}

function byEnd(a: X509Certificate, b: X509Certificate): number {
  return endMs(a) - endMs(b) || (a.fingerprint256 < b.fingerprint256 ? -1 : 1)
}

/** What is no certificate trusts nobody, and is left out. */
function certificatesOf(bundle: string): X509Certificate[] {
  const blocks = bundle.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  return blocks.flatMap(block => {
    try {
      return [new X509Certificate(block)]
    } catch {
      return []
    }
  })
}

/**
 * Has API servers trust these certificates.
 *
 * @param webhookName of the MutatingWebhookConfiguration
 * @throws KubeError when the API server refuses or cannot be reached; Error when others change it all the time
 */
export async function publishCertificates(
  api: KubeApi,
  webhookName: string,
  own: readonly string[],
  nowMs: number,
): Promise<void> {
  const path = `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${webhookName}`
  for (let attempt = 0; attempt < MAX_BUNDLE_CONFLICTS; attempt++) {
    const found = (await api.call({ path })) as {
      metadata?: { resourceVersion?: string }
      webhooks?: readonly Webhook[]
    }
    const changes = (found.webhooks ?? []).flatMap(({ name, clientConfig }) => {
      const before = Buffer.from(clientConfig?.caBundle ?? "", "base64").toString()
      const after = bundleWith(before, own, nowMs)
      if (after === before) return []
      return [{ name, clientConfig: { caBundle: Buffer.from(after).toString("base64") } }]
    })
    if (changes.length === 0) return
    try {
      await api.call({
        method: "PATCH",
        path: `${path}?fieldManager=${FIELD_MANAGER}`,
        // Lists of webhooks are merged by name: what others say about them stays.
        contentType: "application/strategic-merge-patch+json",
        body: {
          metadata: { resourceVersion: found.metadata?.resourceVersion ?? "" },
          webhooks: changes,
        },
      })
      return
    } catch (error) {
      if (!(error instanceof KubeError) || error.status !== 409) throw error
    }
  }
  throw new Error(`others changed it ${MAX_BUNDLE_CONFLICTS} times meanwhile`)
}
