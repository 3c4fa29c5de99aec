// Windows of figures on their way to plugins: each reader has a short queue of its own, and who reads too slowly misses the
// oldest, and is told how many.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { pluginHooksV1 } from "../../protos/mod.ts"
import { Wake } from "./told.ts"

/** Windows that wait for one reader: a minute of them. */
export const MAX_WAITING_WINDOWS = 6

/** What is told at once. */
export type WindowTold = Pick<
  MessageInitShape<typeof pluginHooksV1.ObserveRequestSchema>,
  "window" | "events"
>

interface Reader {
  readonly wake: Wake
  readonly waiting: WindowTold[]
  missed: number
}

/** Gives every reader every window, or says how many it missed. */
export class WindowFeed {
  readonly #readers = new Set<Reader>()

  /** Whether anybody reads. */
  get wanted(): boolean {
    return this.#readers.size > 0
  }

  /** Tells all readers. */
  publish(told: WindowTold): void {
    for (const reader of this.#readers) {
      const { wake, waiting } = reader
      waiting.push(told)
      if (waiting.length > MAX_WAITING_WINDOWS) {
        waiting.shift()
        reader.missed++
      }
      wake.wake()
    }
  }

  /** A window could not be made: all readers have missed it. */
  miss(): void {
    for (const reader of this.#readers) reader.missed++
  }

  /** What is published from now on, until the signal says that nobody reads. */
  async *read(signal: AbortSignal): AsyncGenerator<WindowTold & { readonly missed: number }> {
    const reader: Reader = { wake: new Wake(), waiting: [], missed: 0 }
    this.#readers.add(reader)
    const end = (): void => reader.wake.wake()
    signal.addEventListener("abort", end)
    try {
      while (!signal.aborted) {
        const told = reader.waiting.shift()
        if (told === undefined) {
          await reader.wake.wait()
          continue
        }
        const { missed } = reader
        reader.missed = 0
        yield { ...told, missed }
      }
    } finally {
      signal.removeEventListener("abort", end)
      this.#readers.delete(reader)
    }
  }
}
