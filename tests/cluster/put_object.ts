// Puts objects as manifests write them into a real API server: what it demands besides is added, status and all.
import type { KubernetesObject } from "../../control/cluster/source_cases.ts"
import { type KubeApi, KubeError } from "../../deploy/kubernetes/mod.ts"

const PLURALS: Readonly<Record<string, string>> = {
  Namespace: "namespaces",
  Node: "nodes",
  Pod: "pods",
  Service: "services",
  Endpoints: "endpoints",
  EndpointSlice: "endpointslices",
  Deployment: "deployments",
  ReplicaSet: "replicasets",
  StatefulSet: "statefulsets",
  DaemonSet: "daemonsets",
  Job: "jobs",
  CronJob: "cronjobs",
  AuthorizationPolicy: "authorizationpolicies",
}
const CLUSTER_KINDS = ["Namespace", "Node"]
const OWNER_VERSIONS: Readonly<Record<string, string>> = { Job: "batch/v1", CronJob: "batch/v1" }
/** Keeps an object that is being deleted. */
const HOLD = "conduit.test/hold"

function collection({ apiVersion, kind, metadata }: KubernetesObject): string {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const namespace = CLUSTER_KINDS.includes(kind) ? "" : `/namespaces/${metadata.namespace}`
  return `${base}${namespace}/${PLURALS[kind]}`
}

/** Creates an object, in place of the one that is there. */
export async function putObject(api: KubeApi, object: KubernetesObject): Promise<void> {
  const { kind, metadata } = object
  const path = collection(object)
  if (kind === "Namespace") {
    const patch = { metadata: { annotations: metadata.annotations ?? {}, labels: metadata.labels ?? {} } }
    await api.call({
      method: "PATCH",
      path: `${path}/${metadata.name}`,
      body: patch,
      contentType: "application/merge-patch+json",
    })
    return
  }
  await removeObject(api, object)
  await api.call({ method: "POST", path, body: completed(object) })
  if (object.status !== undefined) {
    await api.call({
      method: "PATCH",
      path: `${path}/${metadata.name}/status`,
      body: { status: object.status },
      contentType: "application/merge-patch+json",
    })
  }
  if (metadata.deletionTimestamp !== undefined) {
    await api.call({ method: "DELETE", path: `${path}/${metadata.name}` })
  }
}

/** Removes an object at once, if it is there. */
export async function removeObject(api: KubeApi, object: KubernetesObject): Promise<void> {
  const path = `${collection(object)}/${object.metadata.name}`
  if (object.kind === "Namespace") {
    const body = { metadata: { annotations: null } }
    await api.call({ method: "PATCH", path, body, contentType: "application/merge-patch+json" })
    return
  }
  try {
    if (object.kind === "Pod") {
      const body = { metadata: { finalizers: null } }
      await api.call({ method: "PATCH", path, body, contentType: "application/merge-patch+json" })
    }
    await api.call({
      method: "DELETE",
      path,
      body: { gracePeriodSeconds: 0, propagationPolicy: "Background" },
    })
  } catch (error) {
    if (!(error instanceof KubeError) || error.status !== 404) throw error
  }
}

interface Container {
  readonly ports?: readonly object[]
  readonly livenessProbe?: object
}

/** An object with what the API server demands and tables leave out. */
function completed(object: KubernetesObject): object {
  const { deletionTimestamp, creationTimestamp: _, ...metadata } = object.metadata
  const owners = (metadata.ownerReferences as { kind: string; name: string }[] | undefined) ?? []
  return {
    ...object,
    metadata: {
      ...metadata,
      ...(deletionTimestamp === undefined ? {} : { finalizers: [HOLD] }),
      ownerReferences: owners.map((owner, index) => ({
        apiVersion: OWNER_VERSIONS[owner.kind] ?? "apps/v1",
        uid: `00000000-0000-0000-0000-00000000000${index}`,
        ...owner,
      })),
    },
    ...specOf(object),
  }
}

function specOf(object: KubernetesObject): object {
  const spec = object.spec as Record<string, unknown> | undefined
  const matchLabels = { app: "x" }
  const template = {
    metadata: { labels: matchLabels },
    spec: { restartPolicy: "Always", containers: [{ name: "app", image: "app:1" }] },
  }
  const once = { template: { ...template, spec: { ...template.spec, restartPolicy: "Never" } } }
  switch (object.kind) {
    case "Pod": {
      const imaged = (list: unknown): object[] =>
        ((list as Container[] | undefined) ?? []).map(one => ({ image: "app:1", ...one }))
      return {
        spec: { ...spec, containers: imaged(spec?.containers), initContainers: imaged(spec?.initContainers) },
      }
    }
    case "Service": {
      const ports = (spec?.ports as { name?: string; port: number }[] | undefined) ?? []
      // Several ports need names.
      const named = ports.length < 2 ? ports : ports.map(port => ({ name: `p${port.port}`, ...port }))
      return { spec: { ...spec, ...(named.length === 0 ? {} : { ports: named }) } }
    }
    case "Job":
      return { spec: once }
    case "CronJob":
      return { spec: { schedule: "0 0 1 1 *", jobTemplate: { spec: once } } }
    case "StatefulSet":
      return { spec: { serviceName: "x", selector: { matchLabels }, template } }
    case "Deployment":
    case "ReplicaSet":
    case "DaemonSet":
      return { spec: { selector: { matchLabels }, template } }
    default:
      return {}
  }
}
