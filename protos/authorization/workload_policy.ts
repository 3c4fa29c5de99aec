// A pod's compiled policies as plain data: the shape of conduit.policy.v1.WorkloadPolicy, so that the generated
// messages fit it as they are, and the proxy's hand-written codec fills it without them.

/** Everything that decides who may call a pod. */
export interface WorkloadPolicy {
  /** What holds on ports that no policy with action Allow targets: an index into `DEFAULT_POLICY_NAMES`. */
  readonly defaultPolicy: number
  /** Addresses that count as the cluster's own, as CIDR. */
  readonly clusterNetworks: readonly string[]
  /** The policies, ordered by namespace and name. */
  readonly policies: readonly Policy[]
  /** What the kubelet asks of the pod; always allowed. */
  readonly probes: readonly Probe[]
  /** Trust domain whose identities count as meshed. */
  readonly trustDomain: string
}

/** Names of the default policies by their number in the API; 0 holds as 1. */
export const DEFAULT_POLICY_NAMES = [
  "all-unauthenticated",
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
  "audit",
] as const

/** Number of a default policy by its name, as annotations and settings give it; 0 for an unknown name. */
export function defaultPolicyNumber(name: string): number {
  return Math.max(0, (DEFAULT_POLICY_NAMES as readonly string[]).lastIndexOf(name))
}

/** Private addresses of both families: the cluster's own where nothing else is said (as in Linkerd). */
export const DEFAULT_CLUSTER_NETWORKS: readonly string[] = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "fd00::/8",
]

/** Lets through what it matches. */
export const ACTION_ALLOW = 1
/** Refuses what it matches, whatever else allows it. */
export const ACTION_DENY = 2
/** Counts and logs what it matches. */
export const ACTION_AUDIT = 3
/** Has a plugin decide about what it matches. */
export const ACTION_ASK = 4

/** An AuthorizationPolicy that targets the pod. */
export interface Policy {
  readonly namespace: string
  readonly name: string
  /** An `ACTION_` constant. Any other number holds as an Allow that matches nothing. */
  readonly action: number
  /** Ports that it targets, unless `allPorts`. */
  readonly ports: readonly number[]
  readonly allPorts: boolean
  /** It matches what any of these matches. */
  readonly rules: readonly Rule[]
  /** Who is asked, of ACTION_ASK. */
  readonly ask?: PluginQuestion | undefined
}

/** Who is asked about a request, and what is told of it. */
export interface PluginQuestion {
  /** Name of the Plugin. */
  readonly plugin: string
  /** Header fields that the plugin is told, in lower case. */
  readonly headers: readonly string[]
  /** Milliseconds that a request waits for the answer. */
  readonly deadlineMs: number
  /** Without an answer it is refused, instead of being left to the other policies. */
  readonly fail: boolean
  /** Another one for a plugin that may answer otherwise than before. */
  readonly version: string
}

/** Matches what comes from any of `from` and asks for any of `to`; empty means any. */
export interface Rule {
  readonly from: readonly Source[]
  readonly to: readonly Operation[]
}

/** Clients. A case that is not known matches nothing, in a Deny everything. */
export interface Source {
  readonly client:
    | { readonly case: "workload"; readonly value: WorkloadSource }
    /** A SPIFFE id. */
    | { readonly case: "identity"; readonly value: string }
    /** Beginning of SPIFFE ids; empty: every identity of the trust domain. */
    | { readonly case: "identityPrefix"; readonly value: string }
    /** CIDR. */
    | { readonly case: "network"; readonly value: string }
    | { readonly case: undefined; readonly value?: undefined }
}

/** Pods of a workload: by identity, and by address too where others run as the same service account. */
export interface WorkloadSource {
  readonly namespace: string
  /** Kind in lower case. */
  readonly kind: string
  readonly name: string
  /** SPIFFE ids that its pods run as. */
  readonly identities: readonly string[]
  /** Addresses of its pods, 4 or 16 bytes each; looked at unless `exclusive`. */
  readonly addresses: readonly Uint8Array[]
  /** No other workload runs as its identities. */
  readonly exclusive: boolean
}

/** Requests; an empty list means any. */
export interface Operation {
  /** Methods in upper case. */
  readonly methods: readonly string[]
  /** Paths in normal form, or their beginnings with a trailing `*`. */
  readonly paths: readonly string[]
}

/** What the kubelet asks. */
export interface Probe {
  readonly port: number
  /** Path of an HTTP probe; empty for one that only connects. */
  readonly path: string
  /** It asks the gRPC health service. */
  readonly grpc: boolean
}
