// One stream of one connection (RFC 9113 section 5): its windows, its state, and what waits to be sent on it.
import type { ReplayBody } from "../replay_body.ts"
import type { HeaderField } from "./header_field.ts"
import type { SessionOutput } from "./session_output.ts"

/** Nothing ends the stream after the queue. */
export const END_NONE = 0
/** END_STREAM goes with the last octets. */
export const END_STREAM = 1
/** Trailers follow. */
export const END_TRAILERS = 2

/** Pieces that are less than a quarter of the buffer they lie in are copied, so as not to hold all of it. */
const COPY_RATIO = 4

/** Sees the body that is received on a stream, beside where it goes. */
export interface BodyTap {
  /** `bytes[start, end)` of body came, which will be altered; `last`: END_STREAM was with it. */
  data(bytes: Uint8Array, start: number, end: number, last: boolean): void
}

/** State of a stream. The engine extends it by what it knows of the exchange. */
export class Stream {
  /** 0 before it is opened. */
  id = 0
  session: SessionOutput | null = null
  /** The stream that bytes received here go out on, and whose bytes go out here; null: they are dropped. */
  peer: Stream | null = null
  /** Sees the body that is received here; most often nobody. */
  tap: BodyTap | null = null
  /** Octets that may be sent; negative after the peer shrank its window (section 6.9.2). */
  sendWindow = 0
  /** Octets that the peer may still send. */
  receiveWindow = 0
  /** Octets passed on and not yet given back by WINDOW_UPDATE. */
  releasable = 0
  /** Octets of a body with content-length still to come; -1 without one. */
  bodyLeft = -1
  /** We sent END_STREAM. */
  localEnded = false
  /** The peer sent END_STREAM. */
  remoteEnded = false
  /** The stream is over on this connection, by either way. */
  closed = false
  /** On a client's connection: the final response head has come. */
  headReceived = false
  /** The request was HEAD: the response bears no body. */
  bodyless = false
  /** Closing keeps what waits as long as the request may be sent anew on another connection: see `whole`. */
  keepQueue = false
  /** Octets of body sent so far. */
  bodySent = 0
  /** Keeps what was sent of the body; null for a stream that is never sent anew. */
  replay: ReplayBody | null = null
  /** Octets at the queue's beginning that were sent before on another stream, and given back to the sender then. */
  repeatedBytes = 0
  /** Clock reading when it was opened. */
  openedMs = 0
  /** Octets that wait. */
  queuedBytes = 0
  /** How the queue ends: END_NONE, END_STREAM or END_TRAILERS. */
  queueEnd = END_NONE
  trailers: HeaderField[] | null = null
  private queue: Uint8Array[] | null = null
  private queueHead = 0
  // Links of the session's ring of blocked streams.
  blocked = false
  nextBlocked: Stream | null = null

  /** Whether all of the body that came is still here: sent parts in `replay`, the others in the queue. */
  get whole(): boolean {
    return this.bodySent === 0 || (this.replay?.whole ?? false)
  }

  /** What was sent will not be sent again. */
  releaseReplay(): void {
    if (this.replay === null) return
    this.replay.release()
    this.replay = null
  }

  /** Whether anything waits to be sent. */
  get pending(): boolean {
    return this.queuedBytes > 0 || this.queueEnd !== END_NONE
  }

  /** Queues `bytes[start, end)`; keeps them by reference unless that would hold much else. */
  enqueue(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start
    if (length === 0) return
    this.queue ??= []
    const sliced = length * COPY_RATIO < bytes.buffer.byteLength
    this.queue.push(sliced ? bytes.slice(start, end) : bytes.subarray(start, end))
    this.queuedBytes += length
  }

  /** The next piece of the queue, at most `limit` octets, which must be over 0. Only while `queuedBytes` is. */
  dequeue(limit: number): Uint8Array {
    // queuedBytes > 0, so the queue has a piece at its head.
    const queue = this.queue!
    const piece = queue[this.queueHead]!
    if (piece.length > limit) {
      queue[this.queueHead] = piece.subarray(limit)
      this.queuedBytes -= limit
      return piece.subarray(0, limit)
    }
    this.queuedBytes -= piece.length
    this.queueHead++
    if (this.queueHead === queue.length) {
      this.queue = null
      this.queueHead = 0
    }
    return piece
  }

  /** Drops what waits; returns the octets. */
  dropQueue(): number {
    const dropped = this.queuedBytes
    this.queue = null
    this.queueHead = 0
    this.queuedBytes = 0
    this.repeatedBytes = 0
    this.queueEnd = END_NONE
    this.trailers = null
    return dropped
  }

  /**
   * Takes over the body of a stream that was closed before anyone looked at it: what it sent, then what it had not.
   * `from` must be `whole`, and is empty after.
   */
  takeBody(from: Stream): void {
    const replay = from.replay
    if (replay !== null) {
      for (let i = 0; i < replay.pieces; i++) {
        const piece = replay.piece(i)
        this.enqueue(piece, 0, piece.length)
      }
      replay.rewind()
      from.replay = null
      this.replay = replay
    }
    this.repeatedBytes = this.queuedBytes + from.repeatedBytes
    const { queue } = from
    if (queue !== null) {
      for (let i = from.queueHead; i < queue.length; i++) {
        // i < length
        const piece = queue[i]!
        this.enqueue(piece, 0, piece.length)
      }
    }
    this.queueEnd = from.queueEnd
    this.trailers = from.trailers
    from.dropQueue()
  }
}
