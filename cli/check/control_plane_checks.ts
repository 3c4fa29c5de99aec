// Checks of the control plane after its installation: its objects, its pods, its webhook.
import { pemCertificates } from "../../deploy/identity/mod.ts"
import {
  CONFIG_NAME,
  crds,
  findInstalled,
  type InstalledConfig,
  installObjects,
  PART_OF_LABEL,
  PLANE_LABEL,
  readValues,
  type Values,
  ValuesError,
} from "../../deploy/install/mod.ts"
import { count, type Finding, failure, lines, notYet, warning, well } from "./check.ts"
import { type ClusterWorld, type Condition, type Metadata, selector } from "./cluster_world.ts"
import type { PodFacts, World } from "./world.ts"

/** The control plane's namespace is there. */
export async function namespaceThere(world: ClusterWorld): Promise<Finding> {
  const name = world.planeNamespace
  const found = await world.get<{ metadata: Metadata }>(`/api/v1/namespaces/${encodeURIComponent(name)}`)
  if (found === null) {
    return failure(
      `there is no namespace "${name}"`,
      "conduit install | kubectl apply --server-side -f - installs a control plane; -c names the namespace of another",
    )
  }
  if (found.metadata.deletionTimestamp !== undefined)
    return notYet(`namespace "${name}" is being deleted`, "wait until it is gone, then install again")
  return well(name)
}

/** The settings of the installation can be read. */
export async function settingsReadable(world: ClusterWorld): Promise<Finding> {
  const config = await world.settings()
  const where = `ConfigMap ${world.planeNamespace}/${CONFIG_NAME}`
  if (config === null) {
    return failure(
      `there is no ${where}: no control plane is installed in that namespace`,
      "conduit install | kubectl apply --server-side -f - installs one; -c names the namespace of another",
    )
  }
  try {
    readValues([{ values: config.values, from: where }])
  } catch (error) {
    if (!(error instanceof ValuesError)) throw error
    return failure(
      error.message,
      `use the conduit that installed it (${config.version}), or correct the object`,
    )
  }
  return well(where)
}

/** Every object of the installation is there. */
export async function objectsThere(world: ClusterWorld): Promise<Finding> {
  const config = await world.settings()
  const kube = await world.kube()
  if (config === null) return failure("nothing is installed", "install it first")
  if (config.version !== world.version)
    return well(`not compared: it is version ${config.version}, and this conduit ${world.version}`)
  const { planeNamespace: namespace, version } = world
  const values = await wholeValues(world, config)
  const found = new Set(
    (await findInstalled(kube, namespace)).map(one => `${one.kind} ${one.namespace}/${one.name}`),
  )
  const missing = installObjects({ namespace, version, values }, "without-crds")
    .map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`)
    .filter(name => !found.has(name))
    .map(name => name.replace(" /", " "))
  if (missing.length === 0) return well(count(found.size, "object"))
  return failure(
    `missing:\n${lines(missing)}`,
    "conduit upgrade | kubectl apply --server-side -f - puts them back",
  )
}

/**
 * The values with what identity rests on, which decides what is installed. Where that cannot be read, or is not whole,
 * without it: whether it is well is another check.
 */
async function wholeValues(world: ClusterWorld, { values }: InstalledConfig): Promise<Values> {
  try {
    const { anchors, issuer, issuerKey } = await world.authority()
    const identity = { issuer: { crtPEM: issuer, keyPEM: issuerKey ?? "" } }
    const whole = { ...(values as object), identityTrustAnchorsPEM: anchors, identity }
    return readValues([{ values: whole, from: CONFIG_NAME }])
  } catch {
    return readValues([{ values, from: CONFIG_NAME }])
  }
}

/** The API server serves our custom resources. */
export async function crdsServed(world: ClusterWorld): Promise<Finding> {
  const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
  const missing: string[] = []
  const starting: string[] = []
  for (const { metadata, spec } of crds() as unknown as {
    metadata: Metadata
    spec: { versions: { name: string }[] }
  }[]) {
    const found = await world.get<{
      spec?: { versions?: { name: string; served?: boolean }[] }
      status?: { conditions?: Condition[] }
    }>(`${definitions}/${metadata.name}`)
    const served = found?.spec?.versions?.filter(version => version.served).map(({ name }) => name) ?? []
    const lacking = spec.versions.map(({ name }) => name).filter(name => !served.includes(name))
    if (found === null) missing.push(metadata.name)
    else if (lacking.length > 0) missing.push(`${metadata.name} in version ${lacking.join(", ")}`)
    const conditions = found?.status?.conditions ?? []
    if (found !== null && !conditions.some(({ type, status }) => type === "Established" && status === "True"))
      starting.push(metadata.name)
  }
  const todo = "conduit install --crds | kubectl apply --server-side -f - adds them"
  if (missing.length > 0) return failure(`not served: ${missing.join(", ")}`, todo)
  if (starting.length > 0) return notYet(`not served yet: ${starting.join(", ")}`, todo)
  return well(count(crds().length, "definition"))
}

/** Every Deployment of the control plane has its pods ready. */
export async function deploymentsReady(world: ClusterWorld): Promise<Finding> {
  const deployments = await world.deployments()
  if (deployments.length === 0)
    return failure(
      "it has no Deployment",
      "conduit upgrade | kubectl apply --server-side -f - puts them back",
    )
  const pods = (await world.controlPods()).filter(({ over }) => !over)
  const lacking = deployments.flatMap(({ metadata, spec, status }) => {
    const wanted = spec?.replicas ?? 1
    const ready = status?.availableReplicas ?? 0
    if (ready >= wanted) return []
    const own = pods.filter(pod => pod.name.startsWith(`${metadata.name}-`) && !pod.ready)
    const refusal = status?.conditions?.find(
      ({ type, status: is }) => type === "ReplicaFailure" && is === "True",
    )
    const why = own.length > 0 ? own.map(told).join("; ") : (refusal?.message ?? "no pod of it yet")
    return [`${metadata.name}: ${ready} of ${wanted} ready (${why})`]
  })
  if (lacking.length === 0) return well(count(deployments.length, "Deployment"))
  const namespace = world.planeNamespace
  return notYet(
    lines(lacking),
    `kubectl get pods -n ${namespace}; kubectl describe and kubectl logs of such a pod say more`,
  )
}

/** Every pod of a local control plane is ready. */
export async function podsReady(world: World): Promise<Finding> {
  const pods = (await world.controlPods()).filter(({ over }) => !over)
  const lacking = pods.filter(({ ready }) => !ready).map(told)
  if (pods.length === 0) return notYet("it has no pod", "conduit dev ps shows what runs")
  if (lacking.length === 0) return well(count(pods.length, "pod"))
  return notYet(lines(lacking), "conduit dev logs POD says more")
}

/** The control plane was installed by this version of conduit. */
export async function versionInstalled(world: ClusterWorld): Promise<Finding> {
  const config = await world.settings()
  if (config?.version === world.version) return well(world.version)
  return warning(
    `the control plane was installed as ${config?.version || "an unknown version"}, and this conduit is ${world.version}`,
    "conduit upgrade | kubectl apply --server-side -f - makes them one, or use the conduit of that version",
  )
}

/** The webhook's CA bundle holds, and somebody answers it. */
export async function webhookServed(world: ClusterWorld): Promise<Finding> {
  const label = `${selector(PART_OF_LABEL, "conduit")}${encodeURIComponent(`,${PLANE_LABEL}=${world.planeNamespace}`)}`
  const configurations = await world.list<{
    metadata: Metadata
    webhooks?: {
      name: string
      clientConfig?: { caBundle?: string; service?: { namespace: string; name: string } }
    }[]
  }>(`/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?${label}`)
  if (configurations.length === 0)
    return well("none is installed: conduit inject puts proxies into manifests")
  const wrong: string[] = []
  for (const { name, clientConfig } of configurations.flatMap(({ webhooks = [] }) => webhooks)) {
    const complaint = bundleComplaint(clientConfig?.caBundle ?? "", world.nowMs())
    if (complaint !== "") wrong.push(`${name}: ${complaint}`)
    const service = clientConfig?.service
    if (service === undefined) continue
    const slices = await world.list<{ endpoints?: { conditions?: { ready?: boolean } }[] | null }>(
      `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(service.namespace)}/endpointslices?${selector("kubernetes.io/service-name", service.name)}`,
    )
    const ready = slices.some(({ endpoints }) =>
      endpoints?.some(({ conditions }) => conditions?.ready !== false),
    )
    if (!ready)
      wrong.push(`${name}: Service ${service.namespace}/${service.name} has no endpoint that is ready`)
  }
  if (wrong.length === 0) return well(count(configurations.length, "configuration"))
  return notYet(
    lines(wrong),
    "pods are created without proxy, or not at all, until this is well; kubectl logs of the injector says what keeps it",
  )
}

function bundleComplaint(bundle: string, nowMs: number): string {
  if (bundle === "") return "it has no CA bundle, so the API server trusts no answer of it"
  try {
    const certificates = pemCertificates(Buffer.from(bundle, "base64").toString())
    const ends = Math.max(...certificates.map(one => Date.parse(one.validTo)))
    if (ends <= nowMs) return `its CA bundle ended at ${new Date(ends).toISOString()}`
    return ""
  } catch (error) {
    return `its CA bundle ${error instanceof Error ? error.message : String(error)}`
  }
}

/** A pod that is not ready, with why. */
export function told({ namespace, name, reason }: PodFacts): string {
  return `pod ${namespace}/${name}${reason === "" ? "" : `: ${reason}`}`
}
