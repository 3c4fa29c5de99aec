// Which addresses serve a port of a Service, chosen as Kubernetes' endpoint controller and kube-proxy choose them.
import { ipFamily } from "./ip_address.ts"
import type { PodRecord, ServicePort, ServiceRecord } from "./model.ts"
import type { ClusterStore } from "./store.ts"

/** An address that serves a port of a Service. */
export interface ServingAddress {
  readonly ip: string
  readonly port: number
  /** Pod behind it, null when none is known. */
  readonly pod: PodRecord | null
  /** Zone of its node, empty when unknown. */
  readonly zone: string
  /** Zones that it is meant for by a hint; empty for none. */
  readonly forZones: readonly string[]
  /** Nodes that it is meant for, before any zone; empty for none. */
  readonly forNodes: readonly string[]
}

/**
 * Addresses of one family that serve a port of a Service: ready pods; with `publishNotReadyAddresses` all; and when
 * no pod is ready, those that still are while they terminate (KEP-1669), so that the last pod of a rollout goes on
 * serving, and those whose containers are ready on nodes that are not heard: after the API server was away that is said
 * of every node for a while. A Service without selector has those of its slices. In order of address.
 */
export function endpointsOf(
  store: ClusterStore,
  service: ServiceRecord,
  port: ServicePort,
  family: 4 | 6,
): ServingAddress[] {
  const found = new Map<string, ServingAddress>()
  if (service.selector === null) addSlices(store, service, port, family, found)
  else addSelected(store, service, port, family, found)
  return [...found.values()].sort((a, b) => (a.ip === b.ip ? a.port - b.port : a.ip < b.ip ? -1 : 1))
}

const NOWHERE: readonly string[] = []

/** Port of a pod that a Service's port leads to; undefined when the pod has no port of the target's name. */
export function podPort(pod: PodRecord, port: ServicePort): number | undefined {
  if (typeof port.targetPort === "number") return port.targetPort
  return pod.ports.find(declared => declared.name === port.targetPort && declared.protocol === port.protocol)
    ?.port
}

function addSelected(
  store: ClusterStore,
  service: ServiceRecord,
  port: ServicePort,
  family: 4 | 6,
  found: Map<string, ServingAddress>,
): void {
  const last: ServingAddress[] = []
  for (const pod of store.selectedBy(service)) {
    if (pod.finished) continue
    const ip = pod.ips.find(candidate => ipFamily(candidate) === family)
    const target = podPort(pod, port)
    if (ip === undefined || target === undefined) continue
    const forNodes = service.traffic.sameNode && pod.nodeName !== "" ? [pod.nodeName] : NOWHERE
    const address = { ip, port: target, pod, zone: store.zoneOf(pod.nodeName), forZones: NOWHERE, forNodes }
    if (service.publishNotReadyAddresses || (pod.ready && !pod.terminating))
      found.set(`${ip} ${target}`, address)
    else if (pod.ready || pod.unheard) last.push(address)
  }
  if (found.size === 0) for (const address of last) found.set(`${address.ip} ${address.port}`, address)
}

function addSlices(
  store: ClusterStore,
  service: ServiceRecord,
  port: ServicePort,
  family: 4 | 6,
  found: Map<string, ServingAddress>,
): void {
  for (const slice of store.slicesOf(service)) {
    for (const group of slice.groups) {
      const target = group.ports.find(
        candidate => candidate.name === port.name && candidate.protocol === port.protocol,
      )
      if (target === undefined) continue
      for (const endpoint of group.endpoints) {
        if (ipFamily(endpoint.ip) !== family) continue
        if (!endpoint.ready && !service.publishNotReadyAddresses) continue
        const pod = endpoint.pod === "" ? null : (store.pod(service.namespace, endpoint.pod) ?? null)
        const zone = endpoint.zone || store.zoneOf(endpoint.nodeName)
        const { ip, forZones, forNodes } = endpoint
        found.set(`${ip} ${target.port}`, { ip, port: target.port, pod, zone, forZones, forNodes })
      }
    }
  }
}
