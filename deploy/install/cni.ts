// The CNI plugin's installer as Kubernetes objects: a DaemonSet in a namespace of its own, since it writes to its nodes
// and so cannot meet the restricted standard that the control plane's namespace enforces.
import { clusterRights } from "./rights.ts"
import { commented, NAMESPACE, type Tree, text, VERSION, value, when } from "./template.ts"

/** Name of the DaemonSet and of its service account. */
export const CNI_NAME = "conduit-cni"
/** Loopback port of the node with `/live` and `/ready`. */
export const CNI_ADMIN_PORT = 4196

const CNI_NAMESPACE = text(NAMESPACE, "-cni")

/** What the plugin and its installer may do; nothing of it writes. */
const CNI_RULES: readonly Tree[] = [
  commented("The plugin: is the pod that starts here meshed, and how is it redirected?", {
    apiGroups: [""],
    resources: ["pods"],
    verbs: ["get"],
  }),
  commented("The installer: which meshed pods of its node started before the plugin?", {
    apiGroups: [""],
    resources: ["pods"],
    verbs: ["list", "watch"],
  }),
]

/** Every object of the installer. @param labels  those that all of an installation bears */
export function cniTrees(labels: { readonly [name: string]: Tree }): Tree[] {
  const metadata = { name: CNI_NAME, namespace: CNI_NAMESPACE, labels }
  return [
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: {
        name: CNI_NAMESPACE,
        labels: { ...labels, "pod-security.kubernetes.io/enforce": "privileged" },
        annotations: { "conduit.io/inject": "disabled" },
      },
    },
    { apiVersion: "v1", kind: "ServiceAccount", metadata, automountServiceAccountToken: true },
    ...clusterRights("cni", CNI_RULES, [CNI_NAME], labels, CNI_NAMESPACE),
    { apiVersion: "apps/v1", kind: "DaemonSet", metadata, spec: daemonSpec(labels) },
  ]
}

function daemonSpec(labels: { readonly [name: string]: Tree }): Tree {
  const own = { "app.kubernetes.io/name": CNI_NAME }
  const hostPath = (name: string, path: Tree): Tree => ({
    name,
    hostPath: { path, type: "DirectoryOrCreate" },
  })
  return {
    selector: { matchLabels: own },
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 } },
    template: {
      metadata: {
        labels: { "app.kubernetes.io/part-of": labels["app.kubernetes.io/part-of"] ?? "conduit", ...own },
      },
      spec: {
        serviceAccountName: CNI_NAME,
        automountServiceAccountToken: true,
        // It is there before pods have a network, and nothing may come before it or push it off the node.
        hostNetwork: true,
        priorityClassName: "system-node-critical",
        tolerations: [{ operator: "Exists" }],
        nodeSelector: { "kubernetes.io/os": "linux" },
        // It takes the plugin off the node when it ends.
        terminationGracePeriodSeconds: 30,
        imagePullSecrets: when("imagePullSecrets", value("imagePullSecrets")),
        containers: [containerTree()],
        volumes: [
          hostPath("conf", value("cni.confDir")),
          hostPath("bin", value("cni.binDir")),
          hostPath("netns", value("cni.netnsDir")),
        ],
      },
    },
  }
}

function containerTree(): Tree {
  const probe = (path: string): { [field: string]: Tree } => ({
    httpGet: { path, port: CNI_ADMIN_PORT, host: "127.0.0.1", scheme: "HTTP" },
    timeoutSeconds: 5,
  })
  return {
    name: "installer",
    image: when(
      "image.version",
      text(value("image.registry"), "/cni:", value("image.version")),
      text(value("image.registry"), "/cni:", VERSION),
    ),
    imagePullPolicy: value("image.pullPolicy"),
    env: [
      { name: "CONDUIT_NODE", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "spec.nodeName" } } },
      { name: "CONDUIT_CNI_CONF_DIR", value: value("cni.confDir") },
      {
        name: "CONDUIT_CNI_EXCLUDE_NAMESPACES",
        value: text("kube-system,", NAMESPACE, ",", NAMESPACE, "-cni"),
      },
      { name: "CONDUIT_ADMIN_PORT", value: String(CNI_ADMIN_PORT) },
    ],
    readinessProbe: { ...probe("/ready"), periodSeconds: 2 },
    livenessProbe: { ...probe("/live"), initialDelaySeconds: 10, periodSeconds: 10 },
    resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { memory: "512Mi" } },
    securityContext: {
      runAsNonRoot: false,
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: {
        drop: ["ALL"],
        add: [
          commented("Folders of the node may be another user's.", "DAC_OVERRIDE"),
          commented("iptables, in the network of a pod that is repaired.", "NET_ADMIN"),
          commented("iptables, likewise.", "NET_RAW"),
          commented("To enter that network, setns(2).", "SYS_ADMIN"),
        ],
      },
      seccompProfile: { type: "RuntimeDefault" },
    },
    volumeMounts: [
      { name: "conf", mountPath: "/host/conf" },
      { name: "bin", mountPath: "/host/bin" },
      commented("Networks of pods that come later are seen too.", {
        name: "netns",
        mountPath: "/host/netns",
        mountPropagation: "HostToContainer",
      }),
    ],
  }
}
