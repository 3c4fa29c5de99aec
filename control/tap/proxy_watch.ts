// The watch of one proxy: begun again when it breaks, its match replaced when the other side's addresses change.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import { createProxyTapClient, type tapV1 } from "../../protos/mod.ts"
import type { PodRecord } from "../cluster/mod.ts"

/** A proxy that cannot be heard is asked again after this, milliseconds. */
export const RETRY_MS = 2_000

type Match = MessageInitShape<typeof tapV1.WatchRequestSchema>

/** What happens on a watch. */
export interface ProxyWatchEvents {
  /** Something was told. */
  heard(watch: ProxyWatch, message: tapV1.WatchResponse): void
  /** Whether it is heard, or why not, has changed. */
  changed(): void
}

/** The watch of one pod's proxy, from when it is made until `stop`. */
export class ProxyWatch {
  readonly pod: PodRecord
  /** It has said that it tells. */
  listening = false
  /** Why it cannot be heard; empty where it can, or is not known yet. */
  failure = ""
  /** As the proxy counts them, of watches that broke too. */
  limited = 0n
  /** The same. */
  dropped = 0n
  private match: Match
  private readonly transport: () => Transport
  private readonly events: ProxyWatchEvents
  private readonly ending = new AbortController()
  private wake: () => void = () => {}
  private replaced = false
  private limitedBefore = 0n
  private droppedBefore = 0n

  constructor(pod: PodRecord, match: Match, transport: () => Transport, events: ProxyWatchEvents) {
    this.pod = pod
    this.match = match
    this.transport = transport
    this.events = events
    void this.run()
  }

  /** Asks for something else from now on. */
  replace(match: Match): void {
    this.match = match
    this.replaced = true
    this.wake()
  }

  /** Ends it. */
  stop(): void {
    this.ending.abort()
    this.wake()
  }

  private async run(): Promise<void> {
    const { signal } = this.ending
    while (!signal.aborted) {
      try {
        const client = createProxyTapClient(this.transport())
        for await (const message of client.watch(this.requests(), { signal })) this.take(message)
        this.fail("its proxy ended the tap")
      } catch (error) {
        if (signal.aborted) return
        const { code, rawMessage } = ConnectError.from(error)
        this.fail(code === Code.Unimplemented ? "its proxy is too old for taps" : rawMessage)
      }
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, RETRY_MS)
        signal.addEventListener("abort", () => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  private async *requests(): AsyncGenerator<Match> {
    const { signal } = this.ending
    this.replaced = false
    yield this.match
    while (!signal.aborted) {
      if (!this.replaced) {
        await new Promise<void>(resolve => {
          this.wake = resolve
        })
      }
      if (signal.aborted) return
      this.replaced = false
      yield this.match
    }
  }

  private take(message: tapV1.WatchResponse): void {
    if (!this.listening) {
      this.listening = true
      this.failure = ""
      this.limitedBefore = this.limited
      this.droppedBefore = this.dropped
      this.events.changed()
    }
    if (message.limited > 0n) this.limited = this.limitedBefore + message.limited
    if (message.dropped > 0n) this.dropped = this.droppedBefore + message.dropped
    this.events.heard(this, message)
  }

  private fail(reason: string): void {
    this.listening = false
    this.failure = reason
    this.events.changed()
  }
}
