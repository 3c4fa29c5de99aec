// Certificates as events: those of workloads that were renewed, as their proxies report it, and what all certificates rest on, as
// this process learns of it.
import { createHash } from "node:crypto"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { x509 } from "../../deploy/identity/mod.ts"
import { EventKind, type EventSchema, type telemetryQueryV1 } from "../../protos/mod.ts"
import { type ResourceName, resourceKey } from "../resources/mod.ts"
import type { Certified } from "../tls/mod.ts"

type EventInit = MessageInitShape<typeof EventSchema>

/** Renewals of one workload that follow each other within this time are one event: replicas are renewed one by one. */
const TOGETHER_MS = 60_000

/** Renewals since a time, by workload. */
export function renewals(
  reporters: readonly telemetryQueryV1.ProxyReporter[],
  namespace: string,
  sinceMs: number,
): EventInit[] {
  const events: { readonly resource: ResourceName; timeMs: number; pods: number }[] = []
  const latest = new Map<string, (typeof events)[number]>()
  for (const { pod, certificateRenewedMs: timeMs } of reporters.toSorted(byRenewal)) {
    if (pod === undefined || timeMs === 0 || timeMs < sinceMs) continue
    if (namespace !== "" && pod.namespace !== namespace) continue
    const resource =
      pod.workload === ""
        ? { namespace: pod.namespace, kind: "pod", name: pod.pod }
        : { namespace: pod.namespace, kind: pod.workloadKind, name: pod.workload }
    const before = latest.get(resourceKey(resource))
    if (before !== undefined && timeMs - before.timeMs <= TOGETHER_MS) {
      before.pods++
      before.timeMs = timeMs
      continue
    }
    const event = { resource, timeMs, pods: 1 }
    latest.set(resourceKey(resource), event)
    events.push(event)
  }
  return events.map(({ resource, timeMs, pods }) => ({
    ...{ timeMs, kind: EventKind.CERTIFICATE, resource },
    what: pods === 1 ? "certificate renewed" : `certificates of ${pods} pods renewed`,
  }))
}

function byRenewal(a: telemetryQueryV1.ProxyReporter, b: telemetryQueryV1.ProxyReporter): number {
  return a.certificateRenewedMs - b.certificateRenewedMs
}

/** What certificates rest on, told apart from what they rested on before. */
export class AuthorityWatch {
  private issuer = ""
  private anchors = ""

  /** What has changed since it was looked at last; nothing at the first time. */
  look(certified: Certified | null): { readonly resource: ResourceName; readonly what: string }[] {
    if (certified === null) return []
    const { chain, trustAnchors } = certified
    // Where the only anchor signs by itself there is nothing between.
    const signer = chain[1] ?? (trustAnchors.length === 1 ? trustAnchors[0] : undefined)
    const [issuer, anchors] = [
      hashOf(signer === undefined ? [] : [signer]),
      hashOf([...trustAnchors].sort(compare)),
    ]
    const changes = []
    if (this.issuer !== "" && this.issuer !== issuer && signer !== undefined) {
      const { subject, notAfter } = new x509.X509Certificate(Uint8Array.from(signer))
      const what = `now signs certificates, until ${notAfter.toISOString()}`
      changes.push({ resource: { namespace: "", kind: "issuer", name: subject }, what })
    }
    if (this.anchors !== "" && this.anchors !== anchors) {
      const what = `changed: ${trustAnchors.length} ${trustAnchors.length === 1 ? "is" : "are"} trusted now`
      changes.push({ resource: { namespace: "", kind: "trustanchors", name: "trust anchors" }, what })
    }
    this.issuer = issuer
    this.anchors = anchors
    return changes
  }
}

function hashOf(certificates: readonly Uint8Array[]): string {
  const hash = createHash("sha256")
  for (const one of certificates) hash.update(one)
  return hash.digest("hex")
}

function compare(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}
