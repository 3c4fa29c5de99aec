// The Pod object that a workload's controller makes out of its template, with the proxy that inject puts there.
import { type InjectResult, inject, type WorkloadKind } from "../../inject/mod.ts"
import { KINDS, type KubeObject, templateOf, workloadSpec } from "../objects/kube_object.ts"
import { claimVolumes, ownerReference, ownLabels } from "./controllers.ts"

/** Name that pods are told as their node's. */
const NODE_NAME = "local"

/** What decides about the proxy beside what the template says. */
export interface InjectChoice {
  readonly namespaceAnnotations: Readonly<Record<string, string>>
  readonly byDefault: "enabled" | "disabled"
  readonly conduitNamespace: string
  /** Version of the proxy. */
  readonly version: string
  /** PEM bundle that the proxy trusts; without it the proxy has no identity. */
  readonly trustAnchors?: string
  readonly trustDomain?: string
}

/**
 * The object of a new pod.
 *
 * @param hash  of the owner's template, see `templateHash`
 * @returns the object, and why it has no proxy (null when it has one)
 */
export function podObject(
  owner: KubeObject,
  hash: string,
  name: string,
  choice: InjectChoice,
): { object: KubeObject; skipped: string | null } {
  const namespace = owner.metadata.namespace ?? "default"
  const kind = owner.kind as WorkloadKind
  const result = inject(templateOf(owner), {
    namespace,
    workload: { kind, name: owner.metadata.name },
    nativeSidecar: true,
    ...choice,
  })
  const { metadata, spec } = structuredClone(result.template)
  const set = kind === "StatefulSet"
  const object: KubeObject = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      uid: kind === "Pod" ? (owner.metadata.uid ?? crypto.randomUUID()) : crypto.randomUUID(),
      creationTimestamp: new Date().toISOString(),
      labels: { ...metadata?.labels, ...ownLabels(owner, hash, name) },
      annotations: { ...metadata?.annotations },
      ...(kind === "Pod" ? {} : { ownerReferences: [ownerReference(owner, hash)] }),
    },
    spec: {
      ...spec,
      nodeName: NODE_NAME,
      ...(set ? { hostname: name, subdomain: workloadSpec(owner).serviceName } : {}),
      ...(set ? { volumes: [...(spec.volumes ?? []), ...claimVolumes(owner, name)] } : {}),
    },
  }
  return { object, skipped: result.skipped }
}

/** Checks what only inject can: settings and annotations. @throws SettingError */
export function checkInject(object: KubeObject, conduitNamespace: string): InjectResult | null {
  if (KINDS[object.kind] !== "workload") return null
  return inject(templateOf(object), {
    namespace: object.metadata.namespace ?? "default",
    workload: { kind: object.kind as WorkloadKind, name: object.metadata.name },
    byDefault: "enabled",
    conduitNamespace,
    version: "0",
    nativeSidecar: true,
  })
}
