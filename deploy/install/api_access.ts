// Who may ask the public API in a cluster, as RBAC (control/api/access.ts asks for it): what the API itself needs for that,
// and roles for who asks.
import { API_SERVICE, DASHBOARD_CALLS } from "../web/mod.ts"
import { clusterRights } from "./rights.ts"
import { commented, NAMESPACE, type Tree, text } from "./template.ts"

const RBAC = "rbac.authorization.k8s.io"

/** Rights of the API: it asks who its callers from other pods are, and whether they may ask. */
const AUTHORIZER_RULES: readonly Tree[] = [
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

/**
 * Service account that who taps proves to be: RBAC decides who may have a token of it made (`create` on
 * serviceaccounts/token), and the audit log of the API server says who did.
 */
export const TAPPER = "conduit-tapper"
/** The same for who sees values of header fields, too. */
export const HEADER_TAPPER = "conduit-header-tapper"

/** API group of the rules that grant taps (control/api/tap.ts); there are no objects of it. */
const TAP_GROUP = "tap.conduit.io"

/** Rights around the API. @param configMaps  what the identity of the API is checked by */
export function apiAccess(configMaps: readonly string[], labels: Tree): Tree[] {
  return [
    ...clusterRights("authorizer", AUTHORIZER_RULES, ["conduit-api"], labels),
    ...clusterRights(
      "tap",
      [
        commented("Live requests, without values of header fields.", {
          apiGroups: [TAP_GROUP],
          resources: ["*/tap"],
          verbs: ["watch"],
        }),
      ],
      [TAPPER, HEADER_TAPPER],
      labels,
    ),
    ...clusterRights(
      "tap-headers",
      [
        commented("Values of header fields, too; those with secrets are shown to nobody.", {
          apiGroups: [TAP_GROUP],
          resources: ["*/tapheaders"],
          verbs: ["watch"],
        }),
      ],
      [HEADER_TAPPER],
      labels,
    ),
    ...viewerRoles(configMaps, labels),
    tapperRole(TAPPER, labels),
    tapperRole(HEADER_TAPPER, labels),
  ]
}

/** Right of the dashboard: the calls that it makes for its page, and no other. */
export function dashboardRights(labels: Tree): Tree[] {
  const rules = [
    commented("Figures and facts for whoever may forward to its pod; no call that shows requests.", {
      nonResourceURLs: DASHBOARD_CALLS.map(name => `/${API_SERVICE}/${name}`),
      verbs: ["get"],
    }),
  ]
  return clusterRights("dashboard", rules, ["conduit-web"], labels)
}

/** Roles that are bound to nobody: administrators bind them to who looks at the mesh. */
function viewerRoles(configMaps: readonly string[], labels: Tree): Tree[] {
  return [
    {
      apiVersion: `${RBAC}/v1`,
      kind: "Role",
      metadata: { name: "conduit-viewer", namespace: NAMESPACE, labels },
      rules: [
        commented(
          "The way of conduit stat, edges, dashboard and so on to the API and the dashboard: a connection to a pod.",
          {
            apiGroups: [""],
            resources: ["pods/portforward"],
            verbs: ["get", "create"],
          },
        ),
        commented("Which pods there are.", { apiGroups: [""], resources: ["pods"], verbs: ["list"] }),
        commented("What the API's certificate is checked by.", {
          apiGroups: [""],
          resources: ["configmaps"],
          resourceNames: [...configMaps],
          verbs: ["get"],
        }),
        commented("Whether they are installed at all.", {
          apiGroups: ["apps"],
          resources: ["deployments"],
          resourceNames: ["conduit-api", "conduit-web"],
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
          nonResourceURLs: [`/${API_SERVICE}/*`],
          verbs: ["get"],
        }),
      ],
    },
  ]
}

/** Bound to nobody: who has it may tap as that account. */
function tapperRole(account: string, labels: Tree): Tree {
  return {
    apiVersion: `${RBAC}/v1`,
    kind: "Role",
    metadata: { name: account, namespace: NAMESPACE, labels },
    rules: [
      commented("A token by which conduit tap proves to be this account, for minutes.", {
        apiGroups: [""],
        resources: ["serviceaccounts/token"],
        resourceNames: [account],
        verbs: ["create"],
      }),
    ],
  }
}
