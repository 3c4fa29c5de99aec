// Messages of conduit.destination.v1 to and from what this folder works with.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { destinationV1 } from "../../protos/mod.ts"
import type { EndpointInfo, EndpointUpdate } from "../balance/mod.ts"
import { formatIpv4, formatIpv6, parseAddress } from "../net/mod.ts"
import type { ServiceInfo } from "./destination.ts"

/** Who the proxy is, as it tells the control plane. */
export interface ProxyIdentity {
  readonly namespace: string
  readonly pod: string
  readonly node: string
  readonly version: string
}

/** What a watch is about: an outbound address, or (address "") a port of the pod itself. */
export interface WatchTarget {
  readonly address: string
  readonly port: number
}

/** Address of an endpoint. */
export interface AddressPort {
  readonly address: string
  readonly port: number
}

/** What the control plane says about a watch. */
export type WatchUpdate =
  | { readonly kind: "service"; readonly service: ServiceInfo; readonly endpoints: readonly EndpointUpdate[] }
  | { readonly kind: "endpoint"; readonly info: EndpointInfo }
  | { readonly kind: "external" }
  | {
      readonly kind: "delta"
      readonly removed: readonly AddressPort[]
      readonly added: readonly EndpointUpdate[]
    }
  | { readonly kind: "inbound"; readonly protocol: number }
  | { readonly kind: "unchanged" }
  /** Of a newer control plane: not understood, and ignored. */
  | { readonly kind: "unknown" }

/** An update and what it belongs to. */
export interface WatchAnswer {
  readonly watchId: number
  readonly version: string
  readonly update: WatchUpdate
}

/** First message of a stream. */
export function encodeHello(identity: ProxyIdentity): Uint8Array {
  const { namespace, pod, node, version } = identity
  return encode({
    case: "hello",
    value: create(destinationV1.HelloSchema, { namespace, pod, node, proxyVersion: version }),
  })
}

/** Starts a watch. `version` is what is held already, "" for nothing. The address must be valid. */
export function encodeSubscribe(watchId: number, target: WatchTarget, version: string): Uint8Array {
  const { port } = target
  const ip = parseAddress(target.address)
  const value = create(destinationV1.SubscribeSchema, {
    watchId: BigInt(watchId),
    version,
    target: ip === null ? { case: "inbound", value: { port } } : { case: "outbound", value: { ip, port } },
  })
  return encode({ case: "subscribe", value })
}

/** Ends a watch. */
export function encodeUnsubscribe(watchId: number): Uint8Array {
  return encode({
    case: "unsubscribe",
    value: create(destinationV1.UnsubscribeSchema, { watchId: BigInt(watchId) }),
  })
}

/**
 * Reads an answer.
 *
 * @throws Error when the bytes are no WatchResponse
 */
export function decodeAnswer(bytes: Uint8Array): WatchAnswer {
  const { watchId, version, update } = fromBinary(destinationV1.WatchResponseSchema, bytes)
  return { watchId: Number(watchId), version, update: updateOf(update) }
}

function encode(request: destinationV1.WatchRequest["request"]): Uint8Array {
  return toBinary(destinationV1.WatchRequestSchema, create(destinationV1.WatchRequestSchema, { request }))
}

function updateOf(update: destinationV1.WatchResponse["update"]): WatchUpdate {
  switch (update.case) {
    case "destination":
      return destinationOf(update.value)
    case "endpoints":
      return {
        kind: "delta",
        removed: update.value.removed.map(({ ip, port }) => ({ address: addressText(ip), port })),
        added: update.value.added.map(endpointUpdate),
      }
    case "inbound":
      return { kind: "inbound", protocol: update.value.protocol }
    case "unchanged":
      return { kind: "unchanged" }
    default:
      return { kind: "unknown" }
  }
}

function destinationOf({ kind }: destinationV1.Destination): WatchUpdate {
  switch (kind.case) {
    case "service": {
      const { namespace, name, port, fqdn, protocol, endpoints } = kind.value
      const service = { namespace, name, port, fqdn, protocol }
      return { kind: "service", service, endpoints: endpoints.map(endpointUpdate) }
    }
    case "endpoint":
      return { kind: "endpoint", info: infoOf(kind.value) }
    case "external":
      return { kind: "external" }
    default:
      return { kind: "unknown" }
  }
}

function endpointUpdate(endpoint: destinationV1.Endpoint): EndpointUpdate {
  return { address: addressText(endpoint.ip), port: endpoint.port, info: infoOf(endpoint) }
}

function infoOf(endpoint: destinationV1.Endpoint): EndpointInfo {
  const { zone, identity, protocol, namespace, pod, workloadKind, workload, meshed, serviceAccount } =
    endpoint
  const weight = endpoint.weight ?? 1
  return { weight, zone, identity, protocol, namespace, pod, workloadKind, workload, meshed, serviceAccount }
}

function addressText(ip: Uint8Array): string {
  return ip.length === 4 ? formatIpv4(ip, 0) : formatIpv6(ip, 0)
}
