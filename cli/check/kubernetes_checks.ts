// Checks of the Kubernetes cluster itself: that it answers, is new enough, and lets an installation in.
import { INIT_CONTAINER, INJECT_ANNOTATION } from "../../deploy/inject/mod.ts"
import {
  CONFIG_NAME,
  findInstalled,
  installObjects,
  PART_OF_LABEL,
  readValues,
  resourceNameOf,
} from "../../deploy/install/mod.ts"
import { KubeError } from "../../deploy/kubernetes/mod.ts"
import { count, type Finding, failure, lines, warning, well } from "./check.ts"
import { type ClusterWorld, type Metadata, selector } from "./cluster_world.ts"

/** Oldest minor version of Kubernetes 1 that is supported: CEL and Pod Security are there. Also the chart's. */
export const MIN_KUBERNETES_MINOR = 25
/** First minor version with native sidecars switched on. */
export const NATIVE_SIDECAR_MINOR = 29
/** Clocks may differ by this: certificates begin as long before they are signed. */
export const MAX_CLOCK_SKEW_MS = 20_000
/** A node renews its lease every 10 s; one older than this is no news of its clock. */
const LEASE_RENEWAL_MS = 40_000

/** The kubeconfig can be read and names a cluster. */
export async function kubeconfigUsable(world: ClusterWorld): Promise<Finding> {
  try {
    return well((await world.kube()).server)
  } catch (error) {
    return failure(
      sentence(error),
      "name a kubeconfig with --kubeconfig FILE or KUBECONFIG, and a context of it with --context",
    )
  }
}

/** The API server answers. */
export async function apiAnswers(world: ClusterWorld): Promise<Finding> {
  try {
    const { gitVersion } = await world.clusterVersion()
    return well(gitVersion)
  } catch (error) {
    return refused(
      error,
      "see whether kubectl version reaches it: is the cluster up, are address, proxy and credentials right?",
    )
  }
}

/** The cluster's version is supported. */
export async function versionSupported(world: ClusterWorld): Promise<Finding> {
  const { gitVersion, major, minor } = await world.clusterVersion()
  if (major < 1 || (major === 1 && minor < MIN_KUBERNETES_MINOR)) {
    return failure(`Kubernetes ${gitVersion} is older than 1.${MIN_KUBERNETES_MINOR}`, "upgrade the cluster")
  }
  if (major === 1 && minor < NATIVE_SIDECAR_MINOR) {
    return warning(
      `Kubernetes ${gitVersion} has no native sidecars: init containers run without the mesh, and Jobs end only when they ask their proxy to`,
      `upgrade the cluster to 1.${NATIVE_SIDECAR_MINOR} or newer`,
    )
  }
  return well(gitVersion)
}

/** The clocks of this machine, the API server and the nodes agree. */
export async function clocksAgree(world: ClusterWorld): Promise<Finding> {
  const kube = await world.kube()
  await kube.call({ path: "/version" })
  const before = world.nowMs()
  if (kube.clockMs === 0)
    return warning("the API server does not tell its clock", "compare it with date on this machine")
  const server = kube.clockMs
  const wrong: string[] = []
  const skew = before - server
  if (Math.abs(skew) > MAX_CLOCK_SKEW_MS)
    wrong.push(`this machine's clock is ${apart(skew)} the API server's`)
  let leases: readonly { metadata: Metadata; spec?: { renewTime?: string } }[] = []
  try {
    leases = await kube.list("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")
  } catch (error) {
    // Who may not see leases still learns of the API server's clock.
    if (!(error instanceof KubeError) || error.status === 0) throw error
  }
  for (const { metadata, spec } of leases) {
    const ahead = Date.parse(spec?.renewTime ?? "") - server
    if (ahead > MAX_CLOCK_SKEW_MS)
      wrong.push(`the clock of node ${metadata.name} is ${apart(ahead)} the API server's`)
    else if (ahead < -(MAX_CLOCK_SKEW_MS + LEASE_RENEWAL_MS))
      wrong.push(
        `node ${metadata.name} last told of itself ${seconds(-ahead)} ago, by its own clock: it is late or down`,
      )
  }
  if (wrong.length === 0) return well()
  return warning(
    lines(wrong),
    `certificates allow for ${MAX_CLOCK_SKEW_MS / 1000} s: let NTP set the clocks (chronyc tracking, timedatectl)`,
  )
}

/** Group of the Gateway API's objects, and the version that the control plane reads. */
const GATEWAY_API = { group: "gateway.networking.k8s.io", version: "v1" } as const

/** Routes of the Gateway API, where it is installed, are of the version that the control plane reads. */
export async function gatewayApiServed(world: ClusterWorld): Promise<Finding> {
  const { group, version } = GATEWAY_API
  const found = await world.get<{ versions?: { version: string }[] }>(`/apis/${group}`)
  if (found === null) return well("not installed: Services go without HTTPRoute and GRPCRoute")
  const versions = (found.versions ?? []).map(one => one.version)
  if (versions.includes(version)) return well(version)
  return warning(
    `the cluster serves ${group} in ${versions.join(", ") || "no version"}, and routes are read in ${version}`,
    "install the Gateway API's definitions of version 1.1 or newer; until then routes have no effect",
  )
}

/** Whoever asks may create what an installation consists of. */
export async function mayInstall(world: ClusterWorld): Promise<Finding> {
  const kube = await world.kube()
  const objects = installObjects({
    namespace: world.planeNamespace,
    version: world.version,
    values: readValues([{ values: { ha: true, networkPolicies: true }, from: "conduit check" }]),
  })
  const wanted = new Map<string, { group: string; resource: string; namespace: string }>()
  for (const { apiVersion, kind, metadata } of objects) {
    const resource = resourceNameOf(kind)
    if (resource === undefined) continue
    const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : ""
    wanted.set(kind, { group, resource, namespace: metadata.namespace ?? "" })
  }
  const asked = [...wanted.values()].flatMap(one => ["create", "patch"].map(verb => ({ ...one, verb })))
  const denied = await Promise.all(
    asked.map(async resourceAttributes => {
      const answer = (await kube.call({
        method: "POST",
        path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        body: {
          apiVersion: "authorization.k8s.io/v1",
          kind: "SelfSubjectAccessReview",
          spec: { resourceAttributes },
        },
      })) as { status?: { allowed?: boolean } }
      const { group, resource, verb } = resourceAttributes
      return answer.status?.allowed === true ? "" : `${verb} ${resource}${group === "" ? "" : `.${group}`}`
    }),
  )
  const missing = denied.filter(one => one !== "")
  if (missing.length === 0) return well(`${wanted.size} kinds`)
  return failure(
    `you may not ${missing.join(", ")}`,
    "ask an administrator of the cluster to install Conduit, or for these rights (kubectl auth can-i --list)",
  )
}

/** Nothing of a control plane stands where one is to be installed. */
export async function nothingInTheWay(world: ClusterWorld): Promise<Finding> {
  const kube = await world.kube()
  const found = await findInstalled(kube, world.planeNamespace)
  const namespace = world.planeNamespace
  if (found.length > 0 && found.some(({ namespace: where, kind }) => where !== "" || kind === "Namespace")) {
    return failure(
      `${count(found.length, "object")} of a control plane in namespace "${namespace}": ${found[0]?.kind} ${found[0]?.name}${found.length > 1 ? " and others" : ""}`,
      "conduit check (without --pre) looks at it, conduit upgrade changes it, conduit uninstall | kubectl delete -f - removes it",
    )
  }
  if (found.length > 0) {
    const kept = lines(found.map(({ kind, name }) => `${kind} ${name}`))
    return warning(
      `left over from a control plane that is gone:\n${kept}`,
      "conduit install takes them over; conduit uninstall | kubectl delete -f - removes them, with the policies that they hold",
    )
  }
  const configs = await world.list<{ metadata: Metadata }>(
    `/api/v1/configmaps?${selector(PART_OF_LABEL, "conduit")}`,
  )
  const others = configs.filter(({ metadata }) => metadata.name === CONFIG_NAME)
  if (others.length === 0) return well()
  return warning(
    `another control plane is in namespace "${others[0]?.metadata.namespace}"`,
    "they share the custom resource definitions: keep both at one version, or look at that one with -c",
  )
}

/** Namespaces admit what meshed pods consist of. */
export async function podsAdmitted(world: ClusterWorld): Promise<Finding> {
  const kube = await world.kube()
  const namespaces = await world.list<{ metadata: Metadata }>("/api/v1/namespaces")
  const strict = namespaces
    .filter(({ metadata }) => metadata.annotations?.[INJECT_ANNOTATION] === "enabled")
    .map(({ metadata }) => ({
      name: metadata.name,
      level: metadata.labels?.["pod-security.kubernetes.io/enforce"] ?? "",
    }))
    .filter(({ level }) => level === "baseline" || level === "restricted")
  const wrong = strict.map(
    ({ name, level }) =>
      `namespace ${name} enforces "${level}", which refuses the container ${INIT_CONTAINER}`,
  )
  const tried = world.namespace === "" ? "default" : world.namespace
  try {
    await kube.call({
      method: "POST",
      path: `/api/v1/namespaces/${encodeURIComponent(tried)}/pods?dryRun=All`,
      body: trialPod(),
    })
  } catch (error) {
    if (!(error instanceof KubeError) || error.status === 0) throw error
    if (strict.every(({ name }) => name !== tried))
      wrong.push(
        `a pod with the container ${INIT_CONTAINER}, tried in namespace ${tried}, is refused: ${error.message}`,
      )
  }
  if (wrong.length === 0) return well(`tried in namespace ${tried}`)
  return warning(
    lines(wrong),
    "the redirect of a pod's traffic needs NET_ADMIN and NET_RAW: label the namespace pod-security.kubernetes.io/enforce=privileged, or try another with -n",
  )
}

/** What `inject` adds that admission may refuse. */
function trialPod(): object {
  const securityContext = {
    allowPrivilegeEscalation: false,
    runAsNonRoot: false,
    runAsUser: 0,
    capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] },
  }
  const image = "conduit/init:check"
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { generateName: "conduit-check-", annotations: { [INJECT_ANNOTATION]: "disabled" } },
    spec: {
      automountServiceAccountToken: false,
      initContainers: [{ name: INIT_CONTAINER, image, securityContext }],
      containers: [{ name: "app", image }],
    },
  }
}

/** What stops a check that the API server did not answer. */
export function refused(error: unknown, todo: string): Finding {
  if (!(error instanceof KubeError)) return failure(sentence(error), todo)
  if (error.status === 401)
    return failure(
      `it does not know who asks (${error.message})`,
      "log in again: the credentials of the kubeconfig are wrong or have expired",
    )
  if (error.status === 403)
    return failure(
      `it refuses: ${error.message}`,
      "ask an administrator of the cluster for this right (kubectl auth can-i --list)",
    )
  return failure(error.status === 0 ? `it cannot be reached (${error.message})` : error.message, todo)
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function apart(ms: number): string {
  return `${seconds(Math.abs(ms))} ${ms > 0 ? "ahead of" : "behind"}`
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`
}
