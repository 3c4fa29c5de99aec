// Streams that whoever reaches the port may hold open, proving nothing: a bounded number of them.
import { Code } from "@connectrpc/connect"
import { apiError } from "./error_detail.ts"

/** Most of them at a time: every API server's and every load balancer's probe, and people's tools. */
export const MAX_STANDING_STREAMS = 256

/** Counts the streams that are open. */
export class StandingStreams {
  #open = 0

  /**
   * Takes part in a stream for as long as the result is used: `using _ = streams.enter()`.
   *
   * @throws ConnectError ResourceExhausted where too many are open
   */
  enter(): Disposable {
    if (this.#open >= MAX_STANDING_STREAMS) {
      const sentence = `${MAX_STANDING_STREAMS} streams of health and reflection are open, no more are taken`
      throw apiError(Code.ResourceExhausted, sentence, {
        reason: "TOO_MANY_STREAMS",
        hint: "end some, or try again later",
      })
    }
    this.#open++
    return { [Symbol.dispose]: () => void this.#open-- }
  }
}
