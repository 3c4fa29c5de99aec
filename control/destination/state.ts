// The state of one target as proxies get it: encoded once, whatever the number that watch, with a version that
// is a hash of its content, so that a restarted control plane gives the same version for the same state.

import { createHash } from "node:crypto"
import { create, toBinary } from "@bufbuild/protobuf"
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import { destinationV1 } from "../../protos/mod.ts"
import type { EndpointInit, InboundInit, Resolution } from "./resolve.ts"

/** Length of a version in hex digits: 64 bits tell any two states of one target apart. */
export const VERSION_DIGITS = 16

// Field numbers of conduit/destination/v1/destination.proto, for the messages that are put together from parts
// that are encoded already.
const RESPONSE_VERSION = 2
const RESPONSE_DESTINATION = 3
const RESPONSE_ENDPOINTS = 4
const RESPONSE_INBOUND = 5
const RESPONSE_UNCHANGED = 6
const DESTINATION_SERVICE = 1
const DESTINATION_ENDPOINT = 2
const DESTINATION_EXTERNAL = 3
const SERVICE_ENDPOINTS = 6
const SERVICE_BACKENDS = 10
const BACKEND_ENDPOINTS = 6
const DELTA_REMOVED = 1
const DELTA_ADDED = 2
const DELTA_BACKENDS = 3
const BACKEND_DELTA_NUMBER = 1
const BACKEND_DELTA_REMOVED = 2
const BACKEND_DELTA_ADDED = 3

/** State of one target. Immutable. Bodies are WatchResponses without `watch_id`. */
export interface TargetState {
  /** Hash of the content. */
  readonly version: string
  /** The whole state. */
  readonly full: Uint8Array
  /** Service and backends without endpoints, encoded; null for what is no Service. */
  readonly head: Uint8Array | null
  /** Endpoints of a Service, encoded, by address; empty for what is no Service. */
  readonly endpoints: EncodedEndpoints
  /** The same of its backends, by their numbers less 1. */
  readonly backends: readonly EncodedEndpoints[]
}

/** Endpoints, encoded, by address. */
export type EncodedEndpoints = ReadonlyMap<string, Uint8Array>

/** State of an outbound target. */
export function outboundState(resolution: Resolution): TargetState {
  if (resolution.kind === "service") {
    const endpoints = encodeEndpoints(resolution.endpoints)
    const own = toBinary(destinationV1.ServiceSchema, create(destinationV1.ServiceSchema, resolution.service))
    const head = new BinaryWriter().raw(own)
    const service = new BinaryWriter().raw(own)
    for (const endpoint of endpoints.values()) part(service, SERVICE_ENDPOINTS, endpoint)
    const backends: EncodedEndpoints[] = []
    for (const backend of resolution.backends) {
      const info = toBinary(destinationV1.BackendSchema, create(destinationV1.BackendSchema, backend.info))
      const known = encodeEndpoints(backend.endpoints)
      const whole = new BinaryWriter().raw(info)
      for (const endpoint of known.values()) part(whole, BACKEND_ENDPOINTS, endpoint)
      part(service, SERVICE_BACKENDS, whole.finish())
      part(head, SERVICE_BACKENDS, info)
      backends.push(known)
    }
    const body = wrap(DESTINATION_SERVICE, service.finish())
    return state(RESPONSE_DESTINATION, body, head.finish(), endpoints, backends)
  }
  const body =
    resolution.kind === "endpoint"
      ? wrap(DESTINATION_ENDPOINT, encodeEndpoint(resolution.endpoint))
      : wrap(DESTINATION_EXTERNAL, new Uint8Array())
  return state(RESPONSE_DESTINATION, body, null, new Map(), [])
}

/** State of an inbound port. */
export function inboundState(init: InboundInit): TargetState {
  const port = create(destinationV1.InboundPortSchema, init)
  return state(RESPONSE_INBOUND, toBinary(destinationV1.InboundPortSchema, port), null, new Map(), [])
}

/** The answer to a proxy that holds this state already. */
export function unchangedBody(current: TargetState): Uint8Array {
  return response(current.version, RESPONSE_UNCHANGED, new Uint8Array())
}

/** What takes a watcher from one state to another: endpoints only where nothing else differs, else all of it. */
export function changeBody(from: TargetState, to: TargetState): Uint8Array {
  if (from.head === null || to.head === null || !sameBytes(from.head, to.head)) return to.full
  const delta = new BinaryWriter()
  writeDelta(delta, from.endpoints, to.endpoints, DELTA_REMOVED, DELTA_ADDED)
  for (const [index, after] of to.backends.entries()) {
    const change = new BinaryWriter()
    const before = from.backends[index] ?? new Map()
    writeDelta(change, before, after, BACKEND_DELTA_REMOVED, BACKEND_DELTA_ADDED)
    const changed = change.finish()
    if (changed.length === 0) continue
    const whole = new BinaryWriter()
      .tag(BACKEND_DELTA_NUMBER, WireType.Varint)
      .uint32(index + 1)
      .raw(changed)
    part(delta, DELTA_BACKENDS, whole.finish())
  }
  return response(to.version, RESPONSE_ENDPOINTS, delta.finish())
}

function writeDelta(
  writer: BinaryWriter,
  from: EncodedEndpoints,
  to: EncodedEndpoints,
  removed: number,
  added: number,
): void {
  for (const [key, endpoint] of from) if (!to.has(key)) part(writer, removed, addressOf(endpoint))
  for (const [key, endpoint] of to) {
    const before = from.get(key)
    if (before === undefined || !sameBytes(before, endpoint)) part(writer, added, endpoint)
  }
}

function state(
  field: number,
  body: Uint8Array,
  head: Uint8Array | null,
  endpoints: EncodedEndpoints,
  backends: readonly EncodedEndpoints[],
): TargetState {
  const version = createHash("sha256").update(body).digest("hex").slice(0, VERSION_DIGITS)
  return { version, full: response(version, field, body), head, endpoints, backends }
}

function response(version: string, field: number, body: Uint8Array): Uint8Array {
  const writer = new BinaryWriter().tag(RESPONSE_VERSION, WireType.LengthDelimited).string(version)
  return part(writer, field, body).finish()
}

function part(writer: BinaryWriter, field: number, bytes: Uint8Array): BinaryWriter {
  return writer.tag(field, WireType.LengthDelimited).bytes(bytes)
}

function wrap(field: number, bytes: Uint8Array): Uint8Array {
  return part(new BinaryWriter(), field, bytes).finish()
}

function encodeEndpoints(inits: readonly EndpointInit[]): EncodedEndpoints {
  return new Map(inits.map(init => [addressKey(init), encodeEndpoint(init)]))
}

function encodeEndpoint(init: EndpointInit): Uint8Array {
  return toBinary(destinationV1.EndpointSchema, create(destinationV1.EndpointSchema, init))
}

function addressKey(init: EndpointInit): string {
  return `${init.ip?.join(".")} ${init.port}`
}

/** An endpoint begins with the two fields of its address (ip = 1, port = 2), numbered as in EndpointAddress. */
function addressOf(endpoint: Uint8Array): Uint8Array {
  const ipEnd = 2 + (endpoint[1] ?? 0)
  let end = ipEnd + 1
  while (((endpoint[end] ?? 0) & 0x80) !== 0) end++
  return endpoint.subarray(0, end + 1)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}
