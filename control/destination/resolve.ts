// What stands behind an address, and how a port of a proxy's own pod behaves: asks the cluster, knows no stream.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { ServiceTraffic } from "../../deploy/gateway/mod.ts"
import { destinationV1 } from "../../protos/mod.ts"
import {
  type ClusterStore,
  endpointsOf,
  hasPort,
  ipFamily,
  ipToBytes,
  objectKey,
  type PodRecord,
  type ServicePort,
  type ServiceRecord,
  type ServingAddress,
} from "../cluster/mod.ts"
import { type MeshNames, workloadDnsName } from "../tls/mod.ts"
import { amended } from "./amended.ts"
import { opaquePodPort, podPortProtocol, servicePortProtocol } from "./protocol_hint.ts"
import { portRoutes, type RuleOrigin, trafficFields } from "./routes.ts"

/** An endpoint in plain data. */
export type EndpointInit = MessageInitShape<typeof destinationV1.EndpointSchema>

/** A Service without its endpoints, in plain data. */
export type ServiceInit = MessageInitShape<typeof destinationV1.ServiceSchema>

/** A backend without its endpoints, in plain data. */
export type BackendInit = MessageInitShape<typeof destinationV1.BackendSchema>

/** A port of a proxy's own pod, in plain data. */
export type InboundInit = MessageInitShape<typeof destinationV1.InboundPortSchema>

/** What stands behind an address. */
export type Resolution =
  | {
      readonly kind: "service"
      readonly service: ServiceInit
      readonly endpoints: readonly EndpointInit[]
      /** Other Services that routes send to, in the order of their numbers. */
      readonly backends: readonly {
        readonly info: BackendInit
        readonly endpoints: readonly EndpointInit[]
      }[]
      /** Where each rule is written, by its index in `service.routes`. */
      readonly origins: readonly RuleOrigin[]
      /** Keys of all Services that it was made from. */
      readonly dependsOn: readonly string[]
    }
  | { readonly kind: "endpoint"; readonly endpoint: EndpointInit }
  | { readonly kind: "external" }

/** Names that depend on the installation. */
export interface ResolveOptions {
  /** Domain of the cluster's DNS. Default `cluster.local`. */
  readonly clusterDomain?: string
  /** Names of the mesh; without them no endpoint bears an identity. */
  readonly names?: MeshNames
}

/**
 * Resolves an address that an application connected to.
 *
 * A cluster IP with a port that its Service lacks is external, as is everything that is no cluster IP and no
 * pod: it is forwarded as it came. Headless Services have no cluster IP: their clients connect to a pod.
 *
 * @param ip canonical text
 * @param clientNamespace  whose consumer routes count; "" for nobody's
 */
export function resolveOutbound(
  store: ClusterStore,
  ip: string,
  port: number,
  clientNamespace: string,
  options: ResolveOptions = {},
): Resolution {
  const found = store.serviceAt(ip, port)
  if (found !== undefined) {
    const { service, port: servicePort } = found
    const family = ipFamily(ip)
    const routes = portRoutes(store, service, servicePort, clientNamespace)
    return {
      kind: "service",
      service: {
        ...serviceFields(store, service, servicePort, options),
        portName: servicePort.name,
        ...trafficFields(service.traffic),
        ...(routes === null ? {} : { routeKind: routes.kind, routes: [...routes.rules] }),
      },
      endpoints: serviceEndpoints(store, service, servicePort, family, options),
      backends: (routes?.backends ?? []).map(backend => ({
        info: {
          ...serviceFields(store, backend.service, backend.port, options),
          ...backendFields(backend.service.traffic),
        },
        endpoints: serviceEndpoints(store, backend.service, backend.port, family, options),
      })),
      origins: routes?.origins ?? [],
      dependsOn: [objectKey(service), ...(routes?.dependsOn ?? [])],
    }
  }
  const pod = store.podAt(ip, port)
  if (pod === undefined) return { kind: "external" }
  const address = { ip, port, pod, zone: store.zoneOf(pod.nodeName) }
  return {
    kind: "endpoint",
    endpoint: endpointOf(store, address, podPortProtocol(store, pod, port), options),
  }
}

/** Protocol hint for a port of a pod, and its zone; unspecified while the pod is unknown. */
export function resolveInbound(
  store: ClusterStore,
  namespace: string,
  pod: string,
  port: number,
): InboundInit {
  const record = store.pod(namespace, pod)
  return record === undefined
    ? {}
    : { protocol: podPortProtocol(store, record, port), zone: store.zoneOf(record.nodeName) }
}

/** What holds for a Service wherever requests come to it from. */
function backendFields({ accrual, balancing }: ServiceTraffic) {
  return {
    ...(accrual === null ? {} : { failureAccrual: accrual }),
    ...(balancing === null ? {} : { balancing }),
  }
}

function serviceFields(
  store: ClusterStore,
  service: ServiceRecord,
  port: ServicePort,
  options: ResolveOptions,
) {
  return {
    namespace: service.namespace,
    name: service.name,
    port: port.port,
    protocol: servicePortProtocol(store, service, port),
    fqdn: `${service.name}.${service.namespace}.svc.${options.clusterDomain ?? "cluster.local"}`,
  }
}

function serviceEndpoints(
  store: ClusterStore,
  service: ServiceRecord,
  port: ServicePort,
  family: 4 | 6,
  options: ResolveOptions,
): EndpointInit[] {
  const placed = endpointsOf(store, service, port, family).map(address => ({
    ip: address.ip,
    port: address.port,
    endpoint: serviceEndpoint(store, address, options),
  }))
  const amendments = store.amendmentsOf(service.namespace, service.name, port.port)
  if (amendments.length === 0) return placed.map(({ endpoint }) => endpoint)
  return amended(placed, amendments, (ip, podPort, zone) => {
    if (ipFamily(ip) !== family) return null
    const pod = store.podAt(ip, podPort) ?? null
    return serviceEndpoint(store, { ip, port: podPort, pod, zone }, options)
  }).map(({ endpoint }) => endpoint)
}

function serviceEndpoint(
  store: ClusterStore,
  address: ServingAddress,
  options: ResolveOptions,
): EndpointInit {
  const { pod } = address
  const hint = pod === null ? destinationV1.Protocol.UNSPECIFIED : opaquePodPort(store, pod, address.port)
  return endpointOf(store, address, hint, options)
}

function endpointOf(
  store: ClusterStore,
  address: ServingAddress,
  protocol: destinationV1.Protocol,
  { names }: ResolveOptions,
): EndpointInit {
  const { pod } = address
  const base = {
    ip: ipToBytes(address.ip) ?? new Uint8Array(),
    port: address.port,
    zone: address.zone,
    protocol,
  }
  return pod === null ? base : { ...base, ...podFields(store, pod, address.port, names) }
}

/** Name that a pod's proxy will prove on a port; empty where there is no proxy, and behind a port that bypasses it. */
export function identityAt(pod: PodRecord, port: number, names: MeshNames | undefined): string {
  if (names === undefined || !pod.meshed || hasPort(pod.skipInboundPorts, port)) return ""
  return workloadDnsName(pod, names)
}

/** A pod's part of an endpoint. */
function podFields(
  store: ClusterStore,
  pod: PodRecord,
  port: number,
  names: MeshNames | undefined,
): EndpointInit {
  const workload = store.workloadOf(pod)
  return {
    namespace: pod.namespace,
    pod: pod.name,
    workloadKind: workload.kind,
    workload: workload.name,
    meshed: pod.meshed,
    serviceAccount: pod.serviceAccount,
    identity: identityAt(pod, port, names),
  }
}
