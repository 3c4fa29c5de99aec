// The local cluster itself: objects in, pods out. It reconciles workloads as Kubernetes' controllers do and
// keeps Services, names and the manifests folder in step with what runs.
import { join } from "node:path"
import type { TokenIssuer } from "../identity/mod.ts"
import type { Plugin } from "../plugin_object/mod.ts"
import { TRUST_DOMAIN, TRUST_ROOTS, TRUST_ROOTS_KEY } from "./control_plane.ts"
import { DNS_ADDRESS, PodAddresses } from "./net/addresses.ts"
import { CLUSTER_DOMAIN } from "./net/dns_zone.ts"
import type { Network } from "./net/network.ts"
import { rulesOf, zoneOf } from "./net/service_view.ts"
import { ApiDefaults } from "./objects/api_defaults.ts"
import { KINDS, type KubeObject, objectKey, serviceSpec, templateOf } from "./objects/kube_object.ts"
import type { ManifestsFolder } from "./objects/manifests_folder.ts"
import { Pod, type PodHost } from "./pod/pod.ts"
import { injectionPlugins, type PodReview, type ReviewedPod } from "./pod_review.ts"
import { PodSources } from "./pod_sources.ts"
import { backendOf, type OwnedPod, shownObjects } from "./pod_views.ts"
import { planFor, podName, templateHash } from "./workloads/controllers.ts"
import type { PodView } from "./workloads/plan.ts"
import { podObject } from "./workloads/pod_object.ts"

/** Changes are gathered this long before packet rules, names and manifests follow. */
const SYNC_DELAY_MS = 5

/** Tokens in volumes are looked at this often, and replaced when they are due. */
const TOKEN_CHECK_MS = 30_000

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
  /** Issues the tokens of pods. */
  readonly tokenIssuer: TokenIssuer
  readonly sandboxMounts: readonly [from: string, to: string][]
  readonly path: string
  commandOfImage(image: string): readonly string[] | null
  /** Has the control plane ask plugins about a pod. */
  reviewPod(pod: ReviewedPod, plugins: readonly Plugin[], signal: AbortSignal): Promise<PodReview>
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

/** A running cluster. */
export class Cluster {
  readonly #options: ClusterOptions
  readonly #objects = new Map<string, KubeObject>()
  readonly #pods = new Map<string, OwnedPod>()
  readonly #podAddresses = new PodAddresses()
  readonly #skipped = new Map<string, string>()
  readonly #defaults: ApiDefaults
  readonly #sources: PodSources
  readonly #host: PodHost
  #syncTimer: ReturnType<typeof setTimeout> | null = null
  readonly #tokenTimer: ReturnType<typeof setInterval>
  #syncing: Promise<void> = Promise.resolve()
  #synced: (() => void)[] = []
  #closing = false
  #reconciling = false

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#defaults = new ApiDefaults(options.network.hasV6)
    const claims = join(options.folder, "volumes")
    this.#sources = new PodSources(this.#objects, claims, options.tokenIssuer, Date.now)
    this.#host = this.#podHost()
    this.#tokenTimer = setInterval(() => this.#refill(this.pods), TOKEN_CHECK_MS)
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
      const object = this.#defaults.fill(structuredClone(given), before)
      const same = before !== undefined && comparable(before) === comparable(object)
      const action = before === undefined ? "created" : same ? "unchanged" : "configured"
      if (!same) this.#objects.set(objectKey(object), object)
      if (action === "configured" && object.kind === "Pod") this.#removePods(objectKey(object))
      return change(object, action)
    })
    for (const { metadata } of objects) this.#ensureNamespace(metadata.namespace)
    this.#refreshSources(changes)
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
    clearInterval(this.#tokenTimer)
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer)
    for (const settle of this.#synced.splice(0)) settle()
    await Promise.all(this.pods.map(pod => pod.stop(graceMs)))
  }

  #forget(key: string): void {
    const object = this.#objects.get(key)
    this.#objects.delete(key)
    if (object !== undefined) this.#defaults.release(object)
    this.#removePods(key)
  }

  /** Pods that show a ConfigMap or Secret show what it holds now. */
  #refreshSources(changes: readonly Change[]): void {
    const fills = (kind: string) => kind === "ConfigMap" || kind === "Secret"
    const changed = changes.filter(({ kind, action }) => fills(kind) && action !== "unchanged")
    const namespaces = new Set(changed.map(({ namespace }) => namespace))
    this.#refill(this.pods.filter(pod => namespaces.has(pod.namespace)))
  }

  #refill(pods: readonly Pod[]): void {
    for (const pod of pods) {
      try {
        pod.sourcesChanged()
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        this.#options.onProblem(`volumes of pod ${pod.name} could not be filled again: ${why}`)
      }
    }
  }

  #removePods(ownerKey: string): void {
    for (const { pod, ownerKey: owner } of this.#pods.values()) if (owner === ownerKey) this.#end(pod)
  }

  #ensureNamespace(name: string | undefined): void {
    if (name === undefined || this.#objects.has(`Namespace//${name}`)) return
    const object = this.#defaults.fill({ apiVersion: "v1", kind: "Namespace", metadata: { name } }, undefined)
    this.#objects.set(objectKey(object), object)
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
    const name = wantedName !== "" ? wantedName : podName(owner, hash)
    const { object, skipped } = podObject(owner, hash, name, {
      namespaceAnnotations: this.#objects.get(`Namespace//${namespace}`)?.metadata.annotations ?? {},
      byDefault: this.#options.defaultInject,
      conduitNamespace: this.#options.conduitNamespace,
      version: this.#options.version,
      ...this.#trust(),
    })
    if (skipped !== null) this.#skipped.set(`${namespace}/${name}`, skipped)
    const pod = new Pod(object, this.#podAddresses.take(), this.#host)
    this.#pods.set(podKey(pod), { pod, ownerKey: objectKey(owner), hash })
    pod.start()
  }

  #review(pod: Pod, signal: AbortSignal): Promise<PodReview> | null {
    const plugins = injectionPlugins(this.#objects.values())
    const owner = this.#objects.get(this.#pods.get(podKey(pod))?.ownerKey ?? "")
    if (plugins.length === 0 || owner === undefined) return null
    const asked = {
      ...{ namespace: pod.namespace, ownerKind: owner.kind.toLowerCase(), owner: owner.metadata.name },
      pod: templateOf(owner),
    }
    return this.#options.reviewPod(asked, plugins, signal)
  }

  /** What proxies of new pods trust: the anchors as they are now. */
  #trust(): { trustAnchors?: string; trustDomain: string } {
    const roots = this.#objects.get(`ConfigMap/${this.#options.conduitNamespace}/${TRUST_ROOTS}`)
    const trustAnchors = roots?.data?.[TRUST_ROOTS_KEY]
    return { trustDomain: TRUST_DOMAIN, ...(trustAnchors === undefined ? {} : { trustAnchors }) }
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
    this.#options.manifests.write(shownObjects(this.#objects.values(), [...this.#pods.values()]))
    const objects = [...this.#objects.values()]
    const services = objects.filter(object => object.kind === "Service")
    const slices = objects.filter(object => object.kind === "EndpointSlice" || object.kind === "Endpoints")
    const backends = this.pods.map(pod => backendOf(pod, this.#options.network.hasV6))
    this.#options.network.setZone(zoneOf(services, backends, slices))
    await this.#options.network.setServices(rulesOf(services, backends, slices))
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
      review: (pod, signal) => this.#review(pod, signal),
      warn: (pod, message) => options.onProblem(`pod ${pod.name}: ${message}`),
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
