// The control plane as Kubernetes objects, described once: `conduit install` fills in values, the Helm chart has the
// same holes as templates.
import { crds } from "./crds.ts"
import { INJECTOR_ENV, INJECTOR_MOUNTS, injectorTrees, injectorVolumes } from "./injector.ts"
import { printTree } from "./print.ts"
import { clusterRights, READER_RULES } from "./rights.ts"
import {
  CONFIG,
  type Filling,
  fill,
  type InstallObject,
  NAMESPACE,
  type Tree,
  text,
  VERSION,
  value,
  when,
} from "./template.ts"

/** Label that every object of the control plane bears, with the value `conduit`. */
export const PART_OF_LABEL = "app.kubernetes.io/part-of"
/** Label that says which control plane an object belongs to: its namespace. */
export const PLANE_LABEL = "conduit.io/control-plane-ns"
/** ConfigMap that keeps the values of the installation, for upgrades. */
export const CONFIG_NAME = "conduit-config"
/** Secret with the issuer's certificate and key. */
export const ISSUER_SECRET = "conduit-identity-issuer"
/** ConfigMap with the trust anchors. */
export const ANCHORS_NAME = "conduit-identity-trust-roots"
/** User id of the control plane's processes. */
export const CONTROL_UID = 2103

const COMPONENT_LABEL = "conduit.io/control-plane-component"
const ADMIN_PORT = 9990

/** A service of the control plane. */
interface Component {
  readonly name: string
  readonly port: number
  /** It reads the cluster's objects. */
  readonly cluster: boolean
  /** Several may run side by side. The windows of telemetry live in one process. */
  readonly several: boolean
  /** It runs only where this value is set. */
  readonly onlyIf?: string
  /** It has no rights of a reader of the cluster, but its own. */
  readonly ownRights?: boolean
  /** Port of its Service; default `port`. */
  readonly servicePort?: number
  readonly env?: readonly Tree[]
  readonly volumes?: readonly Tree[]
  readonly mounts?: readonly Tree[]
}

/** Services of the control plane; one Deployment and one Service each. */
export const COMPONENTS: readonly Component[] = [
  { name: "destination", port: 8086, cluster: true, several: true },
  { name: "policy", port: 8090, cluster: true, several: true },
  { name: "telemetry", port: 8087, cluster: false, several: false },
  { name: "api", port: 8085, cluster: true, several: true },
  {
    name: "injector",
    port: 8443,
    servicePort: 443,
    cluster: true,
    several: true,
    onlyIf: "injector.enabled",
    ownRights: true,
    env: INJECTOR_ENV,
    volumes: injectorVolumes(ANCHORS_NAME),
    mounts: INJECTOR_MOUNTS,
  },
]

const LABELS = { [PART_OF_LABEL]: "conduit", [PLANE_LABEL]: NAMESPACE }

function namespaced(apiVersion: string, kind: string, name: string, rest: { [field: string]: Tree }): Tree {
  return { apiVersion, kind, metadata: { name, namespace: NAMESPACE, labels: LABELS }, ...rest }
}

/** Every object but CRDs, in the order in which they are applied. */
export function objectTrees(): Tree[] {
  const readers = COMPONENTS.filter(({ cluster, ownRights }) => cluster && ownRights !== true).map(
    ({ name }) => `conduit-${name}`,
  )
  return [
    when("installNamespace", namespaceTree()),
    ...COMPONENTS.map(({ name, cluster, onlyIf }) =>
      only(
        onlyIf,
        namespaced("v1", "ServiceAccount", `conduit-${name}`, { automountServiceAccountToken: cluster }),
      ),
    ),
    ...clusterRights("reader", READER_RULES, readers, LABELS),
    when(
      "identityTrustAnchorsPEM",
      namespaced("v1", "ConfigMap", ANCHORS_NAME, {
        data: { "ca-bundle.crt": value("identityTrustAnchorsPEM") },
      }),
    ),
    when(
      "identity.issuer.keyPEM",
      namespaced("v1", "Secret", ISSUER_SECRET, {
        type: "kubernetes.io/tls",
        stringData: {
          "tls.crt": value("identity.issuer.crtPEM"),
          "tls.key": value("identity.issuer.keyPEM"),
        },
      }),
    ),
    ...COMPONENTS.flatMap(component => componentTrees(component).map(tree => only(component.onlyIf, tree))),
    ...injectorTrees(LABELS, COMPONENT_LABEL).map(tree => only("injector.enabled", tree)),
    ...COMPONENTS.filter(({ several }) => several).map(({ name, onlyIf }) =>
      only(onlyIf, when("ha", budgetTree(name))),
    ),
    when("networkPolicies", networkPolicyTree()),
    namespaced("v1", "ConfigMap", CONFIG_NAME, { data: { version: VERSION, "values.json": CONFIG } }),
  ]
}

function only(path: string | undefined, tree: Tree): Tree {
  return path === undefined ? tree : when(path, tree)
}

function namespaceTree(): Tree {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name: NAMESPACE,
      labels: {
        ...LABELS,
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
      },
      annotations: { "conduit.io/inject": "disabled" },
    },
  }
}

function componentTrees(component: Component): Tree[] {
  const { name, port, servicePort = port, cluster, several, volumes } = component
  const full = `conduit-${name}`
  const own = { [COMPONENT_LABEL]: name }
  const labels = { ...LABELS, ...own }
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: full, namespace: NAMESPACE, labels },
      spec: {
        selector: own,
        ports: [
          { name: "api", port: servicePort, targetPort: port, protocol: "TCP" },
          { name: "admin", port: ADMIN_PORT, targetPort: ADMIN_PORT, protocol: "TCP" },
        ],
      },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: full, namespace: NAMESPACE, labels },
      spec: {
        replicas: several ? when("ha", 3, 1) : 1,
        // Two telemetries side by side would each hold half of the figures.
        strategy: several
          ? { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
          : { type: "Recreate" },
        selector: { matchLabels: own },
        template: {
          metadata: {
            labels: { [PART_OF_LABEL]: "conduit", ...own },
            annotations: when("podAnnotations", value("podAnnotations")),
          },
          spec: {
            serviceAccountName: full,
            automountServiceAccountToken: cluster,
            // Kubernetes would set CONDUIT_DESTINATION_PORT and the like to addresses; those are our settings' names.
            enableServiceLinks: false,
            terminationGracePeriodSeconds: 15,
            priorityClassName: when("priorityClassName", value("priorityClassName")),
            nodeSelector: when("nodeSelector", value("nodeSelector")),
            tolerations: when("tolerations", value("tolerations")),
            imagePullSecrets: when("imagePullSecrets", value("imagePullSecrets")),
            affinity: when("ha", apart(own)),
            securityContext: {
              runAsNonRoot: true,
              runAsUser: CONTROL_UID,
              runAsGroup: CONTROL_UID,
              seccompProfile: { type: "RuntimeDefault" },
            },
            containers: [containerTree(component)],
            ...(volumes === undefined ? {} : { volumes }),
          },
        },
      },
    },
  ]
}

function containerTree({ name, port, cluster, env = [], mounts }: Component): Tree {
  const probe = (path: string): { [field: string]: Tree } => ({
    httpGet: { path, port: ADMIN_PORT, scheme: "HTTP" },
  })
  return {
    name,
    image: when(
      "image.version",
      text(value("image.registry"), "/control:", value("image.version")),
      text(value("image.registry"), "/control:", VERSION),
    ),
    imagePullPolicy: value("image.pullPolicy"),
    args: cluster ? [name, "--kubernetes"] : [name],
    env: [
      { name: "CONDUIT_NAMESPACE", value: NAMESPACE },
      { name: "CONDUIT_LOG_FORMAT", value: value("logFormat") },
      { name: "CONDUIT_TRUST_DOMAIN", value: value("identityTrustDomain") },
      { name: "CONDUIT_DEFAULT_INBOUND_POLICY", value: value("policy.defaultInboundPolicy") },
      { name: "CONDUIT_CLUSTER_NETWORKS", value: value("policy.clusterNetworks") },
      {
        name: "CONDUIT_TELEMETRY_ADDR",
        value: text("conduit-telemetry.", NAMESPACE, ".svc.", value("clusterDomain"), ":8087"),
      },
      ...env,
    ],
    ports: [
      { name: "api", containerPort: port, protocol: "TCP" },
      { name: "admin", containerPort: ADMIN_PORT, protocol: "TCP" },
    ],
    readinessProbe: { ...probe("/ready"), periodSeconds: 5, timeoutSeconds: 5 },
    livenessProbe: { ...probe("/live"), initialDelaySeconds: 10, periodSeconds: 10, timeoutSeconds: 5 },
    resources: value("resources"),
    ...(mounts === undefined ? {} : { volumeMounts: mounts }),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
  }
}

/** Preferred, not required: on one node all of them still run. */
function apart(own: { [label: string]: string }): Tree {
  const podAffinityTerm = (topologyKey: string): Tree => ({
    labelSelector: { matchLabels: own },
    topologyKey,
  })
  return {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 100, podAffinityTerm: podAffinityTerm("kubernetes.io/hostname") },
        { weight: 50, podAffinityTerm: podAffinityTerm("topology.kubernetes.io/zone") },
      ],
    },
  }
}

function budgetTree(name: string): Tree {
  return namespaced("policy/v1", "PodDisruptionBudget", `conduit-${name}`, {
    spec: { maxUnavailable: 1, selector: { matchLabels: { [COMPONENT_LABEL]: name } } },
  })
}

function networkPolicyTree(): Tree {
  return namespaced("networking.k8s.io/v1", "NetworkPolicy", "conduit-control-plane", {
    spec: {
      podSelector: { matchLabels: { [PART_OF_LABEL]: "conduit" } },
      policyTypes: ["Ingress"],
      ingress: [
        {
          ports: [...COMPONENTS.map(({ port }) => port), ADMIN_PORT].map(port => ({ port, protocol: "TCP" })),
        },
      ],
    },
  })
}

/** All of it as one YAML stream. */
export function installYaml(filling: Filling, part: Part = "all"): string {
  return partTrees(part)
    .map(tree => printTree(tree, { as: "yaml", filling }))
    .filter(text => text !== "")
    .map(text => `---\n${text}`)
    .join("")
}

/** What is printed: everything, CRDs alone (they must be there before policies are applied), or everything but them. */
export type Part = "all" | "crds" | "without-crds"

/** Everything that is printed, in the order in which it is applied: the namespace, definitions, then the rest. */
export function partTrees(part: Part): Tree[] {
  if (part === "crds") return crds() as unknown as Tree[]
  const [namespace, ...rest] = objectTrees()
  const definitions = part === "without-crds" ? [] : (crds() as unknown as Tree[])
  return [namespace ?? [], ...definitions, ...rest]
}

/** The objects with their values. */
export function installObjects(filling: Filling, part: Part = "all"): InstallObject[] {
  return partTrees(part)
    .map(tree => fill(tree, filling))
    .filter((object): object is InstallObject => object !== undefined)
}
