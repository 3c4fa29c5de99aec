// Live requests and raw connections put together from their moments, and requests summed up by kind; bounded, however long
// one looks.
import { create } from "@bufbuild/protobuf"
import {
  type TapConnectionOpened,
  type TapEvent,
  type TapPeer,
  type TapRequestBegun,
  TapRequestBegunSchema,
  type TapRequestEnded,
  TapRequestEndedSchema,
} from "../../../../protos/mod.ts"

/** Requests that are kept; of more the oldest go. */
export const KEPT_CALLS = 300
/** Kinds of requests that are summed up; more are counted, and not told apart. */
export const KEPT_SUMS = 200
/** A request, or a raw connection, as far as it is known. */
export interface LiveCall {
  readonly id: string
  /** Of a connection the protocol stands for the method, and the name that its TLS asks for, if any, for the path. */
  readonly begun: TapRequestBegun
  /** Of a connection the bytes of the server stand for the body. */
  readonly ended: TapRequestEnded | null
  /** Of a connection, the bytes of its client as far as they are known; null for a request. */
  readonly clientBytes: bigint | null
}

/** Requests of one kind: between the same ends, of the same method and path. */
export interface CallSum {
  readonly key: string
  readonly from: string
  readonly to: string
  readonly method: string
  readonly path: string
  readonly count: number
  readonly failed: number
  /** Milliseconds. */
  readonly best: number
  readonly worst: number
  readonly last: number
}

/** Who is at an end, in words. */
export function peerWords(peer: TapPeer | undefined): string {
  if (peer === undefined) return ""
  if (peer.name !== "") return `${peer.namespace}/${peer.name}`
  return peer.pod === "" ? peer.address : `${peer.namespace}/${peer.pod}`
}

function asRequest(opened: TapConnectionOpened): TapRequestBegun {
  const { inbound, client, server, tls, service, timeMs, protocol, serverName } = opened
  return create(TapRequestBegunSchema, {
    ...{ inbound, tls, service, timeMs, method: protocol.toUpperCase(), path: serverName },
    ...(client === undefined ? {} : { client }),
    ...(server === undefined ? {} : { server }),
  })
}

/** Requests and connections of one tap. */
export class CallLog {
  private readonly byId = new Map<string, LiveCall>()
  private readonly byKind = new Map<string, CallSum>()

  /** Takes one moment of a request. */
  take({ id, moment }: TapEvent): void {
    const call = this.byId.get(id)
    if (moment.case === "begun") this.keep({ id, begun: moment.value, ended: null, clientBytes: null })
    else if (moment.case === "opened")
      this.keep({ id, begun: asRequest(moment.value), ended: null, clientBytes: 0n })
    else if (moment.case === "ended" && call !== undefined) {
      this.byId.set(id, { ...call, ended: moment.value })
      this.sum(call.begun, moment.value)
    } else if (moment.case === "closed" && call !== undefined) {
      const { afterMs, clientBytes, serverBytes, error } = moment.value
      const failed = error !== ""
      const ended = create(TapRequestEndedSchema, { afterMs, responseBytes: serverBytes, error, failed })
      this.byId.set(id, { ...call, ended, clientBytes })
    }
  }

  private keep(call: LiveCall): void {
    this.byId.set(call.id, call)
    if (this.byId.size > KEPT_CALLS) this.byId.delete(this.byId.keys().next().value ?? "")
  }

  private sum(begun: TapRequestBegun, { afterMs, failed }: TapRequestEnded): void {
    const { client, server, method, path } = begun
    const [from, to, bare] = [peerWords(client), peerWords(server), path.split("?", 1)[0] ?? ""]
    const key = `${from} ${to} ${method} ${bare}`
    const sum = this.byKind.get(key)
    if (sum === undefined && this.byKind.size >= KEPT_SUMS) return
    this.byKind.set(key, {
      ...{ key, from, to, method, path: bare, last: afterMs },
      count: (sum?.count ?? 0) + 1,
      failed: (sum?.failed ?? 0) + (failed ? 1 : 0),
      best: Math.min(sum?.best ?? afterMs, afterMs),
      worst: Math.max(sum?.worst ?? afterMs, afterMs),
    })
  }

  /** The latest first. */
  calls(): LiveCall[] {
    return [...this.byId.values()].reverse()
  }

  /** By kind, in the order in which kinds were met. */
  sums(): CallSum[] {
    return [...this.byKind.values()]
  }
}
