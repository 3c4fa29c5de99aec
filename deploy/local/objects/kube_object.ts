// Kubernetes objects as the local cluster holds them: standard shapes, no generated client.
import type { ObjectMeta, PodSpec, PodTemplate } from "../../inject/mod.ts"

/** Any object with a name. Its `spec` and other fields are what the user wrote, with defaults filled. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: ObjectMeta & { name: string; namespace?: string }
  spec?: Record<string, unknown>
  status?: Record<string, unknown>
  data?: Record<string, string>
  stringData?: Record<string, string>
  binaryData?: Record<string, string>
  [other: string]: unknown
}

/** `spec` of a workload that owns pods; which fields are set depends on the kind. */
export interface WorkloadSpec {
  replicas?: number
  template: PodTemplate
  selector?: { matchLabels?: Record<string, string> }
  strategy?: {
    type?: string
    rollingUpdate?: { maxSurge?: number | string; maxUnavailable?: number | string }
  }
  serviceName?: string
  podManagementPolicy?: string
  volumeClaimTemplates?: { metadata: { name: string } }[]
  completions?: number
  parallelism?: number
  backoffLimit?: number
  suspend?: boolean
  jobTemplate?: { spec: WorkloadSpec }
}

/** `spec` of a Service. */
export interface ServiceSpec {
  type?: string
  clusterIP?: string
  clusterIPs?: string[]
  ipFamilies?: string[]
  ipFamilyPolicy?: string
  externalName?: string
  selector?: Record<string, string>
  publishNotReadyAddresses?: boolean
  ports?: ServicePort[]
}

/** One port of a Service. */
export interface ServicePort {
  name?: string
  port: number
  targetPort?: number | string
  protocol?: string
  appProtocol?: string
  nodePort?: number
}

/** What the local cluster does with a kind. */
export type Treatment = "workload" | "kept" | "shown" | "ignored"

/**
 * Every kind that is more than a note on stderr: workloads run; kept ones the runner itself uses; shown ones
 * are laid before the control plane, which knows what to do with them. All others are ignored.
 */
export const KINDS: Readonly<Record<string, Treatment>> = {
  Deployment: "workload",
  ReplicaSet: "workload",
  StatefulSet: "workload",
  DaemonSet: "workload",
  Job: "workload",
  Pod: "workload",
  Namespace: "kept",
  Service: "kept",
  ConfigMap: "kept",
  Secret: "kept",
  ServiceAccount: "shown",
  Endpoints: "shown",
  EndpointSlice: "shown",
  HTTPRoute: "shown",
  GRPCRoute: "shown",
  TLSRoute: "shown",
  TCPRoute: "shown",
  ReferenceGrant: "shown",
  AuthorizationPolicy: "shown",
  EgressPolicy: "shown",
  RateLimitPolicy: "shown",
  Plugin: "shown",
}

/** Kinds without a namespace. */
export const CLUSTER_SCOPED: readonly string[] = [
  "Namespace",
  "Node",
  "ClusterRole",
  "ClusterRoleBinding",
  "CustomResourceDefinition",
  "PersistentVolume",
  "StorageClass",
  "PriorityClass",
  "GatewayClass",
  "Plugin",
]

/** Key of an object among all: kind, namespace ("" where there is none) and name. */
export function objectKey(object: Pick<KubeObject, "kind" | "metadata">): string {
  return `${object.kind}/${object.metadata.namespace ?? ""}/${object.metadata.name}`
}

/** The pod template of a workload; for a bare Pod the Pod itself. */
export function templateOf(object: KubeObject): PodTemplate {
  if (object.kind === "Pod") return { metadata: object.metadata, spec: object.spec as unknown as PodSpec }
  return workloadSpec(object).template
}

/** `spec` of a checked workload. */
export function workloadSpec(object: KubeObject): WorkloadSpec {
  return (object.spec ?? {}) as unknown as WorkloadSpec
}

/** `spec` of a checked Service. */
export function serviceSpec(object: KubeObject): ServiceSpec {
  return (object.spec ?? {}) as unknown as ServiceSpec
}

/** Whether labels carry everything that a selector asks for; an empty selector selects nothing. */
export function selects(
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  const wanted = Object.entries(selector ?? {})
  return wanted.length > 0 && wanted.every(([name, value]) => labels?.[name] === value)
}
