// What is known beforehand of the protocol on a port: `appProtocol` of Services, and the opaque-ports annotation.
import { destinationV1 } from "../../protos/mod.ts"
import {
  type ClusterStore,
  hasPort,
  type PodRecord,
  podPort,
  type ServicePort,
  type ServiceRecord,
} from "../cluster/mod.ts"

const {
  UNSPECIFIED: PROTOCOL_UNSPECIFIED,
  HTTP1: PROTOCOL_HTTP1,
  HTTP2: PROTOCOL_HTTP2,
  TCP: PROTOCOL_TCP,
  TLS: PROTOCOL_TLS,
} = destinationV1.Protocol

/**
 * `appProtocol` (lower case) to hint: the names of KEP-3726, of IANA, and those that people write for
 * protocols in which the server may speak first. Anything else is detected.
 */
const APP_PROTOCOLS: Readonly<Record<string, destinationV1.Protocol>> = {
  http: PROTOCOL_HTTP1,
  "http/1.1": PROTOCOL_HTTP1,
  "grpc-web": PROTOCOL_HTTP1,
  ws: PROTOCOL_HTTP1,
  "kubernetes.io/ws": PROTOCOL_HTTP1,
  h2c: PROTOCOL_HTTP2,
  http2: PROTOCOL_HTTP2,
  grpc: PROTOCOL_HTTP2,
  "kubernetes.io/h2c": PROTOCOL_HTTP2,
  https: PROTOCOL_TLS,
  tls: PROTOCOL_TLS,
  wss: PROTOCOL_TLS,
  "kubernetes.io/wss": PROTOCOL_TLS,
  tcp: PROTOCOL_TCP,
  redis: PROTOCOL_TCP,
  mysql: PROTOCOL_TCP,
  mariadb: PROTOCOL_TCP,
  postgres: PROTOCOL_TCP,
  postgresql: PROTOCOL_TCP,
  mongo: PROTOCOL_TCP,
  mongodb: PROTOCOL_TCP,
  amqp: PROTOCOL_TCP,
  kafka: PROTOCOL_TCP,
  nats: PROTOCOL_TCP,
  memcached: PROTOCOL_TCP,
  smtp: PROTOCOL_TCP,
  ftp: PROTOCOL_TCP,
}

/** Hint for a port of a Service; opaque-ports of a Service (or its namespace) name the Service's ports. */
export function servicePortProtocol(
  store: ClusterStore,
  service: ServiceRecord,
  port: ServicePort,
): destinationV1.Protocol {
  if (hasPort(store.opaquePortsOf(service), port.port)) return PROTOCOL_TCP
  return APP_PROTOCOLS[port.appProtocol.toLowerCase()] ?? PROTOCOL_UNSPECIFIED
}

/** Hint that a pod gives for its own port; opaque-ports of a pod (or its namespace) name the pod's ports. */
export function opaquePodPort(store: ClusterStore, pod: PodRecord, port: number): destinationV1.Protocol {
  return hasPort(store.opaquePortsOf(pod), port) ? PROTOCOL_TCP : PROTOCOL_UNSPECIFIED
}

/**
 * Hint for a pod's port reached without a Service: its own, else what the Services that send to this port agree on.
 */
export function podPortProtocol(store: ClusterStore, pod: PodRecord, port: number): destinationV1.Protocol {
  const own = opaquePodPort(store, pod, port)
  if (own !== PROTOCOL_UNSPECIFIED) return own
  let agreed: destinationV1.Protocol = PROTOCOL_UNSPECIFIED
  for (const service of store.servicesOf(pod)) {
    for (const candidate of service.ports) {
      if (candidate.protocol !== "TCP" || podPort(pod, candidate) !== port) continue
      const hint = servicePortProtocol(store, service, candidate)
      if (hint === PROTOCOL_UNSPECIFIED) continue
      if (agreed !== PROTOCOL_UNSPECIFIED && agreed !== hint) return PROTOCOL_UNSPECIFIED
      agreed = hint
    }
  }
  return agreed
}
