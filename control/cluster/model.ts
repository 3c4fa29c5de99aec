// What the control plane keeps of a cluster: the few fields of each Kubernetes object that decide where
// traffic goes, whose it is and who may send it. Filled by a source (manifests.ts), held and indexed by store.ts.
import type { ReferenceGrant, Route, ServiceTraffic } from "../../deploy/gateway/mod.ts"
import type { Plugin } from "../../deploy/plugin_object/mod.ts"
import type { AuthorizationPolicy, EgressPolicy, RateLimitPolicy } from "../../deploy/policy/mod.ts"

/** An inclusive range of TCP ports. */
export interface PortRange {
  /** First port, 1 to 65535. */
  readonly first: number
  /** Last port, `first` to 65535. */
  readonly last: number
}

/** Names an object that owns another: the controller of a Pod, ReplicaSet or Job. */
export interface OwnerRef {
  /** Kind in lower case, singular (`replicaset`). */
  readonly kind: string
  /** Name, in the namespace of the owned object. */
  readonly name: string
}

/** A port that a container declares. */
export interface ContainerPort {
  /** Name, empty when it has none. */
  readonly name: string
  /** Port of the pod, 1 to 65535. */
  readonly port: number
  /** `TCP`, `UDP` or `SCTP`. */
  readonly protocol: string
}

/** What the kubelet asks of a pod from outside it: a startup, readiness or liveness probe. */
export interface PodProbe {
  /** Port of the pod. */
  readonly port: number
  /** `http` is a plain GET; over HTTPS nobody but the application sees the request. */
  readonly kind: "http" | "https" | "grpc" | "tcp"
  /** Path of an HTTP probe, empty otherwise. */
  readonly path: string
}

/** A Namespace. */
export interface NamespaceRecord {
  readonly kind: "namespace"
  /** Always empty: Namespaces belong to none. */
  readonly namespace: ""
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  /** From the annotation `config.conduit.io/opaque-ports`; null when it is absent. */
  readonly opaquePorts: readonly PortRange[] | null
  /** From the annotation `config.conduit.io/default-inbound-policy`; empty when it is absent. */
  readonly defaultInboundPolicy: string
}

/** A Node: kept for its zone alone. */
export interface NodeRecord {
  readonly kind: "node"
  readonly namespace: ""
  readonly name: string
  /** Label `topology.kubernetes.io/zone`, empty when unknown. */
  readonly zone: string
}

/** A Pod. */
export interface PodRecord {
  readonly kind: "pod"
  readonly namespace: string
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  /** Addresses in canonical text, both families, possibly none yet. */
  readonly ips: readonly string[]
  readonly nodeName: string
  readonly serviceAccount: string
  /** Shares its node's address, so the address alone does not name it. */
  readonly hostNetwork: boolean
  /** Condition `Ready` is `True`. */
  readonly ready: boolean
  /** Its containers are ready, and that it is not is said by others: of a node that is not heard, its pods are none. */
  readonly unheard: boolean
  /** Deletion has begun. */
  readonly terminating: boolean
  /** Phase is Succeeded or Failed: its address may already be another's. */
  readonly finished: boolean
  /** Controller, null for a bare pod. */
  readonly owner: OwnerRef | null
  /** Ports of its running containers and native sidecars. */
  readonly ports: readonly ContainerPort[]
  /** Carries a proxy of ours. */
  readonly meshed: boolean
  /** Ports of its own that bypass its proxy; as its init container was told, else its annotation. */
  readonly skipInboundPorts: readonly PortRange[] | null
  /** Ports of destinations that bypass its proxy; likewise. */
  readonly skipOutboundPorts: readonly PortRange[] | null
  /** Sends nothing in plaintext to the mesh (`config.conduit.io/outbound-mtls: required`). */
  readonly mtlsRequired: boolean
  /** From its own annotation; null when it is absent (its namespace decides then). */
  readonly opaquePorts: readonly PortRange[] | null
  /** From its own annotation; empty when it is absent (its namespace decides then). */
  readonly defaultInboundPolicy: string
  /** Of its containers and native sidecars, each once. */
  readonly probes: readonly PodProbe[]
  /** Creation, milliseconds since 1970; 0 when unknown. */
  readonly createdMs: number
}

/** A port of a Service. */
export interface ServicePort {
  /** Name, empty when it has none. */
  readonly name: string
  /** Port of the Service, 1 to 65535. */
  readonly port: number
  /** Port of the pods: a number, or the name of a container port, which may differ per pod. */
  readonly targetPort: number | string
  /** `TCP`, `UDP` or `SCTP`. */
  readonly protocol: string
  /** `appProtocol`, empty when it has none. */
  readonly appProtocol: string
}

/** A Service. */
export interface ServiceRecord {
  readonly kind: "service"
  readonly namespace: string
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  /** Cluster IPs in canonical text, one per family; empty for a headless or ExternalName Service. */
  readonly clusterIps: readonly string[]
  /** `clusterIP: None`. */
  readonly headless: boolean
  /** Name outside the cluster that an ExternalName Service stands for; empty otherwise. */
  readonly externalName: string
  /** Null when endpoints come from EndpointSlices or Endpoints that someone else writes. */
  readonly selector: ReadonlyMap<string, string> | null
  readonly ports: readonly ServicePort[]
  readonly publishNotReadyAddresses: boolean
  /** From its annotations: retries, timeouts and circuit breaking of requests to it. */
  readonly traffic: ServiceTraffic
  /** From its own annotation; null when it is absent (its namespace decides then). */
  readonly opaquePorts: readonly PortRange[] | null
}

/** One endpoint of an EndpointSlice. */
export interface SliceEndpoint {
  /** First address, in canonical text: the only one that counts (API reference, EndpointSlice v1). */
  readonly ip: string
  readonly ready: boolean
  /** Pod behind it in the slice's namespace, empty when none is named. */
  readonly pod: string
  readonly nodeName: string
  readonly zone: string
}

/** A port of an EndpointSlice. */
export interface SlicePort {
  readonly name: string
  readonly port: number
  readonly protocol: string
  readonly appProtocol: string
}

/** An EndpointSlice, or one subset list of an Endpoints object in the same shape. */
export interface SliceRecord {
  readonly kind: "endpointslice" | "endpoints"
  readonly namespace: string
  readonly name: string
  /** Service that it belongs to, in its namespace. */
  readonly service: string
  /** Groups that share ports: one for an EndpointSlice, one per subset of an Endpoints object. */
  readonly groups: readonly {
    readonly endpoints: readonly SliceEndpoint[]
    readonly ports: readonly SlicePort[]
  }[]
}

/** Kinds of objects that own pods, in lower case. */
export const WORKLOAD_KINDS = [
  "deployment",
  "replicaset",
  "statefulset",
  "daemonset",
  "job",
  "cronjob",
] as const

/** A kind of WORKLOAD_KINDS. */
export type WorkloadKind = (typeof WORKLOAD_KINDS)[number]

/** A Deployment, ReplicaSet, StatefulSet, DaemonSet, Job or CronJob. */
export interface WorkloadRecord {
  readonly kind: WorkloadKind
  readonly namespace: string
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  /** Controller, for ReplicaSets of a Deployment and Jobs of a CronJob. */
  readonly owner: OwnerRef | null
}

/** Kinds of routes, in lower case. */
export const ROUTE_RECORD_KINDS = ["grpcroute", "httproute", "tlsroute", "tcproute"] as const

/** A route that binds Services. */
export interface RouteRecord {
  readonly kind: (typeof ROUTE_RECORD_KINDS)[number]
  readonly namespace: string
  readonly name: string
  readonly route: Route
}

/** A ReferenceGrant on Services of its namespace. */
export interface GrantRecord {
  readonly kind: "referencegrant"
  readonly namespace: string
  readonly name: string
  readonly grant: ReferenceGrant
}

/** An AuthorizationPolicy. */
export interface PolicyRecord {
  readonly kind: "authorizationpolicy"
  readonly namespace: string
  readonly name: string
  readonly policy: AuthorizationPolicy
}

/** An EgressPolicy. */
export interface EgressRecord {
  readonly kind: "egresspolicy"
  readonly namespace: string
  readonly name: string
  readonly policy: EgressPolicy
}

/** A RateLimitPolicy. */
export interface RateLimitRecord {
  readonly kind: "ratelimitpolicy"
  readonly namespace: string
  readonly name: string
  readonly policy: RateLimitPolicy
}

/** A policy of any kind. */
export type AnyPolicyRecord = PolicyRecord | EgressRecord | RateLimitRecord

/** A Plugin. */
export interface PluginRecord {
  readonly kind: "plugin"
  /** Empty: plugins are of the whole cluster. */
  readonly namespace: ""
  readonly name: string
  readonly plugin: Plugin
}

/** An endpoint that a plugin adds to a port of a Service. */
export interface AddedEndpoint {
  /** Canonical text. */
  readonly ip: string
  readonly port: number
  readonly weight: number | null
  readonly zone: string
}

/** What a plugin changes about an endpoint that Kubernetes has. */
export interface ChangedEndpoint {
  readonly remove: boolean
  /** Null: as it is. */
  readonly weight: number | null
  /** Null: as it is. */
  readonly zone: string | null
}

/** What one plugin changes about the endpoints of one port of a Service. Put by plugins, never read from an object. */
export interface AmendmentRecord {
  readonly kind: "amendment"
  /** Of the Service. */
  readonly namespace: string
  /** `SERVICE:PORT:PLUGIN`. */
  readonly name: string
  readonly service: string
  readonly port: number
  readonly plugin: string
  /** Place of the plugin among others; lower ones count first. */
  readonly order: number
  readonly add: readonly AddedEndpoint[]
  /** By `IP PORT`, the address in canonical text. */
  readonly change: ReadonlyMap<string, ChangedEndpoint>
}

/** Any object that is kept. */
export type ClusterObject =
  | NamespaceRecord
  | NodeRecord
  | PodRecord
  | ServiceRecord
  | SliceRecord
  | WorkloadRecord
  | RouteRecord
  | GrantRecord
  | AnyPolicyRecord
  | PluginRecord
  | AmendmentRecord

/** Key of an object in the store: `kind/namespace/name`. */
export function objectKey(object: { kind: string; namespace: string; name: string }): string {
  return `${object.kind}/${object.namespace}/${object.name}`
}

/** Something wrong with the input of a source, for a person. */
export interface Problem {
  /** Where: file, document, line, or an object of the Kubernetes API. */
  readonly where: string
  /** One sentence: what is wrong, and what stays in force. */
  readonly message: string
}
