// What stands behind an address, and how a port of a proxy's own pod behaves: asks the cluster, knows no stream.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { destinationV1 } from "../../protos/mod.ts"
import {
  type ClusterStore,
  endpointsOf,
  ipFamily,
  ipToBytes,
  objectKey,
  type PodRecord,
  type ServingAddress,
} from "../cluster/mod.ts"
import { type MeshNames, workloadDnsName } from "../tls/mod.ts"
import { opaquePodPort, podPortProtocol, servicePortProtocol } from "./protocol_hint.ts"

/** An endpoint in plain data. */
export type EndpointInit = MessageInitShape<typeof destinationV1.EndpointSchema>

/** A Service without its endpoints, in plain data. */
export type ServiceInit = MessageInitShape<typeof destinationV1.ServiceSchema>

/** What stands behind an address. */
export type Resolution =
  | {
      readonly kind: "service"
      readonly service: ServiceInit
      readonly endpoints: readonly EndpointInit[]
      readonly dependsOn: string
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
 */
export function resolveOutbound(
  store: ClusterStore,
  ip: string,
  port: number,
  options: ResolveOptions = {},
): Resolution {
  const found = store.serviceAt(ip, port)
  if (found !== undefined) {
    const { service, port: servicePort } = found
    return {
      kind: "service",
      service: {
        namespace: service.namespace,
        name: service.name,
        port,
        portName: servicePort.name,
        protocol: servicePortProtocol(store, service, servicePort),
        fqdn: `${service.name}.${service.namespace}.svc.${options.clusterDomain ?? "cluster.local"}`,
      },
      endpoints: endpointsOf(store, service, servicePort, ipFamily(ip)).map(address =>
        serviceEndpoint(store, address, options),
      ),
      dependsOn: objectKey(service),
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

/** Protocol hint for a port of a pod; unspecified while the pod is unknown. */
export function resolveInbound(
  store: ClusterStore,
  namespace: string,
  pod: string,
  port: number,
): destinationV1.Protocol {
  const record = store.pod(namespace, pod)
  return record === undefined ? destinationV1.Protocol.UNSPECIFIED : podPortProtocol(store, record, port)
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
  return pod === null ? base : { ...base, ...podFields(store, pod, names) }
}

/** A pod's part of an endpoint, with the name that its proxy will prove. */
function podFields(store: ClusterStore, pod: PodRecord, names: MeshNames | undefined): EndpointInit {
  const workload = store.workloadOf(pod)
  return {
    namespace: pod.namespace,
    pod: pod.name,
    workloadKind: workload.kind,
    workload: workload.name,
    meshed: pod.meshed,
    serviceAccount: pod.serviceAccount,
    identity: names === undefined || !pod.meshed ? "" : workloadDnsName(pod, names),
  }
}
