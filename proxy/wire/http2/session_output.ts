// The sending half of an HTTP/2 connection (RFC 9113 sections 5 and 6.9): streams, windows, what waits and whose turn
// it is, and the bridge that passes DATA from one connection's stream to another's without copying it.
import { BlockedStreams } from "./blocked_streams.ts"
import { FloodGuard } from "./flood_guard.ts"
import * as frame from "./frame.ts"
import { type ByteSink, FrameWriter } from "./frame_writer.ts"
import { HeadScan } from "./head_scan.ts"
import type { HeaderField } from "./header_field.ts"
import type { SessionEvents } from "./session_events.ts"
import { MAX_WINDOW_BYTES, PeerSettings, STREAM_WINDOW_BYTES } from "./settings.ts"
import { END_NONE, END_STREAM, END_TRAILERS, type Stream } from "./stream.ts"

/** Streams that a client may have open at once, announced as SETTINGS_MAX_CONCURRENT_STREAMS. */
export const MAX_CONCURRENT_STREAMS = 100

/** Window of a connection, octets: two bandwidth-delay products of a cluster network. */
export const CONNECTION_WINDOW_BYTES = 1_048_576

/**
 * Octets received on one connection that may wait in streams' queues before the connection's window is held back too.
 * Below it, a stalled reader stalls its own stream only; above it, memory counts more than fairness.
 */
export const MAX_HELD_BYTES = 4 * 1_048_576

/** Output that may wait before a peer that goes on asking for more, but does not read, loses its connection. */
export const MAX_OUTPUT_BACKLOG_BYTES = 2 * 1_048_576

/** Streams whose late frames are expected, since we reset them and the peer may not know yet (section 5.1). */
const REMEMBERED_RESETS = 128

/** How a session is made. */
export interface SessionOptions {
  /** Whether we are the server of this connection. */
  readonly server: boolean
  /** Monotonic clock reading, ms. */
  readonly nowMs: number
}

/** What sends; `Session` adds what receives. */
export abstract class SessionOutput {
  readonly server: boolean
  readonly peerSettings: PeerSettings = new PeerSettings()
  /** What the head received last says. */
  readonly scan: HeadScan = new HeadScan()
  readonly streams: Map<number, Stream> = new Map()
  readonly writer: FrameWriter
  /** Monotonic clock reading, ms; set before `receive`. */
  nowMs: number
  /** Streams above this are refused: we sent GOAWAY. */
  acceptUpTo: number = MAX_WINDOW_BYTES
  /** The connection failed or closed; nothing more is read or written. */
  dead = false
  /** The owner closes the connection once its last stream is closed. */
  draining = false
  protected readonly events: SessionEvents
  protected readonly guard: FloodGuard
  protected nextLocalId = 1
  protected sendWindow = STREAM_WINDOW_BYTES
  protected receiveWindow = CONNECTION_WINDOW_BYTES
  /** Octets received on the connection and not yet given back. */
  protected releasable = 0
  /** Consecutive frames are often of one stream. */
  protected recent: Stream | null = null
  private heldBytes = 0
  // DATA frames that lie side by side and go to one connection, with their heads rewritten.
  private runTarget: SessionOutput | null = null
  private runBytes: Uint8Array | null = null
  private runStart = 0
  private runEnd = 0
  private readonly blocked = new BlockedStreams()
  /** Made at the first reset: most connections see none. */
  private resetIds: Int32Array | null = null
  private resetCount = 0

  constructor(sink: ByteSink, events: SessionEvents, options: SessionOptions) {
    this.server = options.server
    this.events = events
    this.nowMs = options.nowMs
    this.guard = new FloodGuard(options.nowMs)
    this.writer = new FrameWriter(sink)
    this.writer.preface(options.server, MAX_CONCURRENT_STREAMS, CONNECTION_WINDOW_BYTES)
  }

  /** Ends the connection for what the peer did: GOAWAY, and no more. */
  protected abstract fail(code: number, message: string): void

  /** Octets received on this connection that wait in queues of streams of others. */
  get waitingBytes(): number {
    return this.heldBytes
  }

  /** Whether another stream may be opened by us now. */
  get canOpen(): boolean {
    return (
      !this.dead && this.streams.size < this.peerSettings.maxStreams && this.nextLocalId < MAX_WINDOW_BYTES
    )
  }

  /** Client: opens `stream` with a request's head, then sends what it has queued. */
  open(stream: Stream, fields: readonly HeaderField[], endStream: boolean): void {
    const id = this.nextLocalId
    this.nextLocalId += 2
    this.register(stream, id)
    this.sendHead(stream, fields, endStream)
    if (stream.pending) this.flushStream(stream)
  }

  /** Server: takes the stream of a request just received; `endStream` as told by the event. */
  accept(stream: Stream, id: number, endStream: boolean): void {
    this.register(stream, id)
    stream.remoteEnded = endStream
    stream.bodyLeft = this.scan.contentLength
  }

  /** Sends a head: a request's, a response's (interim ones without `endStream`). Nothing of the stream may be queued. */
  sendHead(stream: Stream, fields: readonly HeaderField[], endStream: boolean): void {
    if (this.dead || stream.closed) return
    this.guard.usefulFrame()
    this.writer.headers(stream.id, fields, endStream)
    this.checkBacklog()
    if (endStream) this.localEnd(stream)
  }

  /** Sends trailers, after what is queued. */
  sendTrailers(stream: Stream, fields: HeaderField[]): void {
    if (this.dead || stream.closed || stream.localEnded) return
    if (stream.pending) {
      stream.queueEnd = END_TRAILERS
      stream.trailers = fields
      return
    }
    this.writer.headers(stream.id, fields, true)
    this.localEnd(stream)
  }

  /** Sends END_STREAM, after what is queued. */
  sendEnd(stream: Stream): void {
    if (this.dead || stream.closed || stream.localEnded) return
    if (stream.pending) {
      stream.queueEnd = END_STREAM
      return
    }
    this.writer.dataHead(stream.id, 0, true)
    this.localEnd(stream)
  }

  /** Closes a stream that the peer said it never looked at, without a frame. */
  forget(stream: Stream): void {
    this.close(stream)
  }

  /** Resets a stream; it is closed on return. */
  reset(stream: Stream, code: number): void {
    if (stream.closed) return
    this.rememberReset(stream.id)
    if (!this.dead) this.writer.reset(stream.id, code)
    this.close(stream)
  }

  /** Sends GOAWAY; streams of the peer above `lastId` are refused from now on. */
  goaway(lastId: number, code: number): void {
    if (this.dead) return
    this.acceptUpTo = Math.min(this.acceptUpTo, lastId)
    this.draining = true
    this.writer.goaway(lastId, code)
  }

  /** The connection is gone: no more frames. Streams are the owner's to end. */
  die(): void {
    this.flushRun()
    this.dead = true
  }

  /** Passes on DATA received on `source` to `target`, or queues it where windows, sockets or states do not allow. */
  protected bridge(
    source: Stream,
    target: Stream,
    bytes: Uint8Array,
    headAt: number,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const session = target.session
    const length = end - start
    if (target.closed || target.localEnded) {
      this.release(source, length)
      return
    }
    if (
      session === null ||
      target.queuedBytes > 0 ||
      // An END_STREAM that carries nothing needs no window.
      (length > 0 &&
        (length > target.sendWindow || length > session.sendWindow || session.writer.congested)) ||
      session.dead
    ) {
      target.enqueue(bytes, start, end)
      this.heldBytes += length
      if (endStream) target.queueEnd = END_STREAM
      if (session !== null && !session.dead) {
        // A part may fit the windows.
        this.flushRun()
        session.flushStream(target)
      }
      return
    }
    target.sendWindow -= length
    session.sendWindow -= length
    target.bodySent += length
    if (target.replay !== null) target.replay.keep(bytes, start, end)
    session.guard.usefulFrame()
    if (headAt >= 0) {
      frame.writeFrameHead(
        bytes,
        headAt,
        length,
        frame.FRAME_DATA,
        endStream ? frame.FLAG_END_STREAM : 0,
        target.id,
      )
      if (this.runTarget === session && this.runEnd === headAt) {
        this.runEnd = end
      } else {
        this.flushRun()
        this.runTarget = session
        this.runBytes = bytes
        this.runStart = headAt
        this.runEnd = end
      }
    } else {
      this.flushRun()
      session.writer.data(target.id, bytes, start, end, endStream)
    }
    this.release(source, length)
    if (endStream) {
      // The end may let the owner close the connection, and that must not overtake the run.
      if (session.draining) this.flushRun()
      session.localEnd(target)
    }
  }

  /** Hands over the run of DATA frames. Must come before anything else is written to other connections. */
  protected flushRun(): void {
    const target = this.runTarget
    if (target === null) return
    // Set together with runTarget.
    const bytes = this.runBytes!
    this.runTarget = null
    this.runBytes = null
    if (!target.dead) target.writer.frames(bytes, this.runStart, this.runEnd)
  }

  /** `length` octets received on `stream` have been passed on or dropped: lets the peer send as many again. */
  release(stream: Stream, length: number): void {
    stream.releasable += length
    if (
      stream.releasable >= STREAM_WINDOW_BYTES >> 1 &&
      !stream.remoteEnded &&
      !stream.closed &&
      !this.dead
    ) {
      stream.receiveWindow += stream.releasable
      this.writer.windowUpdate(stream.id, stream.releasable)
      stream.releasable = 0
    }
  }

  /** Octets received here that waited in a queue have left it. */
  unhold(length: number): void {
    this.heldBytes -= length
    if (this.releasable > 0) this.releaseConnection()
  }

  protected releaseConnection(): void {
    if (this.releasable < CONNECTION_WINDOW_BYTES >> 1 || this.heldBytes > MAX_HELD_BYTES || this.dead) return
    this.receiveWindow += this.releasable
    this.writer.windowUpdate(0, this.releasable)
    this.releasable = 0
  }

  /** Sends what a stream has queued, in turn with others that wait. */
  flushStream(stream: Stream): void {
    if (stream.queuedBytes === 0) {
      this.pumpStream(stream)
      return
    }
    this.lineUp(stream)
    this.pumpBlocked()
  }

  /** The socket takes output again: sends what waited, a frame of each stream in turn. */
  pump(): void {
    this.writer.congested = false
    this.pumpBlocked()
  }

  protected pumpBlocked(): void {
    while (this.sendWindow > 0 && !this.writer.congested && !this.dead) {
      const stream = this.blocked.shift()
      if (stream === null) return
      this.pumpStream(stream)
    }
  }

  /** Sends from a stream's queue: up to a quarter of the high-water mark, then it is the next one's turn. */
  private pumpStream(stream: Stream): void {
    const writer = this.writer
    let turn = 65_536
    while (stream.queuedBytes > 0) {
      const limit = Math.min(stream.sendWindow, this.sendWindow, frame.MAX_FRAME_BYTES)
      if (limit <= 0 || writer.congested || turn <= 0) {
        this.lineUp(stream)
        return
      }
      const piece = stream.dequeue(limit)
      const ends = stream.queuedBytes === 0 && stream.queueEnd === END_STREAM
      stream.sendWindow -= piece.length
      this.sendWindow -= piece.length
      stream.bodySent += piece.length
      if (stream.replay !== null) stream.replay.keep(piece, 0, piece.length)
      turn -= piece.length
      this.guard.usefulFrame()
      writer.data(stream.id, piece, 0, piece.length, ends)
      credit(stream, piece.length)
      if (ends) {
        stream.queueEnd = END_NONE
        this.localEnd(stream)
        return
      }
    }
    const end = stream.queueEnd
    stream.queueEnd = END_NONE
    if (end === END_TRAILERS) {
      // Set together with queueEnd.
      const trailers = stream.trailers!
      stream.trailers = null
      writer.headers(stream.id, trailers, true)
      this.localEnd(stream)
    } else if (end === END_STREAM) {
      writer.dataHead(stream.id, 0, true)
      this.localEnd(stream)
    }
  }

  /** Lines a stream up for `pump`; one whose own window is shut is brought back by WINDOW_UPDATE. */
  private lineUp(stream: Stream): void {
    if (stream.sendWindow > 0) this.blocked.add(stream)
  }

  private register(stream: Stream, id: number): void {
    stream.id = id
    stream.session = this
    stream.sendWindow = this.peerSettings.windowBytes
    stream.receiveWindow = STREAM_WINDOW_BYTES
    stream.openedMs = this.nowMs
    this.streams.set(id, stream)
  }

  protected localEnd(stream: Stream): void {
    stream.localEnded = true
    if (stream.remoteEnded) this.close(stream)
    this.events.onLocalEnd(stream)
  }

  /** Takes a stream off the connection. */
  protected close(stream: Stream): void {
    if (stream.closed) return
    stream.closed = true
    this.blocked.remove(stream)
    if (!stream.keepQueue || !stream.whole) discardQueue(stream)
    if (this.recent === stream) this.recent = null
    this.streams.delete(stream.id)
    this.events.onClosed(stream)
  }

  protected checkBacklog(): void {
    if (this.writer.sink.queuedBytes > MAX_OUTPUT_BACKLOG_BYTES) {
      this.fail(frame.ENHANCE_YOUR_CALM, "the peer asks and does not read")
    }
  }

  protected rememberReset(id: number): void {
    this.resetIds ??= new Int32Array(REMEMBERED_RESETS)
    this.resetIds[this.resetCount++ % REMEMBERED_RESETS] = id
  }

  protected wasReset(id: number): boolean {
    return this.resetIds?.includes(id) ?? false
  }
}

/** Gives back to the sender what left a stream's queue, but for what was given back when it was sent before. */
function credit(stream: Stream, length: number): void {
  const repeated = Math.min(stream.repeatedBytes, length)
  stream.repeatedBytes -= repeated
  giveBack(stream, length - repeated)
}

function giveBack(stream: Stream, length: number): void {
  const source = stream.peer
  const session = source === null ? null : source.session
  if (length === 0 || source === null || session === null) return
  session.unhold(length)
  session.release(source, length)
}

/** Drops what waits on a stream that will not be sent any more, so that its sender is not held back for it. */
export function discardQueue(stream: Stream): void {
  const repeated = stream.repeatedBytes
  giveBack(stream, stream.dropQueue() - repeated)
}
