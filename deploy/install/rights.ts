// What the control plane may do in the Kubernetes API: the least that its services work with, each rule with its reason.
import { commented, NAMESPACE, type Tree, text } from "./template.ts"

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
    resources: ["authorizationpolicies"],
    verbs: ["list", "watch"],
  }),
  commented("Routes of the Gateway API and grants on their backends, where it is installed.", {
    apiGroups: ["gateway.networking.k8s.io"],
    resources: ["httproutes", "grpcroutes", "referencegrants"],
    verbs: ["list", "watch"],
  }),
]

/** Rights of the API: it asks who its callers from other pods are, and whether they may ask. */
export const AUTHORIZER_RULES: readonly Tree[] = [
  commented("Whose a caller's token is.", {
    apiGroups: ["authentication.k8s.io"],
    resources: ["tokenreviews"],
    verbs: ["create"],
  }),
  commented("Whether that one may get what it asks for.", {
    apiGroups: ["authorization.k8s.io"],
    resources: ["subjectaccessreviews"],
    verbs: ["create"],
  }),
]

const RBAC = "rbac.authorization.k8s.io"

/** Roles that are bound to nobody: administrators bind them to who looks at the mesh. */
export function viewerRoles(names: ViewerNames, labels: Tree): Tree[] {
  return [
    {
      apiVersion: `${RBAC}/v1`,
      kind: "Role",
      metadata: { name: "conduit-viewer", namespace: NAMESPACE, labels },
      rules: [
        commented("The way of conduit stat, edges and so on to the API: a connection to its pod.", {
          apiGroups: [""],
          resources: ["pods/portforward"],
          verbs: ["get", "create"],
        }),
        commented("Which pods there are.", { apiGroups: [""], resources: ["pods"], verbs: ["list"] }),
        commented("What the API's certificate is checked by.", {
          apiGroups: [""],
          resources: ["configmaps"],
          resourceNames: [...names.configMaps],
          verbs: ["get"],
        }),
        commented("Whether it is installed at all.", {
          apiGroups: ["apps"],
          resources: ["deployments"],
          resourceNames: ["conduit-api"],
          verbs: ["get"],
        }),
      ],
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRole",
      metadata: { name: text("conduit-", NAMESPACE, "-api-caller"), labels },
      rules: [
        commented("The API asked from another pod, by a service account.", {
          nonResourceURLs: ["/conduit.api.v1.ApiService/*"],
          verbs: ["get"],
        }),
      ],
    },
  ]
}

/** What the roles name. */
interface ViewerNames {
  readonly configMaps: readonly string[]
}

/** A ClusterRole of the control plane's, with its binding to service accounts. */
export function clusterRights(
  name: string,
  rules: readonly Tree[],
  accounts: readonly string[],
  labels: Tree,
): Tree[] {
  const full = text("conduit-", NAMESPACE, `-${name}`)
  return [
    { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata: { name: full, labels }, rules },
    {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: full, labels },
      roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: full },
      subjects: accounts.map(account => ({ kind: "ServiceAccount", name: account, namespace: NAMESPACE })),
    },
  ]
}
