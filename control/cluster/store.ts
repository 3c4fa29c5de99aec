// The model of the cluster in memory: records by key, the indexes that the services ask, and change events
// that say which answers may be different now. Sources write it; destination, api and others read it.
import { isDeepStrictEqual } from "node:util"
import {
  type AmendmentRecord,
  type AnyPolicyRecord,
  type ClusterObject,
  type EgressRecord,
  type GrantRecord,
  type NamespaceRecord,
  type NodeRecord,
  type OwnerRef,
  objectKey,
  type PluginRecord,
  type PodRecord,
  type PolicyRecord,
  type PortRange,
  type RateLimitRecord,
  ROUTE_RECORD_KINDS,
  type RouteRecord,
  type ServicePort,
  type ServiceRecord,
  type SliceRecord,
  WORKLOAD_KINDS,
  type WorkloadKind,
  type WorkloadRecord,
} from "./model.ts"
import { MultiMap } from "./multi_map.ts"
import { ownerChain } from "./owner_chain.ts"

/** A change that a source makes. */
export type ClusterChange = { readonly put: ClusterObject } | { readonly remove: string }

/** Answers that may have changed, after one batch of changes. */
export interface ClusterDirt {
  /** Keys (`service/namespace/name`) of Services whose ports, hints or endpoints may differ. */
  readonly services: ReadonlySet<string>
  /** Addresses behind which something else may stand now. */
  readonly ips: ReadonlySet<string>
  /** Keys (`pod/namespace/name`) of pods whose own settings may differ. */
  readonly pods: ReadonlySet<string>
  /** Namespaces whose policies differ, of whichever kind. */
  readonly policies: ReadonlySet<string>
  /** Names of Plugins that differ. */
  readonly plugins: ReadonlySet<string>
}

type Listener = (dirt: ClusterDirt) => void

/** The cluster as last seen. Every method answers from indexes; none waits. */
export class ClusterStore {
  private readonly objects = new Map<string, ClusterObject>()
  private readonly podsByNamespace = new Map<string, Map<string, PodRecord>>()
  private readonly servicesByNamespace = new Map<string, Map<string, ServiceRecord>>()
  private readonly policiesByNamespace = new Map<string, Map<string, PolicyRecord>>()
  private readonly egressByNamespace = new Map<string, Map<string, EgressRecord>>()
  private readonly rateLimitsByNamespace = new Map<string, Map<string, RateLimitRecord>>()
  private readonly pluginsByName = new Map<string, PluginRecord>()
  private readonly amendmentsByPort = new MultiMap<AmendmentRecord>()
  private readonly podsByIp = new MultiMap<PodRecord>()
  private readonly podsByNode = new MultiMap<PodRecord>()
  private readonly podsByOwner = new MultiMap<PodRecord>()
  private readonly servicesByIp = new MultiMap<ServiceRecord>()
  private readonly slicesByService = new MultiMap<SliceRecord>()
  private readonly allRoutes = new Set<RouteRecord>()
  private readonly routesByParent = new MultiMap<RouteRecord>()
  private readonly routesByBackendNamespace = new MultiMap<RouteRecord>()
  private readonly grantsByNamespace = new MultiMap<GrantRecord>()
  /** Pods that each Service with a selector selects, ready or not. */
  private readonly members = new Map<string, Set<PodRecord>>()
  private readonly listeners = new Set<Listener>()
  private readonly syncWaiters: (() => void)[] = []
  private readonly completeWaiters: (() => void)[] = []
  private isSynced = false
  /** Of those who have something to put beside the cluster's objects. */
  private heldBack = 0

  /** Whether the source has delivered its first whole state. Nothing should be answered before. */
  get synced(): boolean {
    return this.isSynced
  }

  /** Called by the source once its first whole state is in. */
  markSynced(): void {
    if (this.isSynced) return
    this.isSynced = true
    for (const waiter of this.syncWaiters.splice(0)) waiter()
    this.complete()
  }

  /** Calls back once the store is synced; at once when it is. */
  whenSynced(callback: () => void): void {
    if (this.isSynced) callback()
    else this.syncWaiters.push(callback)
  }

  /**
   * Keeps answers back until what it gives is called: somebody has something to put beside the cluster's objects, without
   * which they would be other than they were and soon will be.
   */
  holdBack(): () => void {
    this.heldBack++
    let released = false
    return () => {
      if (released) return
      released = true
      this.heldBack--
      this.complete()
    }
  }

  /** Calls back once answers may be given: the store is synced, and nobody holds them back; at once when it is so. */
  whenComplete(callback: () => void): void {
    this.completeWaiters.push(callback)
    this.complete()
  }

  private complete(): void {
    if (!this.isSynced || this.heldBack > 0) return
    for (const waiter of this.completeWaiters.splice(0)) waiter()
  }

  /** Number of objects kept. */
  get size(): number {
    return this.objects.size
  }

  /** Calls `listener` after every batch that changed anything; returns what ends it. */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Applies a batch of changes, then tells every listener once. */
  apply(changes: Iterable<ClusterChange>): void {
    const dirt: Dirt = {
      services: new Set(),
      ips: new Set(),
      pods: new Set(),
      policies: new Set(),
      plugins: new Set(),
    }
    for (const change of changes) {
      const key = "put" in change ? objectKey(change.put) : change.remove
      const before = this.objects.get(key)
      const after = "put" in change ? change.put : undefined
      // Kubernetes tells of every heartbeat; what is kept of an object often stays the same.
      if (before === after || (before !== undefined && isDeepStrictEqual(before, after))) continue
      if (after === undefined) this.objects.delete(key)
      else this.objects.set(key, after)
      this.reindex(before, after, dirt)
    }
    const { services, ips, pods, policies, plugins } = dirt
    if (services.size + ips.size + pods.size + policies.size + plugins.size === 0) return
    for (const listener of this.listeners) listener(dirt)
  }

  /** The cluster as it would be after some changes; on its own from then on. For questions that people ask rarely. */
  with(changes: Iterable<ClusterChange>): ClusterStore {
    const copy = new ClusterStore()
    copy.apply([...this.objects.values()].map(put => ({ put })))
    copy.apply(changes)
    copy.markSynced()
    return copy
  }

  // ---- lookups ----

  /** The pod of that name. */
  pod(namespace: string, name: string): PodRecord | undefined {
    return this.podsByNamespace.get(namespace)?.get(name)
  }

  /** The Service of that name. */
  service(namespace: string, name: string): ServiceRecord | undefined {
    return this.servicesByNamespace.get(namespace)?.get(name)
  }

  /** The Namespace of that name, if the source has its object. */
  namespace(name: string): NamespaceRecord | undefined {
    return this.objects.get(`namespace//${name}`) as NamespaceRecord | undefined
  }

  /** The workload of that kind and name. */
  workload(kind: string, namespace: string, name: string): WorkloadRecord | undefined {
    if (!(WORKLOAD_KINDS as readonly string[]).includes(kind)) return undefined
    return this.objects.get(`${kind}/${namespace}/${name}`) as WorkloadRecord | undefined
  }

  /** All pods, of one namespace or (empty) of all. */
  *pods(namespace = ""): Iterable<PodRecord> {
    if (namespace !== "") yield* this.podsByNamespace.get(namespace)?.values() ?? []
    else for (const pods of this.podsByNamespace.values()) yield* pods.values()
  }

  /** All Services, of one namespace or (empty) of all. */
  *services(namespace = ""): Iterable<ServiceRecord> {
    if (namespace !== "") yield* this.servicesByNamespace.get(namespace)?.values() ?? []
    else for (const services of this.servicesByNamespace.values()) yield* services.values()
  }

  /** All AuthorizationPolicies, of one namespace or (empty) of all. */
  policies(namespace = ""): Iterable<PolicyRecord> {
    return within(this.policiesByNamespace, namespace)
  }

  /** All EgressPolicies, of one namespace or (empty) of all. */
  egressPolicies(namespace = ""): Iterable<EgressRecord> {
    return within(this.egressByNamespace, namespace)
  }

  /** All RateLimitPolicies, of one namespace or (empty) of all. */
  rateLimitPolicies(namespace = ""): Iterable<RateLimitRecord> {
    return within(this.rateLimitsByNamespace, namespace)
  }

  /** All Plugins. */
  plugins(): Iterable<PluginRecord> {
    return this.pluginsByName.values()
  }

  /** A Plugin. */
  plugin(name: string): PluginRecord | undefined {
    return this.pluginsByName.get(name)
  }

  /** What plugins change about the endpoints of a port of a Service, in the order in which it counts. */
  amendmentsOf(namespace: string, service: string, port: number): readonly AmendmentRecord[] {
    const found = [...this.amendmentsByPort.get(`${namespace}/${service} ${port}`)]
    return found.sort((a, b) => a.order - b.order || (a.plugin < b.plugin ? -1 : 1))
  }

  /** All workloads of a kind, of one namespace or (empty) of all. */
  *workloads(kind: WorkloadKind, namespace = ""): Iterable<WorkloadRecord> {
    for (const object of this.objects.values()) {
      if (object.kind === kind && (namespace === "" || object.namespace === namespace)) yield object
    }
  }

  /** All namespaces that have an object of their own, or that some object is in. */
  namespaces(): NamespaceRecord[] {
    const found = new Map<string, NamespaceRecord>()
    for (const object of this.objects.values()) {
      if (object.kind === "namespace") found.set(object.name, object)
      else if (object.namespace !== "" && !found.has(object.namespace)) {
        const { namespace: name } = object
        found.set(name, {
          kind: "namespace",
          namespace: "",
          name,
          labels: new Map(),
          opaquePorts: null,
          defaultInboundPolicy: "",
        })
      }
    }
    return [...found.values()]
  }

  /**
   * The Service and port behind a cluster IP. Undefined when the address is no cluster IP, and also when the
   * Service has no such TCP port: kube-proxy would not forward it either, so it goes on as it came.
   */
  serviceAt(ip: string, port: number): { service: ServiceRecord; port: ServicePort } | undefined {
    for (const service of this.servicesByIp.get(ip)) {
      const found = service.ports.find(candidate => candidate.port === port && candidate.protocol === "TCP")
      if (found !== undefined) return { service, port: found }
    }
    return undefined
  }

  /**
   * The pod behind a pod address. Pods on their node's network share its address, so they count only for
   * the ports that they declare. Where an address was given to another pod already, the younger one counts.
   */
  podAt(ip: string, port: number): PodRecord | undefined {
    let best: PodRecord | undefined
    for (const pod of this.podsByIp.get(ip)) {
      if (
        pod.hostNetwork &&
        !pod.ports.some(declared => declared.port === port && declared.protocol === "TCP")
      )
        continue
      if (best === undefined || isYounger(pod, best)) best = pod
    }
    return best
  }

  /** Services that select the pod. */
  *servicesOf(pod: PodRecord): Iterable<ServiceRecord> {
    for (const service of this.services(pod.namespace)) {
      if (this.members.get(objectKey(service))?.has(pod)) yield service
    }
  }

  /** Pods that a Service selects, ready or not. */
  selectedBy(service: ServiceRecord): Iterable<PodRecord> {
    return this.members.get(objectKey(service)) ?? []
  }

  /** Owners of a pod from the nearest to the topmost; none for a bare pod. */
  owners(pod: PodRecord): OwnerRef[] {
    return ownerChain(pod, owner => this.workload(owner.kind, pod.namespace, owner.name))
  }

  /** The workload that a pod belongs to: the topmost owner, or the pod itself when it has none. */
  workloadOf(pod: PodRecord): OwnerRef {
    return this.owners(pod).at(-1) ?? { kind: "pod", name: pod.name }
  }

  /** Opaque ports that hold for a pod or a Service: its own annotation, else its namespace's. */
  opaquePortsOf(object: PodRecord | ServiceRecord): readonly PortRange[] | null {
    return object.opaquePorts ?? this.namespace(object.namespace)?.opaquePorts ?? null
  }

  /** Default inbound policy that holds for a pod: its own annotation, else its namespace's; empty for neither. */
  defaultInboundPolicyOf(pod: PodRecord): string {
    return pod.defaultInboundPolicy || (this.namespace(pod.namespace)?.defaultInboundPolicy ?? "")
  }

  /** Zone of a node, empty when unknown. */
  zoneOf(nodeName: string): string {
    return (this.objects.get(`node//${nodeName}`) as NodeRecord | undefined)?.zone ?? ""
  }

  /** EndpointSlices and Endpoints that were made for a Service, by its controller or by hand. */
  slicesOf(service: ServiceRecord): Iterable<SliceRecord> {
    return this.slicesByService.get(objectKey(service))
  }

  /** Routes that name a Service as parent, whether or not it is there. */
  routesOf(namespace: string, name: string): Iterable<RouteRecord> {
    return this.routesByParent.get(`service/${namespace}/${name}`)
  }

  /** All routes, of one namespace or (empty) of all. */
  *routes(namespace = ""): Iterable<RouteRecord> {
    for (const route of this.allRoutes) {
      if (namespace === "" || route.namespace === namespace) yield route
    }
  }

  /** ReferenceGrants of a namespace. */
  grantsOf(namespace: string): Iterable<GrantRecord> {
    return this.grantsByNamespace.get(namespace)
  }

  // ---- indexes ----

  private reindex(before: ClusterObject | undefined, after: ClusterObject | undefined, dirt: Dirt): void {
    const kind = (after ?? before)?.kind
    if (kind === "pod") this.reindexPod(before as PodRecord | undefined, after as PodRecord | undefined, dirt)
    else if (kind === "service")
      this.reindexService(before as ServiceRecord | undefined, after as ServiceRecord | undefined, dirt)
    else if (kind === "endpointslice" || kind === "endpoints") {
      this.reindexSlice(before as SliceRecord | undefined, after as SliceRecord | undefined, dirt)
    } else if (kind === "referencegrant")
      this.reindexGrant(before as GrantRecord | undefined, after as GrantRecord | undefined, dirt)
    else if ((ROUTE_RECORD_KINDS as readonly (string | undefined)[]).includes(kind))
      this.reindexRoute(before as RouteRecord | undefined, after as RouteRecord | undefined, dirt)
    else if (kind === "authorizationpolicy")
      reindexPolicy(this.policiesByNamespace, before as PolicyRecord, after as PolicyRecord, dirt)
    else if (kind === "egresspolicy")
      reindexPolicy(this.egressByNamespace, before as EgressRecord, after as EgressRecord, dirt)
    else if (kind === "ratelimitpolicy")
      reindexPolicy(this.rateLimitsByNamespace, before as RateLimitRecord, after as RateLimitRecord, dirt)
    else if (kind === "plugin")
      this.reindexPlugin(before as PluginRecord | undefined, after as PluginRecord | undefined, dirt)
    else if (kind === "amendment")
      this.reindexAmendment(before as AmendmentRecord | undefined, after as AmendmentRecord | undefined, dirt)
    else if (kind === "namespace") this.soilNamespace((after ?? before)?.name ?? "", dirt)
    else if (kind === "node")
      for (const pod of this.podsByNode.get((after ?? before)?.name ?? "")) this.soilPod(pod, dirt)
    else
      for (const object of [before, after]) if (object !== undefined) this.soilOwned(objectKey(object), dirt)
  }

  private reindexPod(before: PodRecord | undefined, after: PodRecord | undefined, dirt: Dirt): void {
    if (before !== undefined) {
      this.soilPod(before, dirt)
      for (const ip of before.ips) this.podsByIp.delete(ip, before)
      this.podsByNode.delete(before.nodeName, before)
      if (before.owner !== null) this.podsByOwner.delete(ownerKey(before, before.owner), before)
      for (const service of this.services(before.namespace))
        this.members.get(objectKey(service))?.delete(before)
      this.podsByNamespace.get(before.namespace)?.delete(before.name)
    }
    if (after === undefined) return
    nested(this.podsByNamespace, after.namespace).set(after.name, after)
    if (!after.finished) for (const ip of after.ips) this.podsByIp.add(ip, after)
    this.podsByNode.add(after.nodeName, after)
    if (after.owner !== null) this.podsByOwner.add(ownerKey(after, after.owner), after)
    for (const service of this.services(after.namespace)) {
      if (selects(service, after)) this.members.get(objectKey(service))?.add(after)
    }
    this.soilPod(after, dirt)
  }

  private reindexService(
    before: ServiceRecord | undefined,
    after: ServiceRecord | undefined,
    dirt: Dirt,
  ): void {
    if (before !== undefined) {
      this.soilService(before, dirt)
      for (const ip of before.clusterIps) this.servicesByIp.delete(ip, before)
      this.servicesByNamespace.get(before.namespace)?.delete(before.name)
      this.members.delete(objectKey(before))
    }
    if (after === undefined) return
    nested(this.servicesByNamespace, after.namespace).set(after.name, after)
    for (const ip of after.clusterIps) this.servicesByIp.add(ip, after)
    const selected = new Set<PodRecord>()
    for (const pod of this.pods(after.namespace)) if (selects(after, pod)) selected.add(pod)
    this.members.set(objectKey(after), selected)
    this.soilService(after, dirt)
  }

  private reindexSlice(before: SliceRecord | undefined, after: SliceRecord | undefined, dirt: Dirt): void {
    for (const slice of [before, after]) {
      if (slice === undefined) continue
      const key = `service/${slice.namespace}/${slice.service}`
      if (slice === before) this.slicesByService.delete(key, slice)
      else this.slicesByService.add(key, slice)
      dirt.services.add(key)
    }
  }

  private reindexRoute(before: RouteRecord | undefined, after: RouteRecord | undefined, dirt: Dirt): void {
    for (const record of [before, after]) {
      if (record === undefined) continue
      const change = record === before ? "delete" : "add"
      this.allRoutes[change](record)
      for (const parent of record.route.parents) {
        const key = `service/${parent.namespace}/${parent.name}`
        this.routesByParent[change](key, record)
        dirt.services.add(key)
      }
      for (const rule of record.route.rules) {
        for (const { target, filters } of rule.backends) {
          this.routesByBackendNamespace[change](target.namespace, record)
          for (const mirror of filters.mirrors)
            this.routesByBackendNamespace[change](mirror.target.namespace, record)
        }
        for (const { target } of rule.filters.mirrors)
          this.routesByBackendNamespace[change](target.namespace, record)
      }
    }
  }

  private reindexGrant(before: GrantRecord | undefined, after: GrantRecord | undefined, dirt: Dirt): void {
    const namespace = (after ?? before)?.namespace ?? ""
    if (before !== undefined) this.grantsByNamespace.delete(namespace, before)
    if (after !== undefined) this.grantsByNamespace.add(namespace, after)
    for (const { route } of this.routesByBackendNamespace.get(namespace)) {
      for (const parent of route.parents) dirt.services.add(`service/${parent.namespace}/${parent.name}`)
    }
  }

  private reindexPlugin(before: PluginRecord | undefined, after: PluginRecord | undefined, dirt: Dirt): void {
    if (after === undefined) this.pluginsByName.delete(before?.name ?? "")
    else this.pluginsByName.set(after.name, after)
    dirt.plugins.add((after ?? before)?.name ?? "")
  }

  private reindexAmendment(
    before: AmendmentRecord | undefined,
    after: AmendmentRecord | undefined,
    dirt: Dirt,
  ): void {
    for (const record of [before, after]) {
      if (record === undefined) continue
      const key = `${record.namespace}/${record.service} ${record.port}`
      if (record === before) this.amendmentsByPort.delete(key, record)
      else this.amendmentsByPort.add(key, record)
      dirt.services.add(`service/${record.namespace}/${record.service}`)
    }
  }

  // ---- which answers a change touches ----

  private soilPod(pod: PodRecord, dirt: Dirt): void {
    dirt.pods.add(objectKey(pod))
    for (const ip of pod.ips) dirt.ips.add(ip)
    for (const service of this.servicesOf(pod)) dirt.services.add(objectKey(service))
    for (const service of this.services(pod.namespace)) {
      if (service.selector === null) dirt.services.add(objectKey(service))
    }
  }

  private soilService(service: ServiceRecord, dirt: Dirt): void {
    dirt.services.add(objectKey(service))
    for (const ip of service.clusterIps) dirt.ips.add(ip)
    for (const pod of this.selectedBy(service)) {
      dirt.pods.add(objectKey(pod))
      for (const ip of pod.ips) dirt.ips.add(ip)
    }
  }

  private soilNamespace(name: string, dirt: Dirt): void {
    for (const pod of this.pods(name)) this.soilPod(pod, dirt)
    for (const service of this.services(name)) this.soilService(service, dirt)
  }

  private soilOwned(key: string, dirt: Dirt): void {
    for (const pod of this.podsByOwner.get(key)) this.soilPod(pod, dirt)
  }
}

type Dirt = { [Part in keyof ClusterDirt]: Set<string> }

function isYounger(pod: PodRecord, than: PodRecord): boolean {
  if (pod.terminating !== than.terminating) return than.terminating
  return pod.createdMs > than.createdMs
}

function ownerKey(pod: PodRecord, owner: OwnerRef): string {
  return `${owner.kind}/${pod.namespace}/${owner.name}`
}

function selects(service: ServiceRecord, pod: PodRecord): boolean {
  if (service.selector === null) return false
  for (const [name, value] of service.selector) if (pod.labels.get(name) !== value) return false
  return true
}

function* within<V>(maps: ReadonlyMap<string, ReadonlyMap<string, V>>, namespace: string): Generator<V> {
  if (namespace !== "") yield* maps.get(namespace)?.values() ?? []
  else for (const map of maps.values()) yield* map.values()
}

function reindexPolicy<Kept extends AnyPolicyRecord>(
  index: Map<string, Map<string, Kept>>,
  before: Kept | undefined,
  after: Kept | undefined,
  dirt: Dirt,
): void {
  for (const policy of [before, after]) {
    if (policy === undefined) continue
    const policies = nested(index, policy.namespace)
    if (policy === before) policies.delete(policy.name)
    else policies.set(policy.name, policy)
    dirt.policies.add(policy.namespace)
  }
}

function nested<V>(map: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const inner = map.get(key) ?? new Map<string, V>()
  map.set(key, inner)
  return inner
}
