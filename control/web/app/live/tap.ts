// Live requests as they pass, for as long as somebody looks.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { ConnectError } from "@connectrpc/connect"
import { createTapClient, type TapRequestSchema, type TapState } from "../../../../protos/mod.ts"
import { transport } from "../mesh/calls.ts"
import { CallLog, type CallSum, type LiveCall } from "./call_log.ts"

/** What is heard is shown this often, milliseconds: people read no faster. */
const SHOWN_EVERY_MS = 250

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

/** Listens; what is heard is kept in it, and told to who subscribes. */
export class Tap {
  private log = new CallLog()
  private state: TapState | null = null
  private heard = NOTHING
  private ending: AbortController | null = null
  private readonly listeners = new Set<() => void>()
  /** What is shown stands still; what is heard meanwhile is kept, within its bounds. */
  paused = false

  /** @param token  that proves who looks; empty in a local mesh. It is kept by nobody */
  async listen(request: MessageInitShape<typeof TapRequestSchema>, token: string): Promise<void> {
    this.stop()
    this.log = new CallLog()
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
        for (const event of events) this.log.take(event)
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

  private show(listening: boolean, error: unknown): void {
    this.heard = { calls: this.log.calls(), sums: this.log.sums(), state: this.state, listening, error }
    for (const listener of this.listeners) listener()
  }

  /** What is shown. */
  now = (): Heard => this.heard

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }
}
