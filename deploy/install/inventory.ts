// What of an installation is in a cluster: its objects, its values with their secrets, and the pods that it meshes.
import { type KubeApi, KubeError } from "../kubernetes/mod.ts"
import {
  ANCHORS_KEY,
  ANCHORS_NAME,
  CONFIG_NAME,
  ISSUER_SECRET,
  PART_OF_LABEL,
  PLANE_LABEL,
} from "./objects.ts"
import { valueAt } from "./template.ts"
import { readValues, type Values } from "./values.ts"

/** An object of an installation, by its name only. */
export interface Installed {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  /** Empty for kinds without namespace. */
  readonly namespace: string
}

/** Kinds that an installation may have objects of, this release's and earlier ones', in the order of their deletion. */
const KINDS: readonly (readonly [apiVersion: string, kind: string, plural: string])[] = [
  ["admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"],
  ["admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"],
  ["apps/v1", "Deployment", "deployments"],
  ["apps/v1", "DaemonSet", "daemonsets"],
  ["batch/v1", "CronJob", "cronjobs"],
  ["policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"],
  ["networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"],
  ["v1", "Service", "services"],
  ["v1", "ConfigMap", "configmaps"],
  ["v1", "Secret", "secrets"],
  ["rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"],
  ["rbac.authorization.k8s.io/v1", "Role", "roles"],
  ["rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings"],
  ["rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles"],
  ["v1", "PersistentVolumeClaim", "persistentvolumeclaims"],
  ["v1", "ServiceAccount", "serviceaccounts"],
  ["v1", "Namespace", "namespaces"],
]
const CRD_KIND = ["apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions"] as const
/** Names and labels are enough; no secret leaves the API server for a list. */
const METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

interface Metadata {
  readonly name: string
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
}

async function listed(
  api: KubeApi,
  apiVersion: string,
  plural: string,
  selector: string,
): Promise<Metadata[]> {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const path = `${base}/${plural}?labelSelector=${encodeURIComponent(selector)}`
  const items = await api.list<{ readonly metadata: Metadata }>(path, METADATA_ONLY)
  return items.map(({ metadata }) => metadata)
}

/** Name of a kind in paths and rights, such as `deployments`; undefined for kinds that no installation has. */
export function resourceNameOf(kind: string): string | undefined {
  return [...KINDS, CRD_KIND].find(([, name]) => name === kind)?.[2]
}

/**
 * The objects of the control plane in a namespace, in the order of their deletion. Definitions are shared: they count only
 * where no other control plane is.
 *
 * @throws KubeError when the API server refuses a list
 */
export async function findInstalled(api: KubeApi, namespace: string): Promise<Installed[]> {
  const found: Installed[] = []
  for (const [apiVersion, kind, plural] of KINDS) {
    const own = await listed(api, apiVersion, plural, `${PART_OF_LABEL}=conduit,${PLANE_LABEL}=${namespace}`)
    for (const one of own) found.push({ apiVersion, kind, name: one.name, namespace: one.namespace ?? "" })
  }
  const planes = await listed(api, "v1", "configmaps", `${PART_OF_LABEL}=conduit`)
  if (planes.some(one => one.name === CONFIG_NAME && one.namespace !== namespace)) return found
  const [apiVersion, kind, plural] = CRD_KIND
  for (const { name } of await listed(api, apiVersion, plural, `${PART_OF_LABEL}=conduit`)) {
    found.push({ apiVersion, kind, name, namespace: "" })
  }
  return found
}

/** Pods that the control plane in a namespace meshes: how many in each namespace. */
export async function findInjected(api: KubeApi, namespace: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const { namespace: where = "" } of await listed(api, "v1", "pods", `${PLANE_LABEL}=${namespace}`)) {
    counts.set(where, (counts.get(where) ?? 0) + 1)
  }
  return counts
}

/** What a running control plane was installed with. */
export interface InstalledConfig {
  /** Release that installed it. */
  readonly version: string
  /** Its values, the issuer's certificate and key among them. */
  readonly values: Values
}

/**
 * What the control plane in a namespace was installed with; null when none is there.
 *
 * @throws KubeError when the API server refuses; Error when what is kept cannot be read
 */
export async function findConfig(api: KubeApi, namespace: string): Promise<InstalledConfig | null> {
  const config = await publicConfig(api, namespace)
  if (config === null) return null
  const external = config.values.identityExternalIssuer === true
  const secret = external ? null : await object(api, namespace, "secrets", ISSUER_SECRET)
  const decoded = (name: string): string => Buffer.from(secret?.data?.[name] ?? "", "base64").toString()
  const issuer = { crtPEM: decoded("tls.crt"), keyPEM: decoded("tls.key") }
  return { ...config, values: { ...config.values, identity: { issuer } } }
}

/** What proxies are told of the control plane that they belong to. */
export interface InstalledMesh {
  /** PEM; empty for a mesh without identities. */
  readonly trustAnchors: string
  readonly trustDomain: string
  readonly clusterDomain: string
  /** Its CNI plugin redirects pods. */
  readonly cni: boolean
  readonly images: { readonly registry: string; readonly tag: string; readonly pullPolicy: string }
}

/**
 * What proxies need to know of the control plane in a namespace; null when none is there. Reads no secret.
 *
 * @throws KubeError when the API server refuses; Error when what is kept cannot be read
 */
export async function findMesh(api: Pick<KubeApi, "call">, namespace: string): Promise<InstalledMesh | null> {
  const config = await publicConfig(api, namespace)
  if (config === null) return null
  const defaults = readValues([])
  // What an earlier release did not keep is as it is by default.
  const word = (path: string): string => {
    const own = path
      .split(".")
      .reduce<unknown>((at, name) => (at as Values | undefined)?.[name], config.values)
    return String(own ?? valueAt(path, defaults))
  }
  return {
    trustAnchors: word("identityTrustAnchorsPEM"),
    trustDomain: word("identityTrustDomain"),
    clusterDomain: word("clusterDomain"),
    cni: word("cni.enabled") === "true",
    images: {
      registry: word("image.registry"),
      tag: word("image.version") || config.version,
      pullPolicy: word("image.pullPolicy"),
    },
  }
}

/** What everybody may know of an installation. */
async function publicConfig(api: Pick<KubeApi, "call">, namespace: string): Promise<InstalledConfig | null> {
  const config = await object(api, namespace, "configmaps", CONFIG_NAME)
  if (config === null) return null
  const { version = "", "values.json": text = "{}" } = config.data ?? {}
  let values: Values
  try {
    values = JSON.parse(text) as Values
  } catch {
    throw new Error(`ConfigMap ${namespace}/${CONFIG_NAME} holds no values: values.json is not JSON`)
  }
  const anchors = await object(api, namespace, "configmaps", ANCHORS_NAME)
  return { version, values: { ...values, identityTrustAnchorsPEM: anchors?.data?.[ANCHORS_KEY] ?? "" } }
}

async function object(
  api: Pick<KubeApi, "call">,
  namespace: string,
  plural: string,
  name: string,
): Promise<{ readonly data?: Readonly<Record<string, string>> } | null> {
  try {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/${plural}/${name}`
    return (await api.call({ path })) as { data?: Record<string, string> }
  } catch (error) {
    if (error instanceof KubeError && error.status === 404) return null
    throw error
  }
}
