// The local cluster itself: objects in, pods out. It reconciles workloads as Kubernetes' controllers do and
// keeps Services, names and the manifests folder in step with what runs.
import { join } from "node:path"
import { type InjectResult, inject, type WorkloadKind } from "../inject/mod.ts"
import { DNS_ADDRESS, PodAddresses, ServiceAddresses } from "./net/addresses.ts"
import { CLUSTER_DOMAIN } from "./net/dns_zone.ts"
import type { Network } from "./net/network.ts"
import { type BackendPod, rulesOf, wantsV6, zoneOf } from "./net/service_view.ts"
import {
  CLUSTER_SCOPED,
  KINDS,
  type KubeObject,
  objectKey,
  serviceSpec,
  templateOf,
  workloadSpec,
} from "./objects/kube_object.ts"
import type { ManifestsFolder } from "./objects/manifests_folder.ts"
import { Pod, type PodHost } from "./pod/pod.ts"
import { PodSources } from "./pod_sources.ts"
import {
  claimVolumes,
  ownerReference,
  ownLabels,
  planFor,
  podName,
  replicaSet,
  templateHash,
} from "./workloads/controllers.ts"
import type { PodView } from "./workloads/plan.ts"

/** Changes are gathered this long before packet rules, names and manifests follow. */
const SYNC_DELAY_MS = 5
/** Name that pods are told as their node's. */
export const NODE_NAME = "local"

/** What a cluster is made of. */
export interface ClusterOptions {
  readonly meshId: string
  readonly version: string
  readonly conduitNamespace: string
  readonly network: Network
  readonly manifests: ManifestsFolder
  /** Folder of the mesh. */
  readonly folder: string
  /** Folder that containers start in when they name none, and that relative ones start from. */
  readonly workingDir: string
  readonly defaultInject: "enabled" | "disabled"
  readonly sandboxMounts: readonly [from: string, to: string][]
  readonly path: string
  commandOfImage(image: string): readonly string[] | null
  /** Something changed that people may want to see. */
  readonly onChange: () => void
  /** Complaints that belong to no pod. */
  readonly onProblem: (message: string) => void
}

/** What apply or delete did with one object. */
export interface Change {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly action: "created" | "configured" | "unchanged" | "deleted" | "not found"
}

interface Owned {
  readonly pod: Pod
  readonly ownerKey: string
  readonly hash: string
}

/** Checks what only inject can: settings and annotations. @throws SettingError */
export function checkInject(object: KubeObject, conduitNamespace: string): InjectResult | null {
  if (KINDS[object.kind] !== "workload") return null
  return inject(templateOf(object), {
    namespace: object.metadata.namespace ?? "default",
    workload: { kind: object.kind as WorkloadKind, name: object.metadata.name },
    byDefault: "enabled",
    conduitNamespace,
    version: "0",
    nativeSidecar: true,
  })
}

/** A running cluster. */
export class Cluster {
  readonly #options: ClusterOptions
  readonly #objects = new Map<string, KubeObject>()
  readonly #pods = new Map<string, Owned>()
  readonly #podAddresses = new PodAddresses()
  readonly #skipped = new Map<string, string>()
  readonly #serviceAddresses = new ServiceAddresses()
  readonly #sources: PodSources
  readonly #host: PodHost
  #syncTimer: ReturnType<typeof setTimeout> | null = null
  #syncing: Promise<void> = Promise.resolve()
  #synced: (() => void)[] = []
  #closing = false
  #reconciling = false

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#sources = new PodSources(this.#objects, join(options.folder, "volumes"))
    this.#host = this.#podHost()
  }

  /** All pods, those of the control plane too. */
  get pods(): readonly Pod[] {
    return [...this.#pods.values()].map(owned => owned.pod)
  }

  /** The workload that a pod belongs to; null for a bare Pod. */
  workloadOf(pod: Pod): { kind: string; name: string } | null {
    const key = this.#pods.get(podKey(pod))?.ownerKey
    const owner = key === undefined ? undefined : key.split("/")
    return owner === undefined || owner[0] === "Pod" ? null : { kind: owner[0] ?? "", name: owner[2] ?? "" }
  }

  /** First address of a Service; null when it has none. */
  serviceAddress(namespace: string, name: string): string | null {
    const service = this.#objects.get(`Service/${namespace}/${name}`)
    const address = service === undefined ? undefined : serviceSpec(service).clusterIPs?.[0]
    return address === undefined || address === "None" ? null : address
  }

  /** The object as it is held, with defaults filled. */
  object(key: string): KubeObject | undefined {
    return this.#objects.get(key)
  }

  /** Why a workload's pods have no proxy; null when they have one. */
  skippedReason(pod: Pod): string | null {
    return pod.meshed ? null : (this.#skipped.get(podKey(pod)) ?? null)
  }

  /** Creates or changes objects, all of them checked before. */
  apply(objects: readonly KubeObject[]): Change[] {
    const changes = objects.map(given => {
      const before = this.#objects.get(objectKey(given))
      const object = this.#complete(structuredClone(given), before)
      const same = before !== undefined && comparable(before) === comparable(object)
      const action = before === undefined ? "created" : same ? "unchanged" : "configured"
      if (!same) this.#objects.set(objectKey(object), object)
      if (action === "configured" && object.kind === "Pod") this.#removePods(objectKey(object))
      return change(object, action)
    })
    for (const { metadata } of objects) this.#ensureNamespace(metadata.namespace)
    this.#reconcile()
    return changes
  }

  /** Deletes objects; a workload's pods end in good order, a namespace takes all that is in it. */
  delete(objects: readonly Pick<KubeObject, "kind" | "metadata">[]): Change[] {
    const changes: Change[] = []
    // Namespaces last: what is deleted by name beside its namespace was there.
    const isNamespace = (object: { readonly kind: string }) => Number(object.kind === "Namespace")
    for (const object of objects.toSorted((a, b) => isNamespace(a) - isNamespace(b))) {
      const key = objectKey(object)
      const known = this.#objects.get(key)
      const pod = object.kind === "Pod" ? this.#pods.get(podKeyOf(object)) : undefined
      if (known === undefined && pod === undefined) {
        changes.push(change(object, "not found"))
        continue
      }
      changes.push(change(object, "deleted"))
      this.#forget(key)
      // A controller's pod may be deleted too; the controller makes another.
      if (pod !== undefined) this.#end(pod.pod)
      if (object.kind === "Namespace") {
        for (const inside of [...this.#objects.values()]) {
          if (inside.metadata.namespace === object.metadata.name) this.#forget(objectKey(inside))
        }
      }
    }
    this.#reconcile()
    return changes
  }

  /** Ends all pods. @param graceMs  at most this long for each */
  async stop(graceMs: number): Promise<void> {
    this.#closing = true
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer)
    for (const settle of this.#synced.splice(0)) settle()
    await Promise.all(this.pods.map(pod => pod.stop(graceMs)))
  }

  #forget(key: string): void {
    const object = this.#objects.get(key)
    this.#objects.delete(key)
    if (object?.kind === "Service") this.#serviceAddresses.release(key)
    this.#removePods(key)
  }

  #removePods(ownerKey: string): void {
    for (const { pod, ownerKey: owner } of this.#pods.values()) if (owner === ownerKey) this.#end(pod)
  }

  #ensureNamespace(name: string | undefined): void {
    if (name === undefined || this.#objects.has(`Namespace//${name}`)) return
    const object = this.#complete({ apiVersion: "v1", kind: "Namespace", metadata: { name } }, undefined)
    this.#objects.set(objectKey(object), object)
  }

  /** Fills what the API server would. */
  #complete(object: KubeObject, before: KubeObject | undefined): KubeObject {
    const { metadata } = object
    metadata.uid = before?.metadata.uid ?? crypto.randomUUID()
    metadata.creationTimestamp = before?.metadata.creationTimestamp ?? new Date().toISOString()
    if (!CLUSTER_SCOPED.includes(object.kind)) metadata.namespace ??= "default"
    if (object.kind === "Namespace") {
      metadata.labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name }
      object.status = { phase: "Active" }
    }
    if (object.kind === "Service") this.#completeService(object)
    if (object.kind === "Secret" && object.stringData !== undefined) {
      const encoded = Object.entries(object.stringData).map(([key, value]) => [key, btoa8(value)] as const)
      object.data = { ...object.data, ...Object.fromEntries(encoded) }
      delete object.stringData
    }
    return object
  }

  #completeService(service: KubeObject): void {
    const spec = serviceSpec(service)
    spec.type ??= "ClusterIP"
    for (const port of spec.ports ?? []) {
      port.protocol ??= "TCP"
      port.targetPort ??= port.port
    }
    if (spec.type === "ExternalName") return
    if (spec.clusterIP === "None") {
      spec.clusterIPs = ["None"]
      return
    }
    const address = this.#serviceAddresses.take(objectKey(service))
    const v6 = this.#options.network.hasV6 && wantsV6(service)
    const v6First = spec.ipFamilies?.[0] === "IPv6"
    const onlyV6 = v6First && spec.ipFamilies?.length === 1 && !spec.ipFamilyPolicy?.endsWith("DualStack")
    const families = !v6
      ? [address.v4]
      : onlyV6
        ? [address.v6]
        : v6First
          ? [address.v6, address.v4]
          : [address.v4, address.v6]
    spec.clusterIPs = families
    spec.clusterIP = families[0] ?? address.v4
    service.spec = spec as Record<string, unknown>
  }

  /** In a moment, once: what a plan does changes pods, and those changes must not plan in its midst. */
  #reconcile(): void {
    if (this.#closing || this.#reconciling) return
    this.#reconciling = true
    queueMicrotask(() => {
      this.#reconciling = false
      this.#reconcileNow()
    })
  }

  #reconcileNow(): void {
    if (this.#closing) return
    for (const object of this.#objects.values()) {
      if (KINDS[object.kind] === "workload") this.#reconcileWorkload(object)
    }
    this.#requestSync()
  }

  #reconcileWorkload(object: KubeObject): void {
    const key = objectKey(object)
    const hash = templateHash(object)
    const views: PodView[] = []
    for (const owned of this.#pods.values()) {
      if (owned.ownerKey !== key) continue
      const { pod } = owned
      views.push({
        name: pod.name,
        hash: owned.hash,
        ready: pod.ready,
        terminating: pod.terminating,
        phase: pod.phase,
        createdMs: pod.createdMs,
      })
    }
    const plan = planFor(object, hash, views)
    for (const name of plan.remove) {
      const owned = this.#pods.get(`${object.metadata.namespace}/${name}`)
      if (owned !== undefined) this.#end(owned.pod)
    }
    for (const name of plan.create) this.#create(object, hash, name)
  }

  #create(owner: KubeObject, hash: string, wantedName: string): void {
    const namespace = owner.metadata.namespace ?? "default"
    const kind = owner.kind as WorkloadKind
    const name = wantedName !== "" ? wantedName : podName(owner, hash)
    const template = templateOf(owner)
    const result = inject(template, {
      namespace,
      workload: { kind, name: owner.metadata.name },
      namespaceAnnotations: this.#objects.get(`Namespace//${namespace}`)?.metadata.annotations ?? {},
      byDefault: this.#options.defaultInject,
      conduitNamespace: this.#options.conduitNamespace,
      version: this.#options.version,
      nativeSidecar: true,
    })
    const { metadata, spec } = structuredClone(result.template)
    const set = kind === "StatefulSet"
    const object: KubeObject = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name,
        namespace,
        uid: kind === "Pod" ? (owner.metadata.uid ?? crypto.randomUUID()) : crypto.randomUUID(),
        creationTimestamp: new Date().toISOString(),
        labels: { ...metadata?.labels, ...ownLabels(owner, hash, name) },
        annotations: { ...metadata?.annotations },
        ...(kind === "Pod" ? {} : { ownerReferences: [ownerReference(owner, hash)] }),
      },
      spec: {
        ...spec,
        nodeName: NODE_NAME,
        ...(set ? { hostname: name, subdomain: workloadSpec(owner).serviceName } : {}),
        ...(set ? { volumes: [...(spec.volumes ?? []), ...claimVolumes(owner, name)] } : {}),
      },
    }
    if (result.skipped !== null) this.#skipped.set(`${namespace}/${name}`, result.skipped)
    const pod = new Pod(object, this.#podAddresses.take(), this.#host)
    this.#pods.set(podKey(pod), { pod, ownerKey: objectKey(owner), hash })
    pod.start()
  }

  #end(pod: Pod): void {
    if (pod.terminating) return
    void pod.stop().then(
      () => this.#gone(pod),
      (error: unknown) => {
        this.#options.onProblem(`pod ${pod.name} could not be ended: ${String(error)}`)
        pod.kill()
        this.#gone(pod)
      },
    )
  }

  #gone(pod: Pod): void {
    this.#pods.delete(podKey(pod))
    this.#skipped.delete(podKey(pod))
    this.#podAddresses.release(pod.address)
    this.#options.onChange()
    this.#reconcile()
  }

  #podChanged(): void {
    this.#options.onChange()
    this.#reconcile()
  }

  /** Rules, names and manifests follow soon; several changes at once cost one round. */
  #requestSync(): void {
    if (this.#closing || this.#syncTimer !== null) return
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = null
      const waiting = this.#synced.splice(0)
      this.#syncing = this.#syncing
        .then(() => this.#sync())
        .then(
          () => {
            for (const settle of waiting) settle()
          },
          (error: unknown) => {
            for (const settle of waiting) settle()
            if (!this.#closing)
              this.#options.onProblem(String(error instanceof Error ? error.message : error))
          },
        )
    }, SYNC_DELAY_MS)
  }

  async #sync(): Promise<void> {
    if (this.#closing) return
    this.#options.manifests.write(this.#shownObjects())
    const objects = [...this.#objects.values()]
    const services = objects.filter(object => object.kind === "Service")
    const slices = objects.filter(object => object.kind === "EndpointSlice" || object.kind === "Endpoints")
    const backends = this.pods.map(pod => backendOf(pod, this.#options.network.hasV6))
    this.#options.network.setZone(zoneOf(services, backends, slices))
    await this.#options.network.setServices(rulesOf(services, backends, slices))
  }

  *#shownObjects(): Generator<KubeObject> {
    const owned = [...this.#pods.values()]
    for (const object of this.#objects.values()) {
      if (object.kind === "Pod") continue
      if (KINDS[object.kind] !== "workload") {
        yield object
        continue
      }
      const mine = owned.filter(({ ownerKey }) => ownerKey === objectKey(object))
      const count = (list: readonly Owned[]) => ({
        replicas: list.filter(({ pod }) => !pod.terminating).length,
        readyReplicas: list.filter(({ pod }) => pod.ready).length,
      })
      yield { ...object, status: { ...count(mine) } }
      if (object.kind !== "Deployment") continue
      const hashes = new Set([templateHash(object), ...mine.map(({ hash }) => hash)])
      for (const hash of hashes) {
        const pods = mine.filter(owner => owner.hash === hash)
        yield replicaSet(object, hash, count(pods))
      }
    }
    for (const { pod } of owned) yield pod.object
  }

  #podHost(): PodHost {
    const options = this.#options
    const sources = (pod: KubeObject) => this.#sources.of(pod)
    return {
      meshId: options.meshId,
      network: options.network,
      podsFolder: join(options.folder, "pods"),
      logFile: (namespace, pod, container) =>
        join(options.folder, "logs", namespace, pod, `${container}.log`),
      defaultWorkingDir: options.workingDir,
      baseEnvironment: pod => ({
        PATH: options.path,
        HOME: process.env.HOME ?? "/",
        LANG: process.env.LANG ?? "C.UTF-8",
        HOSTNAME: pod.metadata.name,
        ...this.#sources.serviceLinks(pod),
      }),
      sources,
      resolvConf: namespace =>
        `nameserver ${DNS_ADDRESS}\nsearch ${namespace}.svc.${CLUSTER_DOMAIN} svc.${CLUSTER_DOMAIN} ${CLUSTER_DOMAIN}\noptions ndots:5\n`,
      sandboxMounts: options.sandboxMounts,
      commandOfImage: image => options.commandOfImage(image),
      onChange: () => this.#podChanged(),
      settled: () =>
        new Promise(resolve => {
          if (this.#closing) return resolve()
          this.#synced.push(resolve)
          this.#requestSync()
        }),
    }
  }
}

function backendOf(pod: Pod, v6: boolean): BackendPod {
  const containers = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])]
  return {
    namespace: pod.namespace,
    name: pod.name,
    labels: pod.object.metadata.labels ?? {},
    ips: v6 ? [pod.address.v4, pod.address.v6] : [pod.address.v4],
    ready: pod.ready,
    present: !pod.terminating && !pod.finished,
    hostname: pod.spec.hostname,
    subdomain: pod.spec.subdomain,
    portNamed: name => {
      for (const container of containers) {
        const port = container.ports?.find(candidate => candidate.name === name)
        if (port !== undefined) return port.containerPort
      }
      return null
    },
  }
}

function comparable(object: KubeObject): string {
  const { status: _status, ...rest } = object
  return JSON.stringify(rest)
}

function change(object: Pick<KubeObject, "kind" | "metadata">, action: Change["action"]): Change {
  return { kind: object.kind, namespace: object.metadata.namespace ?? "", name: object.metadata.name, action }
}

function podKey(pod: Pod): string {
  return `${pod.namespace}/${pod.name}`
}

function podKeyOf(object: Pick<KubeObject, "metadata">): string {
  return `${object.metadata.namespace ?? "default"}/${object.metadata.name}`
}

function btoa8(text: string): string {
  return Buffer.from(text, "utf8").toString("base64")
}
