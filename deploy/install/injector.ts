// The injector among the control plane's objects: its rights, the webhook by which API servers call it, and what it is
// told to put into pods.
import { commented, NAMESPACE, type Tree, text, VERSION, value, when } from "./template.ts"

/** Name of the injector's MutatingWebhookConfiguration; one per control plane. */
const WEBHOOK = text("conduit-", NAMESPACE, "-injector")
/** Where the trust anchors are mounted that proxies are given. */
const ANCHORS_FOLDER = "/var/run/conduit/proxy-trust-anchors"

/** What the injector may do; reading the cluster as others do is not among it. */
export const INJECTOR_RULES: readonly Tree[] = [
  commented("Annotations of a pod's namespace: whether it is injected, and its settings.", {
    apiGroups: [""],
    resources: ["namespaces"],
    verbs: ["get"],
  }),
  commented("The Deployment that a pod's ReplicaSet is of: its name is in the pod's labels.", {
    apiGroups: ["apps"],
    resources: ["replicasets"],
    verbs: ["get"],
  }),
  commented("The CronJob that a pod's Job is of, as above.", {
    apiGroups: ["batch"],
    resources: ["jobs"],
    verbs: ["get"],
  }),
  commented("Its own webhook: API servers are told there which certificates to trust.", {
    apiGroups: ["admissionregistration.k8s.io"],
    resources: ["mutatingwebhookconfigurations"],
    resourceNames: [WEBHOOK],
    verbs: ["get", "patch"],
  }),
]

/** Environment of the injector besides every component's. */
export const INJECTOR_ENV: readonly Tree[] = [
  { name: "CONDUIT_INJECTOR_WEBHOOK", value: WEBHOOK },
  { name: "CONDUIT_CLUSTER_DOMAIN", value: value("clusterDomain") },
  { name: "CONDUIT_PROXY_IMAGE_REGISTRY", value: value("image.registry") },
  { name: "CONDUIT_PROXY_IMAGE_VERSION", value: when("image.version", value("image.version"), VERSION) },
  { name: "CONDUIT_PROXY_IMAGE_PULL_POLICY", value: value("image.pullPolicy") },
  { name: "CONDUIT_PROXY_CNI", value: when("cni.enabled", "true", "false") },
  { name: "CONDUIT_TRUST_ANCHORS_FILE", value: `${ANCHORS_FOLDER}/ca-bundle.crt` },
]

/** Something that a component is mounted, read-only unless it says otherwise. */
export interface Mount {
  readonly path: string
  readonly volume: { [field: string]: Tree }
  /** Another volume of the same name, where a value is set. */
  readonly whereSet?: { readonly value: string; readonly volume: { [field: string]: Tree } }
  readonly writable?: true
}

/** What the injector is mounted. @param anchorsName  of the ConfigMap; without it proxies have no identity */
export function injectorMounts(anchorsName: string): Mount[] {
  return [
    {
      path: ANCHORS_FOLDER,
      volume: { name: "proxy-trust-anchors", configMap: { name: anchorsName, optional: true } },
    },
  ]
}

/** The webhook by which API servers call it. @param componentLabel  that the control plane's own pods bear */
export function webhookTree(labels: { [label: string]: Tree }, componentLabel: string): Tree {
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name: WEBHOOK, labels },
    webhooks: [
      {
        name: "injector.conduit.io",
        // No caBundle: the injector puts its certificates there, and applying this again leaves them.
        clientConfig: {
          service: { name: "conduit-injector", namespace: NAMESPACE, path: "/inject", port: 443 },
        },
        rules: [
          {
            apiGroups: [""],
            apiVersions: ["v1"],
            operations: ["CREATE"],
            resources: ["pods"],
            scope: "Namespaced",
          },
        ],
        // What Kubernetes itself needs to run, and the injector with it, never waits for us.
        namespaceSelector: {
          matchExpressions: [
            {
              key: "kubernetes.io/metadata.name",
              operator: "NotIn",
              values: ["kube-system", "kube-public", "kube-node-lease", NAMESPACE, text(NAMESPACE, "-cni")],
            },
          ],
          matchLabels: when("injector.namespaceLabels", value("injector.namespaceLabels")),
        },
        objectSelector: {
          matchExpressions: [
            { key: componentLabel, operator: "DoesNotExist" },
            { key: "conduit.io/inject", operator: "NotIn", values: ["disabled"] },
          ],
        },
        failurePolicy: value("injector.failurePolicy"),
        matchPolicy: "Equivalent",
        reinvocationPolicy: "IfNeeded",
        sideEffects: "None",
        timeoutSeconds: 10,
        admissionReviewVersions: ["v1"],
      },
    ],
  }
}
