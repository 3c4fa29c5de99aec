// Cuts a watch's bytes into lines: an event is one line of JSON.
import { KubeError } from "./api.ts"

/** Longest event: etcd's limit for an object is 1.5 MB, its JSON with managed fields may be several times that. */
export const MAX_EVENT_CHARS = 16 * 1024 * 1024

/** Holds the last unfinished line. */
export class LineReader {
  private readonly decoder = new TextDecoder()
  private rest = ""

  /**
   * Whole lines that these bytes complete, without empty ones.
   *
   * @throws KubeError when a line is longer than MAX_EVENT_CHARS
   */
  push(bytes: Uint8Array): string[] {
    const text = this.decoder.decode(bytes, { stream: true })
    const last = text.lastIndexOf("\n")
    if (last < 0) {
      this.rest += text
      if (this.rest.length > MAX_EVENT_CHARS)
        throw new KubeError(`one of its events is longer than ${MAX_EVENT_CHARS} characters`)
      return []
    }
    const whole = this.rest + text.slice(0, last)
    this.rest = text.slice(last + 1)
    return whole.split("\n").filter(line => line !== "")
  }
}
