// AuthorizationPolicy of policy.conduit.io/v1alpha1 as it is understood: what read_policy.ts makes of an object, with the
// words that it may hold. The definition in deploy/install says the same to the API server, held equal by a test.

/** API group. */
export const POLICY_GROUP = "policy.conduit.io"
/** `apiVersion` of the objects. */
export const POLICY_API_VERSION = `${POLICY_GROUP}/v1alpha1`
/** Kind of the objects. */
export const POLICY_KIND = "AuthorizationPolicy"

/** Kinds that a policy may target. */
export const TARGET_KINDS = [
  "Deployment",
  "StatefulSet",
  "DaemonSet",
  "ReplicaSet",
  "Job",
  "CronJob",
  "Pod",
  "Namespace",
] as const

/** A kind of `TARGET_KINDS`. */
export type TargetKind = (typeof TARGET_KINDS)[number]

/** What a policy may do. */
export const POLICY_ACTIONS = ["Allow", "Deny", "Audit", "Ask"] as const

/** An action of `POLICY_ACTIONS`. */
export type PolicyAction = (typeof POLICY_ACTIONS)[number]

/** Fields by the mapping that holds them; the custom resource definition has the same. */
export const POLICY_FIELDS = {
  object: ["apiVersion", "kind", "metadata", "spec", "status"],
  spec: ["target", "action", "rules", "plugin", "headers"],
  target: ["kind", "name", "ports"],
  rule: ["from", "to"],
  from: ["deployments", "serviceAccounts", "namespaces", "identities", "networks"],
  to: ["methods", "paths"],
} as const

/** Rules of one policy at most: what is evaluated for each new client of a port stays within a millisecond. */
export const MAX_POLICY_RULES = 1024

/** Values of one list at most; answers a generated policy that names every pod of a cluster by address. */
export const MAX_POLICY_VALUES = 1024

/** Header fields that a plugin is told at most: each goes with every question. */
export const MAX_ASKED_HEADERS = 32

/** A port of the target: a number, or the name of a container's port. */
export type TargetPort = number | string

/** What a policy holds for, in its own namespace. */
export interface PolicyTarget {
  readonly kind: TargetKind
  readonly name: string
  /** Null for every port. */
  readonly ports: readonly TargetPort[] | null
}

/** A client that a rule names. */
export type PolicySource =
  | { readonly kind: "deployment" | "serviceAccount"; readonly namespace: string; readonly name: string }
  | { readonly kind: "namespace"; readonly name: string }
  /** A SPIFFE id, one with a trailing `*`, or `*`. */
  | { readonly kind: "identity"; readonly pattern: string }
  /** CIDR. */
  | { readonly kind: "network"; readonly network: string }

/** A client with its place in the object. */
export type PlacedSource = PolicySource & {
  /** Field, as people write it: `spec.rules[0].from[1].deployments[0]`. */
  readonly field: string
}

/** Requests. */
export interface PolicyOperation {
  /** In upper case; empty for any. */
  readonly methods: readonly string[]
  /** In normal form, or with a trailing `*`; empty for any. */
  readonly paths: readonly string[]
}

/** A rule. */
export interface PolicyRule {
  /** Empty for anybody. */
  readonly from: readonly PlacedSource[]
  /** Empty for anything. */
  readonly to: readonly PolicyOperation[]
}

/** Who is asked by a policy with action Ask. */
export interface AskedPlugin {
  /** Name of a Plugin with the hook Authorize. */
  readonly plugin: string
  /** Header fields that it is told, in lower case. */
  readonly headers: readonly string[]
}

/** A policy that was understood. */
export interface AuthorizationPolicy {
  readonly namespace: string
  readonly name: string
  readonly target: PolicyTarget
  readonly action: PolicyAction
  /** Null for other actions than Ask. */
  readonly ask: AskedPlugin | null
  readonly rules: readonly PolicyRule[]
  /** The plugin that supplies it, and why; absent for an object of the cluster. */
  readonly suppliedBy?: { readonly plugin: string; readonly reason: string }
}

/** Path to a field: names and list indexes from the object's root. */
export type PolicyFieldPath = readonly (string | number)[]

/** Something wrong with a policy's text. */
export interface PolicyComplaint {
  readonly path: PolicyFieldPath
  /** What is wrong with the field, to stand behind its name: `must be ...`, `is missing ...`. */
  readonly message: string
}
