// Live requests put together from their moments, and summed up by kind; bounded, however long one looks.
import type { TapEvent, TapPeer, TapRequestBegun, TapRequestEnded } from "../../../../protos/mod.ts"

/** Requests that are kept; of more the oldest go. */
export const KEPT_CALLS = 300
/** Kinds of requests that are summed up; more are counted, and not told apart. */
export const KEPT_SUMS = 200
/** A request as far as it is known. */
export interface LiveCall {
  readonly id: string
  readonly begun: TapRequestBegun
  readonly ended: TapRequestEnded | null
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

/** Requests of one tap. */
export class CallLog {
  private readonly byId = new Map<string, LiveCall>()
  private readonly byKind = new Map<string, CallSum>()

  /** Takes one moment of a request. */
  take({ id, moment }: TapEvent): void {
    if (moment.case === "begun") {
      this.byId.set(id, { id, begun: moment.value, ended: null })
      if (this.byId.size > KEPT_CALLS) this.byId.delete(this.byId.keys().next().value ?? "")
    } else if (moment.case === "ended") {
      const call = this.byId.get(id)
      if (call === undefined) return
      this.byId.set(id, { ...call, ended: moment.value })
      this.sum(call.begun, moment.value)
    }
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
