// Live requests as they pass, for as long as somebody looks: put together from their moments, and bounded.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { ConnectError } from "@connectrpc/connect"
import {
  createTapClient,
  type TapEvent,
  type TapPeer,
  type TapRequestBegun,
  type TapRequestEnded,
  type TapRequestSchema,
  type TapState,
} from "../../../../protos/mod.ts"
import { transport } from "./calls.ts"

/** Requests that are kept; of more the oldest go. */
export const KEPT_CALLS = 300
/** Kinds of requests that are summed up; more are counted, and not told apart. */
export const KEPT_SUMS = 200
/** What is heard is shown this often, milliseconds: people read no faster. */
const SHOWN_EVERY_MS = 250

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

/** What is heard. */
export interface Heard {
  /** The latest first. */
  readonly calls: readonly LiveCall[]
  readonly sums: readonly CallSum[]
  readonly state: TapState | null
  /** Whether it is listened to. */
  readonly listening: boolean
  readonly error: unknown
}

const NOTHING: Heard = { calls: [], sums: [], state: null, listening: false, error: null }

/** Who is at an end, in words. */
export function peerWords(peer: TapPeer | undefined): string {
  if (peer === undefined) return ""
  if (peer.name !== "") return `${peer.namespace}/${peer.name}`
  return peer.pod === "" ? peer.address : `${peer.namespace}/${peer.pod}`
}

/** Listens; what is heard is kept in it, and told to who subscribes. */
export class Tap {
  private calls = new Map<string, LiveCall>()
  private sums = new Map<string, CallSum>()
  private state: TapState | null = null
  private heard = NOTHING
  private ending: AbortController | null = null
  private readonly listeners = new Set<() => void>()
  /** What is shown stands still; what is heard meanwhile is kept, within its bounds. */
  paused = false

  /** @param token  that proves who looks; empty in a local mesh. It is kept by nobody */
  async listen(request: MessageInitShape<typeof TapRequestSchema>, token: string): Promise<void> {
    this.stop()
    this.calls.clear()
    this.sums.clear()
    this.state = null
    const ending = new AbortController()
    this.ending = ending
    this.show(true, null)
    const timer = setInterval(() => {
      if (!this.paused) this.show(true, null)
    }, SHOWN_EVERY_MS)
    try {
      const headers: Record<string, string> = token === "" ? {} : { authorization: `Bearer ${token}` }
      const options = { signal: ending.signal, headers, timeoutMs: 0 }
      for await (const { events, state } of createTapClient(transport).tap(request, options)) {
        for (const event of events) this.take(event)
        if (state !== undefined) this.state = state
      }
      if (this.ending === ending) this.show(false, null)
    } catch (error) {
      if (this.ending === ending) this.show(false, ending.signal.aborted ? null : ConnectError.from(error))
    } finally {
      clearInterval(timer)
    }
  }

  stop(): void {
    this.ending?.abort()
    this.ending = null
    this.show(false, null)
  }

  /** Takes one moment of a request. */
  take({ id, moment }: TapEvent): void {
    if (moment.case === "begun") {
      this.calls.set(id, { id, begun: moment.value, ended: null })
      if (this.calls.size > KEPT_CALLS) this.calls.delete(this.calls.keys().next().value ?? "")
    } else if (moment.case === "ended") {
      const call = this.calls.get(id)
      if (call === undefined) return
      this.calls.set(id, { ...call, ended: moment.value })
      this.sum(call.begun, moment.value)
    }
  }

  private sum(begun: TapRequestBegun, { afterMs, failed }: TapRequestEnded): void {
    const { client, server, method, path } = begun
    const [from, to, bare] = [peerWords(client), peerWords(server), path.split("?", 1)[0] ?? ""]
    const key = `${from} ${to} ${method} ${bare}`
    const sum = this.sums.get(key)
    if (sum === undefined && this.sums.size >= KEPT_SUMS) return
    this.sums.set(key, {
      ...{ key, from, to, method, path: bare, last: afterMs },
      count: (sum?.count ?? 0) + 1,
      failed: (sum?.failed ?? 0) + (failed ? 1 : 0),
      best: Math.min(sum?.best ?? afterMs, afterMs),
      worst: Math.max(sum?.worst ?? afterMs, afterMs),
    })
  }

  private show(listening: boolean, error: unknown): void {
    const calls = [...this.calls.values()].reverse()
    this.heard = { calls, sums: [...this.sums.values()], state: this.state, listening, error }
    for (const listener of this.listeners) listener()
  }

  /** What is shown. */
  now = (): Heard => this.heard

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }
}
