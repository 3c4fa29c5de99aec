// The controllers of Kubernetes in small: which plan suits a kind, and what the objects look like that they make.
import { fnv1a } from "../net/addresses.ts"
import { type KubeObject, templateOf, workloadSpec } from "../objects/kube_object.ts"
import {
  type Plan,
  type PodView,
  planDaemonSet,
  planDeployment,
  planJob,
  planReplicaSet,
  planStatefulSet,
} from "./plan.ts"

/** What the controller of the object's kind wants done about its pods. */
export function planFor(object: KubeObject, hash: string, pods: readonly PodView[]): Plan {
  const spec = workloadSpec(object)
  switch (object.kind) {
    case "Deployment":
      return planDeployment(spec, hash, pods)
    case "ReplicaSet":
      return planReplicaSet(spec, pods)
    case "StatefulSet":
      return planStatefulSet(object.metadata.name, spec, hash, pods)
    case "DaemonSet":
      return planDaemonSet(hash, pods)
    case "Job":
      return planJob(spec, hash, pods)
    default:
      return { create: pods.length === 0 ? [object.metadata.name] : [], remove: [] }
  }
}

/** Short hash of what pods are made from; a changed template is a new one. */
export function templateHash(object: KubeObject): string {
  const template = templateOf(object)
  const text = JSON.stringify([template.metadata?.labels, template.metadata?.annotations, template.spec])
  return (fnv1a(text).toString(36) + fnv1a(`${text}.`).toString(36)).slice(0, 10)
}

/** A new name for a pod of a workload, as its controller would choose it. */
export function podName(owner: KubeObject, hash: string): string {
  const random = fnv1a(crypto.randomUUID()).toString(36).padStart(5, "0").slice(-5)
  return owner.kind === "Deployment"
    ? `${owner.metadata.name}-${hash}-${random}`
    : `${owner.metadata.name}-${random}`
}

/** Labels that controllers of Kubernetes add to their pods. */
export function ownLabels(owner: KubeObject, hash: string, name: string): Record<string, string> {
  switch (owner.kind) {
    case "Deployment":
      return { "pod-template-hash": hash }
    case "StatefulSet":
      return {
        "controller-revision-hash": hash,
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": name.slice(name.lastIndexOf("-") + 1),
      }
    case "Job":
      return { "job-name": owner.metadata.name, "batch.kubernetes.io/job-name": owner.metadata.name }
    default:
      return {}
  }
}

/** Who owns a pod: for a Deployment its ReplicaSet. */
export function ownerReference(owner: KubeObject, hash: string) {
  const viaReplicaSet = owner.kind === "Deployment"
  return {
    apiVersion: owner.apiVersion,
    kind: viaReplicaSet ? "ReplicaSet" : owner.kind,
    name: viaReplicaSet ? `${owner.metadata.name}-${hash}` : owner.metadata.name,
    uid: viaReplicaSet ? `${owner.metadata.uid}-${hash}` : (owner.metadata.uid ?? ""),
    controller: true,
    blockOwnerDeletion: true,
  }
}

/** The ReplicaSet that stands between a Deployment and its pods of one template. */
export function replicaSet(
  owner: KubeObject,
  hash: string,
  status: { replicas: number; readyReplicas: number },
): KubeObject {
  const template = templateOf(owner)
  const labels = { ...template.metadata?.labels, "pod-template-hash": hash }
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: `${owner.metadata.name}-${hash}`,
      namespace: owner.metadata.namespace ?? "default",
      uid: `${owner.metadata.uid}-${hash}`,
      labels,
      ownerReferences: [
        {
          apiVersion: owner.apiVersion,
          kind: owner.kind,
          name: owner.metadata.name,
          uid: owner.metadata.uid ?? "",
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      replicas: status.replicas,
      selector: { matchLabels: labels },
      template: { metadata: { labels } },
    },
    status,
  }
}

/** Volumes of a StatefulSet's pod for the claims that it makes. */
export function claimVolumes(owner: KubeObject, pod: string) {
  return (workloadSpec(owner).volumeClaimTemplates ?? []).map(({ metadata }) => ({
    name: metadata.name,
    persistentVolumeClaim: { claimName: `${metadata.name}-${pod}` },
  }))
}
