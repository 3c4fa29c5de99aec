// Messages of conduit.destination.v1 to and from what this folder works with.
import {
  type AccrualConfig,
  type BalancingConfig,
  type EndpointInfo,
  type EndpointUpdate,
  NO_HINTS,
} from "../balance/mod.ts"
import { ProtoReader, ProtoWriter } from "../control_plane/mod.ts"
import { formatIpv4, formatIpv6, parseAddress } from "../net/mod.ts"
import {
  type BackendUpdate,
  type FaultConfig,
  NO_TIMEOUTS,
  type RetryConfig,
  type RoutesConfig,
  type RuleConfig,
  readAccrual,
  readBalancing,
  readFault,
  readRetry,
  readRule,
  readTimeouts,
} from "../route/mod.ts"
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

/** A change to the endpoints of one backend, by its number. */
export interface BackendDelta {
  readonly backend: number
  readonly removed: readonly AddressPort[]
  readonly added: readonly EndpointUpdate[]
}

/** What the control plane says about a watch. */
export type WatchUpdate =
  | {
      readonly kind: "service"
      readonly service: ServiceInfo
      readonly endpoints: readonly EndpointUpdate[]
      readonly routes: RoutesConfig
      readonly backends: readonly BackendUpdate[]
    }
  | { readonly kind: "endpoint"; readonly info: EndpointInfo }
  | { readonly kind: "external" }
  | {
      readonly kind: "delta"
      readonly removed: readonly AddressPort[]
      readonly added: readonly EndpointUpdate[]
      readonly backends: readonly BackendDelta[]
    }
  | { readonly kind: "inbound"; readonly protocol: number; readonly zone: string }
  | { readonly kind: "unchanged" }
  /** Of a newer control plane: not understood, and ignored. */
  | { readonly kind: "unknown" }

/** An update and what it belongs to. */
export interface WatchAnswer {
  readonly watchId: number
  readonly version: string
  readonly update: WatchUpdate
}

const UNKNOWN: WatchUpdate = { kind: "unknown" }

// Field numbers below are those of conduit/destination/v1/destination.proto; tests hold them to the generated code.

/** First message of a stream. */
export function encodeHello(identity: ProxyIdentity): Uint8Array {
  const writer = new ProtoWriter()
  writer.begin(1)
  writer.text(1, identity.namespace)
  writer.text(2, identity.pod)
  writer.text(3, identity.node)
  writer.text(4, identity.version)
  writer.end()
  return writer.finish()
}

/** Starts a watch. `version` is what is held already, "" for nothing. */
export function encodeSubscribe(watchId: number, target: WatchTarget, version: string): Uint8Array {
  const ip = parseAddress(target.address)
  const writer = new ProtoWriter()
  writer.begin(2)
  writer.varint(1, watchId)
  writer.begin(ip === null ? 3 : 2)
  if (ip === null) writer.varint(1, target.port)
  else {
    writer.blob(1, ip)
    writer.varint(2, target.port)
  }
  writer.end()
  writer.text(4, version)
  writer.end()
  return writer.finish()
}

/** Ends a watch. */
export function encodeUnsubscribe(watchId: number): Uint8Array {
  const writer = new ProtoWriter()
  writer.begin(3)
  writer.varint(1, watchId)
  writer.end()
  return writer.finish()
}

/**
 * Reads an answer.
 *
 * @throws ProtoError when the bytes are no WatchResponse
 */
export function decodeAnswer(bytes: Uint8Array): WatchAnswer {
  const reader = new ProtoReader(bytes)
  let watchId = 0
  let version = ""
  let update = UNKNOWN
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) watchId = reader.varint()
    else if (field === 2) version = reader.text()
    else if (field === 3) update = readDestination(reader.message())
    else if (field === 4) update = readDelta(reader.message())
    else if (field === 5) update = readInbound(reader.message())
    else if (field === 6) {
      reader.skip()
      update = { kind: "unchanged" }
    } else reader.skip()
  }
  return { watchId, version, update }
}

function readDestination(reader: ProtoReader): WatchUpdate {
  let update = UNKNOWN
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) update = readService(reader.message())
    else if (field === 2) update = { kind: "endpoint", info: readEndpoint(reader.message()).info }
    else if (field === 3) {
      reader.skip()
      update = { kind: "external" }
    } else reader.skip()
  }
  return update
}

function readService(reader: ProtoReader): WatchUpdate {
  let namespace = ""
  let name = ""
  let port = 0
  let protocol = 0
  let fqdn = ""
  const endpoints: EndpointUpdate[] = []
  let kind = 0
  const rules: RuleConfig[] = []
  const backends: BackendUpdate[] = []
  let retry: RetryConfig | null = null
  let timeouts = NO_TIMEOUTS
  let accrual: AccrualConfig | null = null
  let balancing: BalancingConfig | null = null
  let injected: FaultConfig | null = null
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) namespace = reader.text()
    else if (field === 2) name = reader.text()
    else if (field === 3) port = reader.varint()
    else if (field === 5) protocol = reader.varint()
    else if (field === 6) endpoints.push(readEndpoint(reader.message()))
    else if (field === 7) rules.push(readRule(reader.message()))
    else if (field === 8) fqdn = reader.text()
    else if (field === 9) kind = reader.varint()
    else if (field === 10) backends.push(readBackend(reader.message()))
    else if (field === 11) retry = readRetry(reader.message())
    else if (field === 12) timeouts = readTimeouts(reader.message())
    else if (field === 13) accrual = readAccrual(reader.message())
    else if (field === 14) balancing = readBalancing(reader.message())
    else if (field === 15) injected = readFault(reader.message())
    else reader.skip()
  }
  const service = { namespace, name, port, fqdn, protocol }
  const routes = { kind, rules, retry, timeouts, accrual, balancing, injected }
  return { kind: "service", service, endpoints, routes, backends }
}

function readBackend(reader: ProtoReader): BackendUpdate {
  const info = {
    namespace: "",
    name: "",
    port: 0,
    fqdn: "",
    protocol: 0,
    accrual: null as AccrualConfig | null,
    balancing: null as BalancingConfig | null,
  }
  const endpoints: EndpointUpdate[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) info.namespace = reader.text()
    else if (field === 2) info.name = reader.text()
    else if (field === 3) info.port = reader.varint()
    else if (field === 4) info.fqdn = reader.text()
    else if (field === 5) info.protocol = reader.varint()
    else if (field === 6) endpoints.push(readEndpoint(reader.message()))
    else if (field === 7) info.accrual = readAccrual(reader.message())
    else if (field === 8) info.balancing = readBalancing(reader.message())
    else reader.skip()
  }
  return { info, endpoints }
}

function readDelta(reader: ProtoReader): WatchUpdate {
  const removed: AddressPort[] = []
  const added: EndpointUpdate[] = []
  const backends: BackendDelta[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) removed.push(readAddress(reader.message()))
    else if (field === 2) added.push(readEndpoint(reader.message()))
    else if (field === 3) backends.push(readBackendDelta(reader.message()))
    else reader.skip()
  }
  return { kind: "delta", removed, added, backends }
}

function readBackendDelta(reader: ProtoReader): BackendDelta {
  let backend = 0
  const removed: AddressPort[] = []
  const added: EndpointUpdate[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) backend = reader.varint()
    else if (field === 2) removed.push(readAddress(reader.message()))
    else if (field === 3) added.push(readEndpoint(reader.message()))
    else reader.skip()
  }
  return { backend, removed, added }
}

function readAddress(reader: ProtoReader): AddressPort {
  const { address, port } = readEndpoint(reader)
  return { address, port }
}

/** An Endpoint, or an EndpointAddress, whose fields are the first two of it. */
function readEndpoint(reader: ProtoReader): EndpointUpdate {
  let address = ""
  let port = 0
  const info = {
    weight: 1,
    zone: "",
    forZones: NO_HINTS,
    forNodes: NO_HINTS,
    identity: "",
    protocol: 0,
    namespace: "",
    pod: "",
    workloadKind: "",
    workload: "",
    meshed: false,
    serviceAccount: "",
    itself: false,
  }
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) address = addressText(reader.view())
    else if (field === 2) port = reader.varint()
    else if (field === 3) info.weight = reader.varint()
    else if (field === 4) info.zone = reader.text()
    else if (field === 5) info.identity = reader.text()
    else if (field === 6) info.protocol = reader.varint()
    else if (field === 7) info.namespace = reader.text()
    else if (field === 8) info.pod = reader.text()
    else if (field === 9) info.workloadKind = reader.text()
    else if (field === 10) info.workload = reader.text()
    else if (field === 11) info.meshed = reader.varint() !== 0
    else if (field === 12) info.serviceAccount = reader.text()
    else if (field === 13) info.forZones = [...info.forZones, reader.text()]
    else if (field === 14) info.forNodes = [...info.forNodes, reader.text()]
    else reader.skip()
  }
  return { address, port, info }
}

function readInbound(reader: ProtoReader): WatchUpdate {
  let protocol = 0
  let zone = ""
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) protocol = reader.varint()
    else if (field === 2) zone = reader.text()
    else reader.skip()
  }
  return { kind: "inbound", protocol, zone }
}

function addressText(ip: Uint8Array): string {
  if (ip.length === 4) return formatIpv4(ip, 0)
  return ip.length === 16 ? formatIpv6(ip, 0) : ""
}
