// Checks of the CNI plugin, where the installation has one: without it on a node, pods there come up without redirect.
import { VALIDATE_CONTAINER } from "../../deploy/inject/mod.ts"
import { CNI_NAME } from "../../deploy/install/mod.ts"
import { count, type Finding, failure, lines, notYet, warning, well } from "./check.ts"
import { type ClusterWorld, isAlive, type KubePod, type Metadata, nameOf } from "./cluster_world.ts"

interface KubeDaemonSet {
  readonly metadata: Metadata
  readonly spec?: {
    readonly template?: { readonly spec?: { readonly containers?: readonly { readonly image?: string }[] } }
  }
  readonly status?: { readonly desiredNumberScheduled?: number; readonly numberReady?: number }
}

/** Whether the installation has the plugin. */
export async function hasCni(world: ClusterWorld): Promise<boolean> {
  const config = await world.settings()
  return (config?.values as { cni?: { enabled?: unknown } } | undefined)?.cni?.enabled === true
}

/** The plugin is on every node. */
export async function cniOnNodes(world: ClusterWorld): Promise<Finding> {
  const found = await daemonSet(world)
  const where = `DaemonSet ${namespaceOf(world)}/${CNI_NAME}`
  if (found === null)
    return failure(
      `there is no ${where}, and pods are injected without conduit-init: nothing redirects them`,
      "conduit upgrade | kubectl apply --server-side -f - puts it back",
    )
  const { desiredNumberScheduled: wanted = 0, numberReady: ready = 0 } = found.status ?? {}
  if (wanted > 0 && ready >= wanted) return well(count(ready, "node"))
  const pods = (
    await world.list<KubePod & { spec?: { nodeName?: string } }>(
      `/api/v1/namespaces/${encodeURIComponent(namespaceOf(world))}/pods?labelSelector=${encodeURIComponent(`app.kubernetes.io/name=${CNI_NAME}`)}`,
    )
  )
    .filter(
      pod =>
        isAlive(pod) &&
        !pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True"),
    )
    .map(pod => `node ${pod.spec?.nodeName ?? "not chosen yet"}: pod ${nameOf(pod)} is not ready`)
  return notYet(
    `it is ready on ${ready} of ${count(wanted, "node")}; pods that start on the others wait, or come without redirect${pods.length === 0 ? "" : `:\n${lines(pods)}`}`,
    `kubectl describe pods -n ${namespaceOf(world)} -l app.kubernetes.io/name=${CNI_NAME}, and their logs, say more`,
  )
}

/** The plugin is of the control plane's version. */
export async function cniUpToDate(world: ClusterWorld): Promise<Finding> {
  const [config, found] = [await world.settings(), await daemonSet(world)]
  const version = config?.version ?? ""
  const image = found?.spec?.template?.spec?.containers?.[0]?.image ?? ""
  const own = (config?.values as { image?: { version?: unknown } } | undefined)?.image?.version
  const wanted = typeof own === "string" && own !== "" ? own : version
  if (image.endsWith(`:${wanted}`)) return well(wanted)
  return warning(
    `the control plane is ${wanted}, and the plugin's image is ${image || "not named"}`,
    "conduit upgrade | kubectl apply --server-side -f - makes them one version",
  )
}

/** Meshed pods were redirected when they started. */
export async function podsRedirected(world: ClusterWorld): Promise<Finding> {
  const stuck = (await world.dataPlane()).filter(isAlive).flatMap(pod => {
    const status = pod.status?.initContainerStatuses?.find(({ name }) => name === VALIDATE_CONTAINER)
    const { waiting, terminated } = status?.state ?? {}
    const fails = waiting?.reason === "CrashLoopBackOff" || (terminated?.exitCode ?? 0) !== 0
    return fails ? [`pod ${nameOf(pod)}`] : []
  })
  if (stuck.length === 0) return well()
  return notYet(
    `these pods started where the plugin was not, and ${VALIDATE_CONTAINER} holds them back:\n${lines(stuck)}`,
    "the plugin repairs them within seconds once it is on their node; deleting a pod starts it anew",
  )
}

function namespaceOf({ planeNamespace }: ClusterWorld): string {
  return `${planeNamespace}-cni`
}

function daemonSet(world: ClusterWorld): Promise<KubeDaemonSet | null> {
  return world.get(
    `/apis/apps/v1/namespaces/${encodeURIComponent(namespaceOf(world))}/daemonsets/${CNI_NAME}`,
  )
}
