// Lines to a descriptor that may be slow, without ever waiting for it: they are gathered, written by one write at a
// time in the background, and dropped once too many wait.
import { write as writeFd } from "node:fs"

/** Bytes that may wait: a second of 5,000 lines. Beyond it lines are dropped, and counted. */
export const MAX_WAITING_LOG_BYTES = 2 * 1024 * 1024

/** Lines leave this often at the latest, milliseconds: somebody may be looking on. */
export const LINE_FLUSH_MS = 100

/** Waiting bytes that are written at once, whatever the time. */
export const LINE_BATCH_BYTES = 64 * 1024

/** Least time between two words about dropped lines, milliseconds: a flood of them floods nothing else. */
export const DROPPED_TOLD_MS = 5_000

/** Pause after a write that the descriptor did not take, milliseconds. */
const RETRY_MS = 50

/** Writes some bytes in the background; as `fs.write`. */
export type Write = (
  bytes: Uint8Array,
  offset: number,
  done: (error: { readonly code?: string } | null, written: number) => void,
) => void

/** Parts of a writer. */
export interface LineWriterOptions {
  /** Default: the process's standard output. */
  readonly write?: Write
  /** Calls back after some milliseconds. Default: setTimeout. */
  readonly later?: (callback: () => void, delayMs: number) => void
  /** Told how many lines were dropped since the last time, every `DROPPED_TOLD_MS` while there are any. */
  readonly onDropped?: (lines: number) => void
}

/** Gathers lines and writes them in batches. */
export class LineWriter {
  /** Lines dropped so far. */
  dropped = 0
  private readonly write: Write
  private readonly later: (callback: () => void, delayMs: number) => void
  private readonly onDropped: (lines: number) => void
  private text = ""
  private batch: Uint8Array | null = null
  private offset = 0
  private scheduled = false
  private told = 0
  private telling = false

  constructor(options: LineWriterOptions = {}) {
    this.write = options.write ?? ((bytes, offset, done) => writeFd(1, bytes, offset, done))
    this.later = options.later ?? ((callback, delayMs) => void setTimeout(callback, delayMs))
    this.onDropped = options.onDropped ?? (() => {})
  }

  /** Takes one line of ASCII with its newline. False: it was dropped. */
  line(line: string): boolean {
    const waiting = this.text.length + (this.batch === null ? 0 : this.batch.length - this.offset)
    if (waiting + line.length > MAX_WAITING_LOG_BYTES) {
      this.drop()
      return false
    }
    this.text += line
    if (this.batch !== null) return true
    if (this.text.length >= LINE_BATCH_BYTES) this.flush()
    else if (!this.scheduled) {
      this.scheduled = true
      this.later(() => {
        this.scheduled = false
        this.flush()
      }, LINE_FLUSH_MS)
    }
    return true
  }

  private drop(): void {
    this.dropped++
    if (this.telling) return
    this.telling = true
    this.later(() => {
      this.telling = false
      this.onDropped(this.dropped - this.told)
      this.told = this.dropped
    }, DROPPED_TOLD_MS)
  }

  /** Begins to write what waits, unless a write is under way. */
  flush(): void {
    if (this.batch !== null || this.text === "") return
    this.batch = Buffer.from(this.text, "latin1")
    this.text = ""
    this.offset = 0
    this.send()
  }

  private send(): void {
    // Set by flush(), cleared when all of it is written.
    this.write(this.batch!, this.offset, (error, written) => this.sent(error, written))
  }

  private sent(error: { readonly code?: string } | null, written: number): void {
    if (error?.code === "EAGAIN") {
      this.later(() => this.send(), RETRY_MS)
      return
    }
    this.offset += written
    if (error === null && this.batch !== null && this.offset < this.batch.length) {
      this.send()
      return
    }
    // With any other error nobody reads: the batch is lost, and the next one is tried.
    this.batch = null
    this.flush()
  }
}
