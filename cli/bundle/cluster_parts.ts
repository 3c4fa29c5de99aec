// What only a cluster has: objects of the control plane, events, and logs of its containers and of proxies. Secrets are not asked for.
import {
  CONTROL_PLANE_LABEL,
  INIT_CONTAINER,
  PROXY_CONTAINER,
  VALIDATE_CONTAINER,
} from "../../deploy/inject/mod.ts"
import type { KubeApi } from "../../deploy/kubernetes/mod.ts"
import { type Pod, podsOf } from "../cluster/pods.ts"
import type { ClusterPlane } from "../connect.ts"
import { type Collection, MAX_LOG_BYTES } from "./collect.ts"
import { withoutSecrets } from "./redact.ts"

/** Lines of a container's log that are asked for at most; the API server cuts by bytes at the beginning, not at the end. */
const LOG_LINES = 2_000

/** Containers of a meshed pod whose logs are ours. */
const OWN_CONTAINERS = new Set<string>([PROXY_CONTAINER, INIT_CONTAINER, VALIDATE_CONTAINER])

interface WithContainers {
  readonly spec: {
    readonly containers: readonly { readonly name?: string }[]
    readonly initContainers?: readonly { readonly name?: string }[]
  }
  readonly status?: {
    readonly containerStatuses?: readonly { readonly name?: string; readonly restartCount?: number }[]
  }
}

/** Objects, events and logs. @param namespace  whose proxies are meant, "" for all */
export async function ofCluster(
  { kubernetes, controlNamespace }: ClusterPlane,
  namespace: string,
  proxies: number,
  taken: Collection,
): Promise<void> {
  const { api } = kubernetes
  const own = `/namespaces/${encodeURIComponent(controlNamespace)}`
  for (const [name, path] of [
    ["version of the cluster", "/version"],
    ["pods", `/api/v1${own}/pods`],
    ["deployments", `/apis/apps/v1${own}/deployments`],
    ["daemonsets", `/apis/apps/v1${own}/daemonsets`],
    ["services", `/api/v1${own}/services`],
    ["kubernetes events", `/api/v1${own}/events`],
    ["webhooks", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/conduit-injector"],
  ] as const)
    await taken.part(name, async () => {
      const file = `kubernetes/${name.replaceAll(" ", "-")}.json`
      taken.addJson(file, withoutSecrets(await api.call({ path })))
    })
  await taken.part("logs of the control plane", async () => {
    for (const pod of await podsOf(api, controlNamespace, ""))
      await logsOf(api, pod, "control-plane", () => true, taken)
  })
  await taken.part("logs of proxies", async () => {
    const meshed = await podsOf(api, namespace, `${CONTROL_PLANE_LABEL}=${controlNamespace}`)
    for (const pod of meshed.slice(0, proxies))
      await logsOf(api, pod, `proxies/${pod.metadata.namespace}`, name => OWN_CONTAINERS.has(name), taken)
  })
}

async function logsOf(
  api: KubeApi,
  pod: Pod,
  folder: string,
  isMeant: (container: string) => boolean,
  taken: Collection,
): Promise<void> {
  const { namespace, name } = pod.metadata
  const { spec, status } = pod as unknown as WithContainers
  const names = [...(spec.initContainers ?? []), ...spec.containers].flatMap(({ name: one }) => one ?? [])
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/log`
  for (const container of names.filter(isMeant)) {
    const restarted = status?.containerStatuses?.some(
      one => one.name === container && (one.restartCount ?? 0) > 0,
    )
    for (const previous of restarted === true ? [false, true] : [false]) {
      const query = `container=${encodeURIComponent(container)}&tailLines=${LOG_LINES}&previous=${previous}`
      try {
        const text = await api.text(`${path}?${query}`)
        const file = `${folder}/${name}/${container}${previous ? ".previous" : ""}.log`
        taken.add(file, text.length > MAX_LOG_BYTES ? text.slice(-MAX_LOG_BYTES) : text)
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        taken.missing.push(`log of ${container} of ${namespace}/${name}: ${why}`)
      }
    }
  }
}
