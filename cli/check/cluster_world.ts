// A Kubernetes cluster as checks see it.
import { CREATED_BY_ANNOTATION, PROXY_CONTAINER, PROXY_VERSION_ANNOTATION } from "../../deploy/inject/mod.ts"
import {
  ANCHORS_NAME,
  CONFIG_NAME,
  type InstalledConfig,
  ISSUER_SECRET,
  PART_OF_LABEL,
  PLANE_LABEL,
  type Values,
} from "../../deploy/install/mod.ts"
import type { KubeApi } from "../../deploy/kubernetes/mod.ts"
import { type AuthorityText, type PodFacts, World, type WorldOptions } from "./world.ts"

/** What is read of an object's metadata. */
export interface Metadata {
  readonly name: string
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly ownerReferences?: readonly { readonly kind: string; readonly name: string }[]
}

/** State of a container, as far as checks read it. */
interface ContainerStatus {
  readonly name: string
  readonly ready?: boolean
  readonly state?: {
    readonly running?: object
    readonly waiting?: { readonly reason?: string; readonly message?: string }
    readonly terminated?: { readonly reason?: string; readonly exitCode?: number }
  }
}

/** What is read of a condition. */
export interface Condition {
  readonly type: string
  readonly status: string
  readonly reason?: string
  readonly message?: string
}

/** What is read of a Pod. */
export interface KubePod {
  readonly metadata: Metadata
  readonly spec?: {
    readonly containers?: readonly { readonly name: string }[]
    readonly hostNetwork?: boolean
  }
  readonly status?: {
    readonly phase?: string
    readonly message?: string
    readonly conditions?: readonly Condition[]
    readonly containerStatuses?: readonly ContainerStatus[]
    readonly initContainerStatuses?: readonly ContainerStatus[]
  }
}

/** What is read of a Deployment. */
export interface KubeDeployment {
  readonly metadata: Metadata
  readonly spec?: { readonly replicas?: number }
  readonly status?: { readonly availableReplicas?: number; readonly conditions?: readonly Condition[] }
}

/** A cluster that a kubeconfig leads to. */
export class ClusterWorld extends World {
  private readonly connect: () => Promise<KubeApi>

  /** @param options `connect`: the API server; throws an Error with a sentence when the kubeconfig cannot be used */
  constructor(options: WorldOptions & { connect: () => Promise<KubeApi> }) {
    super(options)
    this.connect = options.connect
  }

  /** The API server. @throws Error with a sentence when the kubeconfig cannot be used */
  kube(): Promise<KubeApi> {
    return this.once("kube", this.connect)
  }

  /** One object, null when it is not there. @throws KubeError */
  async get<Item>(path: string): Promise<Item | null> {
    const kube = await this.kube()
    return await this.once(path, () => kube.get<Item>(path))
  }

  /** A whole list. @throws KubeError */
  async list<Item>(path: string): Promise<readonly Item[]> {
    const kube = await this.kube()
    return await this.once(path, () => kube.list<Item>(path))
  }

  /** Version of the cluster. */
  async clusterVersion(): Promise<{
    readonly gitVersion: string
    readonly minor: number
    readonly major: number
  }> {
    const told = await this.get<{ gitVersion?: string; major?: string; minor?: string }>("/version")
    const { gitVersion = "", major = "", minor = "" } = told ?? {}
    return { gitVersion, major: Number.parseInt(major, 10), minor: Number.parseInt(minor, 10) }
  }

  /**
   * Settings of the installation, without certificates and keys, so that whoever may not read secrets is told of the rest;
   * null when nothing is installed.
   *
   * @throws KubeError; Error with a sentence when they cannot be read
   */
  async settings(): Promise<InstalledConfig | null> {
    const config = await this.own<{ data?: Texts }>("configmaps", CONFIG_NAME)
    if (config === null) return null
    const { version = "", "values.json": text = "{}" } = config.data ?? {}
    try {
      return { version, values: { ...JSON.parse(text), identityTrustAnchorsPEM: "" } as Values }
    } catch {
      throw new Error(
        `ConfigMap ${this.planeNamespace}/${CONFIG_NAME} holds no values: values.json is not JSON`,
      )
    }
  }

  /** Deployments of the control plane. */
  deployments(): Promise<readonly KubeDeployment[]> {
    return this.list(
      `/apis/apps/v1/namespaces/${encodeURIComponent(this.planeNamespace)}/deployments?${selector(PART_OF_LABEL, "conduit")}`,
    )
  }

  async controlPods(): Promise<readonly PodFacts[]> {
    const path = `/api/v1/namespaces/${encodeURIComponent(this.planeNamespace)}/pods?${selector(PART_OF_LABEL, "conduit")}`
    return (await this.list<KubePod>(path)).map(podFacts)
  }

  async meshedPods(): Promise<readonly PodFacts[]> {
    return (await this.dataPlane()).map(podFacts)
  }

  /** Pods with a proxy of this control plane, of the namespace that is looked at. */
  async dataPlane(): Promise<readonly KubePod[]> {
    return await this.list<KubePod>(
      `${this.inNamespace("pods")}?${selector(PLANE_LABEL, this.planeNamespace)}`,
    )
  }

  /** Path of a kind of the core group in the namespace that is looked at. */
  inNamespace(plural: string): string {
    return this.namespace === ""
      ? `/api/v1/${plural}`
      : `/api/v1/namespaces/${encodeURIComponent(this.namespace)}/${plural}`
  }

  async authority(): Promise<AuthorityText> {
    const anchors = await this.own<{ data?: Texts }>("configmaps", ANCHORS_NAME)
    const secret = await this.own<{ data?: Texts }>("secrets", ISSUER_SECRET)
    const decoded = (name: string): string => Buffer.from(secret?.data?.[name] ?? "", "base64").toString()
    return {
      anchors: anchors?.data?.["ca-bundle.crt"] ?? "",
      issuer: decoded("tls.crt"),
      issuerKey: decoded("tls.key"),
    }
  }

  /** An object of the core group in the control plane's namespace. */
  private own<Item>(plural: string, name: string): Promise<Item | null> {
    return this.get<Item>(`/api/v1/namespaces/${encodeURIComponent(this.planeNamespace)}/${plural}/${name}`)
  }
}

/** Data of a ConfigMap or Secret. */
type Texts = Readonly<Record<string, string>>

/** `labelSelector=` of one label. */
export function selector(label: string, value: string): string {
  return `labelSelector=${encodeURIComponent(`${label}=${value}`)}`
}

/** Whether a pod carries a proxy. */
export function hasProxy({ metadata }: KubePod): boolean {
  return metadata.annotations?.[CREATED_BY_ANNOTATION] !== undefined
}

/** A pod that neither has ended nor is about to. */
export function isAlive({ metadata, status }: KubePod): boolean {
  return metadata.deletionTimestamp === undefined && !["Succeeded", "Failed"].includes(status?.phase ?? "")
}

/** `namespace/name`. */
export function nameOf({ metadata }: { readonly metadata: Metadata }): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`
}

/** Whether the proxy is an ordinary container, runs, and every other one has ended: nothing ends such a Job. */
export function isStuck(pod: KubePod): boolean {
  const statuses = pod.status?.containerStatuses ?? []
  const proxy = statuses.find(({ name }) => name === PROXY_CONTAINER)
  const others = statuses.filter(({ name }) => name !== PROXY_CONTAINER)
  return (
    proxy?.state?.running !== undefined &&
    others.length > 0 &&
    others.every(({ state }) => state?.terminated !== undefined)
  )
}

function podFacts(pod: KubePod): PodFacts {
  const { metadata, status } = pod
  const ready = status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    ready,
    over: !isAlive(pod),
    reason: ready ? "" : reasonOf(pod),
    proxyVersion: metadata.annotations?.[PROXY_VERSION_ANNOTATION] ?? "",
  }
}

function reasonOf({ status }: KubePod): string {
  for (const { name, state, ready } of [
    ...(status?.initContainerStatuses ?? []),
    ...(status?.containerStatuses ?? []),
  ]) {
    if (ready === true) continue
    const { waiting, terminated } = state ?? {}
    if (waiting?.reason !== undefined && waiting.reason !== "PodInitializing")
      return `container ${name}: ${waiting.reason}${waiting.message === undefined ? "" : `: ${waiting.message}`}`
    if (terminated !== undefined && terminated.exitCode !== 0)
      return `container ${name} ended: ${terminated.reason ?? "Error"} (exit code ${terminated.exitCode})`
  }
  const unmet = status?.conditions?.find(({ type, status: is }) => type === "PodScheduled" && is === "False")
  if (unmet !== undefined) return unmet.message ?? "it cannot be scheduled"
  return status?.message ?? `phase ${status?.phase ?? "unknown"}`
}
