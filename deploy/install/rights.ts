// What the control plane may do in the Kubernetes API: the least that its services work with, each rule with its reason.
import { PLUGIN_PLURAL } from "../plugin_object/mod.ts"
import { POLICY_KINDS } from "../policy/mod.ts"
import { INJECTOR_RULES } from "./injector.ts"
import { commented, NAMESPACE, type Tree, text } from "./template.ts"

/** Right of all that ask plugins. */
export const PLUGIN_RULES: readonly Tree[] = [
  commented("Plugins: which are called, and where.", {
    apiGroups: ["conduit.io"],
    resources: [PLUGIN_PLURAL],
    verbs: ["list", "watch"],
  }),
]

/** Rights of services that answer from the cluster's objects; no secret is among them. */
export const READER_RULES: readonly Tree[] = [
  commented("Services, their pods and slices: where traffic goes.", {
    apiGroups: [""],
    resources: ["services", "pods"],
    verbs: ["list", "watch"],
  }),
  commented("Slices of Services without selector.", {
    apiGroups: ["discovery.k8s.io"],
    resources: ["endpointslices"],
    verbs: ["list", "watch"],
  }),
  commented("Annotations of namespaces (opaque ports, default policies); zones of nodes.", {
    apiGroups: [""],
    resources: ["namespaces", "nodes"],
    verbs: ["list", "watch"],
  }),
  commented("Owners of pods: figures and policies name workloads, not pods.", {
    apiGroups: ["apps"],
    resources: ["deployments", "replicasets", "statefulsets", "daemonsets"],
    verbs: ["list", "watch"],
  }),
  commented("Owners of pods, as above.", {
    apiGroups: ["batch"],
    resources: ["jobs", "cronjobs"],
    verbs: ["list", "watch"],
  }),
  commented("Our own policies.", {
    apiGroups: ["policy.conduit.io"],
    resources: Object.values(POLICY_KINDS),
    verbs: ["list", "watch"],
  }),
  ...PLUGIN_RULES,
  commented("Routes of the Gateway API and grants on their backends, where it is installed.", {
    apiGroups: ["gateway.networking.k8s.io"],
    resources: ["httproutes", "grpcroutes", "tlsroutes", "tcproutes", "referencegrants"],
    verbs: ["list", "watch"],
  }),
]

/** Rights of the identity service: it asks whose tokens are, and reads nothing. */
export const REVIEWER_RULES: readonly Tree[] = [
  commented("Whose a token is: a workload proves itself with its service account's.", {
    apiGroups: ["authentication.k8s.io"],
    resources: ["tokenreviews"],
    verbs: ["create"],
  }),
]

/** Right of the policy service: it says what became of policies, where their writers look for it. */
export const CONDITION_RULES: readonly Tree[] = [
  commented("The condition Accepted of our own policies; their spec is not written.", {
    apiGroups: ["policy.conduit.io"],
    resources: Object.values(POLICY_KINDS).map(plural => `${plural}/status`),
    verbs: ["patch"],
  }),
]

/** Right of the API: it says what became of plugins. */
export const PLUGIN_CONDITION_RULES: readonly Tree[] = [
  commented("The conditions Accepted and Ready of plugins; their spec is not written.", {
    apiGroups: ["conduit.io"],
    resources: [`${PLUGIN_PLURAL}/status`],
    verbs: ["patch"],
  }),
]

/** Right of the destination service: it says what became of routes, where their writers look for it. */
export const ROUTE_CONDITION_RULES: readonly Tree[] = [
  commented("Our own entries of what became of routes; their spec is not written.", {
    apiGroups: ["gateway.networking.k8s.io"],
    resources: ["httproutes/status", "grpcroutes/status", "tlsroutes/status", "tcproutes/status"],
    verbs: ["patch"],
  }),
]

/** Roles of the control plane's by the end of their names. */
export const ROLES = {
  reader: READER_RULES,
  reviewer: REVIEWER_RULES,
  conditions: CONDITION_RULES,
  "route-conditions": ROUTE_CONDITION_RULES,
  plugins: PLUGIN_RULES,
  "plugin-conditions": PLUGIN_CONDITION_RULES,
  injector: INJECTOR_RULES,
} as const

/** A role of the control plane's. */
export type Role = keyof typeof ROLES

const RBAC = "rbac.authorization.k8s.io"

/** A ClusterRole of the control plane's, with its binding to service accounts of a namespace. */
export function clusterRights(
  name: string,
  rules: readonly Tree[],
  accounts: readonly string[],
  labels: Tree,
  namespace: Tree = NAMESPACE,
): Tree[] {
  const full = text("conduit-", NAMESPACE, `-${name}`)
  return [
    { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata: { name: full, labels }, rules },
    {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: full, labels },
      roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: full },
      subjects: accounts.map(account => ({ kind: "ServiceAccount", name: account, namespace })),
    },
  ]
}
