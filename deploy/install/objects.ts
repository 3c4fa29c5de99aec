// The control plane as Kubernetes objects, described once: `conduit install` fills in values, the Helm chart has the
// same holes as templates.
import { apiAccess, dashboardRights, HEADER_TAPPER, TAPPER } from "./api_access.ts"
import { cniTrees } from "./cni.ts"
import { crds } from "./crds.ts"
import { INJECTOR_ENV, injectorMounts, type Mount, webhookTree } from "./injector.ts"
import { printTree } from "./print.ts"
import { clusterRights, ROLES, type Role } from "./rights.ts"
import {
  base64,
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
/** Its key; the value is a PEM bundle. */
export const ANCHORS_KEY = "ca-bundle.crt"
/** User id of the control plane's processes. */
export const CONTROL_UID = 2103

/** Label of the control plane's pods that says which service they are, such as `api`. */
export const COMPONENT_LABEL = "conduit.io/control-plane-component"
const ADMIN_PORT = 9990

/** A service of the control plane. */
interface Component {
  readonly name: string
  readonly port: number
  /** What it may do in the Kubernetes API; empty for one that has nothing to do with it. */
  readonly roles: readonly Role[]
  /** Several may run side by side. The windows of telemetry live in one process. */
  readonly several: boolean
  /** Its image; default `control`. */
  readonly image?: string
  /** It runs only where this value is set. */
  readonly onlyIf?: string
  /** Port of its Service; default `port`. */
  readonly servicePort?: number
  /** Environment and mounts in the place of those of a member of the mesh. */
  readonly env?: readonly Tree[]
  readonly mounts?: readonly Mount[]
}

/** Services of the control plane; one Deployment and one Service each. */
export const COMPONENTS: readonly Component[] = [
  { name: "identity", port: 8080, roles: ["reviewer", "plugins"], several: true },
  { name: "destination", port: 8086, roles: ["reader", "route-conditions"], several: true },
  { name: "policy", port: 8090, roles: ["reader", "conditions"], several: true },
  { name: "telemetry", port: 8087, roles: [], several: false },
  { name: "tap", port: 8088, roles: ["reader"], several: true },
  { name: "api", port: 8085, roles: ["reader", "plugin-conditions"], several: true },
  {
    name: "injector",
    port: 8443,
    servicePort: 443,
    roles: ["injector", "plugins"],
    several: true,
    onlyIf: "injector.enabled",
    env: INJECTOR_ENV,
    mounts: injectorMounts(ANCHORS_NAME),
  },
  { name: "web", port: 8084, image: "web", roles: [], several: true, onlyIf: "web.enabled" },
]

const LABELS = { [PART_OF_LABEL]: "conduit", [PLANE_LABEL]: NAMESPACE }

function namespaced(apiVersion: string, kind: string, name: string, rest: { [field: string]: Tree }): Tree {
  return { apiVersion, kind, metadata: { name, namespace: NAMESPACE, labels: LABELS }, ...rest }
}

/** Every object but CRDs, in the order in which they are applied. */
export function objectTrees(): Tree[] {
  return [
    when("installNamespace", namespaceTree()),
    ...COMPONENTS.map(({ name, roles, onlyIf }) =>
      only(
        onlyIf,
        namespaced("v1", "ServiceAccount", `conduit-${name}`, {
          automountServiceAccountToken: roles.length > 0,
        }),
      ),
    ),
    ...(Object.keys(ROLES) as Role[]).flatMap(role => {
      const holders = COMPONENTS.filter(({ roles }) => roles.includes(role))
      const accounts = holders.map(({ name }) => `conduit-${name}`)
      // A role of several holders is of those that always run.
      return clusterRights(role, ROLES[role], accounts, LABELS).map(tree => only(holders[0]?.onlyIf, tree))
    }),
    namespaced("v1", "ConfigMap", ANCHORS_NAME, {
      data: { [ANCHORS_KEY]: value("identityTrustAnchorsPEM") },
    }),
    when(
      "identity.issuer.keyPEM",
      namespaced("v1", "Secret", ISSUER_SECRET, {
        type: "kubernetes.io/tls",
        data: { "tls.crt": base64("identity.issuer.crtPEM"), "tls.key": base64("identity.issuer.keyPEM") },
      }),
    ),
    when("telemetry.persistence.enabled", historyClaim()),
    ...[TAPPER, HEADER_TAPPER].map(name =>
      namespaced("v1", "ServiceAccount", name, { automountServiceAccountToken: false }),
    ),
    ...apiAccess([ANCHORS_NAME, CONFIG_NAME], LABELS),
    ...dashboardRights(LABELS).map(tree => when("web.enabled", tree)),
    ...COMPONENTS.flatMap(component => componentTrees(component).map(tree => only(component.onlyIf, tree))),
    only("injector.enabled", webhookTree(LABELS, COMPONENT_LABEL)),
    ...COMPONENTS.filter(({ several }) => several).map(({ name, onlyIf }) =>
      only(onlyIf, when("ha", budgetTree(name))),
    ),
    when("networkPolicies", networkPolicyTree()),
    ...cniTrees(LABELS).map(tree => when("cni.enabled", tree)),
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
  const { name, port, servicePort = port, roles, several, mounts = membership(name) } = component
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
            automountServiceAccountToken: roles.length > 0,
            // Else a Service called conduit-identity would set CONDUIT_IDENTITY_PORT, which is a setting of ours.
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
              // The issuer's key is readable for this group, and for nobody else.
              fsGroup: CONTROL_UID,
              seccompProfile: { type: "RuntimeDefault" },
            },
            containers: [containerTree(component)],
            volumes: mounts.map(({ volume, whereSet }) =>
              whereSet === undefined ? volume : when(whereSet.value, whereSet.volume, volume),
            ),
          },
        },
      },
    },
  ]
}

const TOKEN_FOLDER = "/var/run/secrets/conduit.io/identity"
const ANCHORS_FOLDER = "/var/run/conduit/trust-roots"
const HISTORY_FOLDER = "/var/lib/conduit/telemetry"
const HISTORY_CLAIM = "conduit-telemetry-history"
const ISSUER_FOLDER = "/var/run/conduit/issuer"
/** Life of a token that proves a component; kubelet renews it at 80 %. */
const TOKEN_SECONDS = 86_400

/** What a component is mounted: what makes it a member of the mesh, and to identity alone what it signs with. */
function membership(component: string): Mount[] {
  const serviceAccountToken = {
    audience: "identity.conduit.io",
    expirationSeconds: TOKEN_SECONDS,
    path: "token",
  }
  const mounts = [
    {
      path: TOKEN_FOLDER,
      volume: { name: "identity-token", projected: { sources: [{ serviceAccountToken }] } },
    },
    { path: ANCHORS_FOLDER, volume: { name: "trust-roots", configMap: { name: ANCHORS_NAME } } },
  ]
  if (component === "telemetry") return [...mounts, historyMount()]
  if (component !== "identity") return mounts
  const secret = { secretName: ISSUER_SECRET, defaultMode: 0o440 }
  return [...mounts, { path: ISSUER_FOLDER, volume: { name: "issuer", secret } }]
}

/** Where telemetry keeps a day of figures: as long as its pod lives, or longer where a claim is asked for. */
function historyMount(): Mount {
  const name = "history"
  const persistentVolumeClaim = { claimName: HISTORY_CLAIM }
  return {
    path: HISTORY_FOLDER,
    // The file is bounded at half of it; SQLite's log comes on top.
    volume: { name, emptyDir: { sizeLimit: "1Gi" } },
    whereSet: { value: "telemetry.persistence.enabled", volume: { name, persistentVolumeClaim } },
    writable: true,
  }
}

/** The claim of telemetry's history. */
function historyClaim(): Tree {
  return namespaced("v1", "PersistentVolumeClaim", HISTORY_CLAIM, {
    spec: {
      accessModes: ["ReadWriteOnce"],
      storageClassName: when(
        "telemetry.persistence.storageClass",
        value("telemetry.persistence.storageClass"),
      ),
      resources: { requests: { storage: value("telemetry.persistence.size") } },
    },
  })
}

/** How a component takes part in the mesh, and what identity signs. */
function identityEnv(component: string): Tree[] {
  const env: Tree[] = [
    { name: "CONDUIT_TRUST_ANCHORS_FILE", value: `${ANCHORS_FOLDER}/${ANCHORS_KEY}` },
    { name: "CONDUIT_TOKEN_FILE", value: `${TOKEN_FOLDER}/token` },
    { name: "CONDUIT_REQUIRE_TLS", value: "true" },
  ]
  const api = component === "web" ? [{ name: "CONDUIT_API_ADDR", value: addressOf("api") }] : []
  if (component === "telemetry") {
    env.push(
      { name: "CONDUIT_TELEMETRY_FOLDER", value: HISTORY_FOLDER },
      // An API server keeps no empty value: what is applied would differ from what is there for ever.
      when("telemetry.prometheusUrl", {
        name: "CONDUIT_PROMETHEUS_URL",
        value: value("telemetry.prometheusUrl"),
      }),
    )
  }
  if (component !== "identity")
    return [...env, { name: "CONDUIT_IDENTITY_ADDR", value: addressOf("identity") }, ...api]
  return [
    ...env,
    { name: "CONDUIT_IDENTITY_ISSUER_DIR", value: ISSUER_FOLDER },
    { name: "CONDUIT_IDENTITY_ISSUANCE_LIFETIME", value: value("identityIssuanceLifetime") },
    { name: "CONDUIT_IDENTITY_CLOCK_SKEW_ALLOWANCE", value: value("identityClockSkewAllowance") },
  ]
}

/** `host:port` of a component's Service. */
function addressOf(component: string): Tree {
  const port = COMPONENTS.find(({ name }) => name === component)?.port
  return text(`conduit-${component}.`, NAMESPACE, ".svc.", value("clusterDomain"), `:${port}`)
}

function containerTree(component: Component): Tree {
  const {
    name,
    port,
    roles,
    image = "control",
    env = identityEnv(name),
    mounts = membership(name),
  } = component
  const probe = (path: string): { [field: string]: Tree } => ({
    httpGet: { path, port: ADMIN_PORT, scheme: "HTTP" },
  })
  return {
    name,
    image: when(
      "image.version",
      text(value("image.registry"), `/${image}:`, value("image.version")),
      text(value("image.registry"), `/${image}:`, VERSION),
    ),
    imagePullPolicy: value("image.pullPolicy"),
    args: roles.length > 0 ? [name, "--kubernetes"] : [name],
    env: [
      { name: "CONDUIT_NAMESPACE", value: NAMESPACE },
      { name: "CONDUIT_LOG_FORMAT", value: value("logFormat") },
      { name: "CONDUIT_TRUST_DOMAIN", value: value("identityTrustDomain") },
      { name: "CONDUIT_DEFAULT_INBOUND_POLICY", value: value("policy.defaultInboundPolicy") },
      { name: "CONDUIT_CLUSTER_NETWORKS", value: value("policy.clusterNetworks") },
      { name: "CONDUIT_TELEMETRY_ADDR", value: addressOf("telemetry") },
      { name: "CONDUIT_TAP_ADDR", value: addressOf("tap") },
      ...env,
    ],
    volumeMounts: mounts.map(({ path, volume, writable = false }) => ({
      name: volume.name ?? "",
      mountPath: path,
      // An API server keeps no `false` here: applied again, it would differ.
      ...(writable ? {} : { readOnly: true }),
    })),
    ports: [
      { name: "api", containerPort: port, protocol: "TCP" },
      { name: "admin", containerPort: ADMIN_PORT, protocol: "TCP" },
    ],
    readinessProbe: { ...probe("/ready"), periodSeconds: 5, timeoutSeconds: 5 },
    livenessProbe: { ...probe("/live"), initialDelaySeconds: 10, periodSeconds: 10, timeoutSeconds: 5 },
    resources: value("resources"),
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
