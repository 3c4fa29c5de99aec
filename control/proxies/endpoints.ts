// Endpoints: what the destination service gives proxies for a Service's ports, for people to look at.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { EndpointInfoSchema, EndpointsRequest, EndpointsResponseSchema } from "../../protos/mod.ts"
import {
  type ClusterStore,
  endpointsOf,
  type ServicePort,
  type ServiceRecord,
  type ServingAddress,
} from "../cluster/mod.ts"
import { identityAt } from "../destination/mod.ts"
import { compareResources, unknownObject } from "../resources/mod.ts"
import type { MeshNames } from "../tls/mod.ts"

/**
 * Answers an Endpoints request.
 *
 * @param names  names of the mesh; without them no endpoint bears an identity
 * @throws ConnectError NotFound for a Service or port that does not exist
 */
export function endpoints(
  store: ClusterStore,
  request: EndpointsRequest,
  names?: MeshNames,
): MessageInitShape<typeof EndpointsResponseSchema> {
  const { namespace, service: name, port } = request
  const found = [...store.services(namespace)]
    .filter(service => name === "" || service.name === name)
    .sort(compareResources)
  if (name !== "" && found.length === 0) {
    const where = namespace === "" ? "" : ` in namespace "${namespace}"`
    throw unknownObject(`service "${name}" is not known${where}`, "service")
  }
  const services = found.flatMap(service =>
    service.ports
      .filter(candidate => candidate.protocol === "TCP" && (port === 0 || candidate.port === port))
      .map(candidate => ({
        namespace: service.namespace,
        service: service.name,
        port: candidate.port,
        portName: candidate.name,
        endpoints: addressesOf(store, service, candidate).map(address => infoOf(store, address, names)),
      })),
  )
  if (name !== "" && port !== 0 && services.length === 0) {
    const ports = found[0]?.ports.map(candidate => candidate.port).join(", ")
    throw unknownObject(`service "${name}" has no TCP port ${port}; its ports: ${ports}`, "port")
  }
  return { services }
}

function addressesOf(store: ClusterStore, service: ServiceRecord, port: ServicePort): ServingAddress[] {
  return ([4, 6] as const).flatMap(family => endpointsOf(store, service, port, family))
}

function infoOf(
  store: ClusterStore,
  { ip, port, pod, zone }: ServingAddress,
  names: MeshNames | undefined,
): MessageInitShape<typeof EndpointInfoSchema> {
  if (pod === null) return { ip, port, zone }
  const workload = store.workloadOf(pod)
  return {
    ip,
    port,
    zone,
    namespace: pod.namespace,
    pod: pod.name,
    workload: { namespace: pod.namespace, kind: workload.kind, name: workload.name },
    meshed: pod.meshed,
    identity: identityAt(pod, port, names),
  }
}
