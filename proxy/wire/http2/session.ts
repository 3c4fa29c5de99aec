// One HTTP/2 connection (RFC 9113), without its socket: frames in become events, calls become frames out. It keeps
// the compression state, the windows and the limits, and bridges DATA from stream to stream without copying it.
import type { FieldTable } from "./field_table.ts"
import { FloodGuard, SETTINGS_COST } from "./flood_guard.ts"
import * as frame from "./frame.ts"
import { FrameReader, type FrameSink } from "./frame_reader.ts"
import { type ByteSink, FrameWriter } from "./frame_writer.ts"
import { HeadScan } from "./head_scan.ts"
import type { HeaderField } from "./header_field.ts"
import { DECODE_INVALID, DECODE_TOO_LARGE, HpackDecoder, MAX_HEADER_LIST_BYTES } from "./hpack_decoder.ts"
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

/** Longest header block in its compressed form, and so the end of a flood of CONTINUATION frames (CVE-2024-27316). */
export const MAX_HEADER_BLOCK_BYTES = MAX_HEADER_LIST_BYTES

/** CONTINUATION frames of one block; honest senders fill them, so that nine suffice for the longest. */
export const MAX_CONTINUATIONS = 32

/** Output that may wait before a peer that goes on asking for more, but does not read, loses its connection. */
export const MAX_OUTPUT_BACKLOG_BYTES = 2 * 1_048_576

/** Streams whose late frames are expected, since we reset them and the peer may not know yet (section 5.1). */
const REMEMBERED_RESETS = 128

/** Takes what happens on a connection. All calls are made from within `receive` or `pump`. */
export interface SessionEvents {
  /** A well-formed request; `session.scan` tells more. Open it with `accept`, or `refuse` it. */
  onRequest(id: number, fields: HeaderField[], endStream: boolean): void
  /** A request whose head is over the limits: answer 431. */
  onRequestTooLarge(id: number, endStream: boolean): void
  /** A request that was malformed, and reset. */
  onRequestMalformed(message: string): void
  /** A well-formed response head, interim (1xx) or final. */
  onResponse(stream: Stream, fields: HeaderField[], endStream: boolean): void
  onTrailers(stream: Stream, fields: HeaderField[]): void
  /** END_STREAM came, and what came before it has been passed on or queued. Follows `onResponse` and `onTrailers` too. */
  onRemoteEnd(stream: Stream): void
  /** END_STREAM was sent. */
  onLocalEnd(stream: Stream): void
  /** The peer reset the stream, which is closed now. */
  onReset(stream: Stream, code: number): void
  /** The peer broke the protocol on the stream; it was reset with `code` and is closed now. */
  onStreamError(stream: Stream, code: number, message: string): void
  onSettings(): void
  onGoaway(lastId: number, code: number): void
  onPingAck(): void
  /** The stream was closed, in whatever way; `streams` no longer holds it. */
  onClosed(stream: Stream): void
  /** The peer broke the protocol; GOAWAY was sent. Close the connection. */
  onConnectionError(code: number, message: string): void
}

/** How a session is made. */
export interface SessionOptions {
  /** Whether we are the server of this connection. */
  readonly server: boolean
  /** Monotonic clock reading, ms. */
  readonly nowMs: number
}

/** One end of an HTTP/2 connection. */
export class Session implements FrameSink {
  readonly server: boolean
  readonly peerSettings: PeerSettings = new PeerSettings()
  readonly scan: HeadScan = new HeadScan()
  readonly streams: Map<number, Stream> = new Map()
  readonly writer: FrameWriter
  /** Monotonic clock reading, ms; set before `receive`. */
  nowMs: number
  /** Highest stream id that the peer opened. */
  lastPeerId = 0
  /** Streams above this are refused: we sent GOAWAY. */
  acceptUpTo: number = MAX_WINDOW_BYTES
  /** The connection failed or closed; nothing more is read or written. */
  dead = false
  /** The owner closes the connection once its last stream is closed. */
  draining = false
  /** When something was received last, ms. */
  receivedMs: number
  private readonly events: SessionEvents
  private readonly reader: FrameReader
  private readonly decoder: HpackDecoder
  private readonly guard: FloodGuard
  private nextLocalId = 1
  private sendWindow = STREAM_WINDOW_BYTES
  private receiveWindow = CONNECTION_WINDOW_BYTES
  private releasable = 0
  private heldBytes = 0
  private settingsSeen = false
  // The header block under way.
  private block: Uint8Array | null = null
  private blockLength = 0
  private blockId = 0
  private blockEnds = false
  private continuations = 0
  // DATA frames that lie side by side and go to one connection, with their heads rewritten.
  private runTarget: Session | null = null
  private runBytes: Uint8Array | null = null
  private runStart = 0
  private runEnd = 0
  // The tail of a ring of streams with something to send that had to wait.
  private lastBlocked: Stream | null = null
  private readonly resetIds = new Int32Array(REMEMBERED_RESETS)
  private resetCount = 0
  // Consecutive frames are often of one stream.
  private recent: Stream | null = null

  constructor(sink: ByteSink, fields: FieldTable, events: SessionEvents, options: SessionOptions) {
    this.server = options.server
    this.events = events
    this.nowMs = options.nowMs
    this.receivedMs = options.nowMs
    this.reader = new FrameReader(this, options.server)
    this.decoder = new HpackDecoder(fields)
    this.guard = new FloodGuard(options.nowMs)
    this.writer = new FrameWriter(sink)
    this.writer.preface(options.server, MAX_CONCURRENT_STREAMS, CONNECTION_WINDOW_BYTES)
  }

  /** Takes bytes from the socket. `chunk` belongs to the session from here on, and is altered. */
  receive(chunk: Uint8Array): void {
    if (this.dead) return
    this.receivedMs = this.nowMs
    this.reader.feed(chunk)
    this.flushRun()
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

  /** Server: resets a stream that was not accepted. */
  refuse(id: number, code: number): void {
    this.rememberReset(id)
    this.writer.reset(id, code)
    this.countReset(0)
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
    this.reader.stopped = true
    this.lastBlocked = null
  }

  /** Passes on DATA received on `source` to `target`, or queues it where windows, sockets or states do not allow. */
  private bridge(
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
  private flushRun(): void {
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

  private releaseConnection(): void {
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

  private pumpBlocked(): void {
    let last = this.lastBlocked
    while (last !== null && this.sendWindow > 0 && !this.writer.congested && !this.dead) {
      // A ring: the last one's successor is the first.
      const stream = last.nextBlocked as Stream
      this.unlinkFirst(last, stream)
      this.pumpStream(stream)
      last = this.lastBlocked
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

  /** Lines a stream up for `pump`. */
  lineUp(stream: Stream): void {
    if (stream.blocked || stream.sendWindow <= 0) return
    stream.blocked = true
    const last = this.lastBlocked
    if (last === null) stream.nextBlocked = stream
    else {
      stream.nextBlocked = last.nextBlocked
      last.nextBlocked = stream
    }
    this.lastBlocked = stream
  }

  private unlinkFirst(last: Stream, first: Stream): void {
    if (last === first) this.lastBlocked = null
    else last.nextBlocked = first.nextBlocked
    first.nextBlocked = null
    first.blocked = false
  }

  private unblock(stream: Stream): void {
    if (!stream.blocked) return
    const last = this.lastBlocked
    let before = last
    while (before !== null && before.nextBlocked !== stream) {
      before = before.nextBlocked
      if (before === last) return
    }
    if (before === null) return
    if (before === stream) this.lastBlocked = null
    else {
      before.nextBlocked = stream.nextBlocked
      if (this.lastBlocked === stream) this.lastBlocked = before
    }
    stream.nextBlocked = null
    stream.blocked = false
  }

  private register(stream: Stream, id: number): void {
    stream.id = id
    stream.session = this
    stream.sendWindow = this.peerSettings.windowBytes
    stream.receiveWindow = STREAM_WINDOW_BYTES
    stream.openedMs = this.nowMs
    this.streams.set(id, stream)
  }

  private localEnd(stream: Stream): void {
    stream.localEnded = true
    if (stream.remoteEnded) this.close(stream)
    this.events.onLocalEnd(stream)
  }

  private remoteEnd(stream: Stream): void {
    stream.remoteEnded = true
    if (stream.localEnded) this.close(stream)
    this.events.onRemoteEnd(stream)
  }

  /** Takes a stream off the connection. */
  private close(stream: Stream): void {
    if (stream.closed) return
    stream.closed = true
    this.unblock(stream)
    if (!stream.keepQueue || stream.bodySent > 0) discardQueue(stream)
    if (this.recent === stream) this.recent = null
    this.streams.delete(stream.id)
    this.events.onClosed(stream)
  }

  private find(id: number): Stream | undefined {
    const recent = this.recent
    if (recent !== null && recent.id === id) return recent
    const stream = this.streams.get(id)
    if (stream !== undefined) this.recent = stream
    return stream
  }

  // ---- frames in ----

  onDataFrame(
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    headAt: number,
    start: number,
    end: number,
    last: boolean,
  ): void {
    this.data(flags, streamId, bytes, headAt, start, end, last, 0)
  }

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    this.flushRun()
    if (!this.settingsSeen && type !== frame.FRAME_SETTINGS) {
      this.fail(frame.PROTOCOL_ERROR, "the first frame is not SETTINGS")
      return
    }
    if (this.block !== null && type !== frame.FRAME_CONTINUATION) {
      this.fail(frame.PROTOCOL_ERROR, "a header block is interrupted by another frame")
      return
    }
    switch (type) {
      case frame.FRAME_DATA:
        this.paddedData(flags, streamId, bytes, start, end)
        return
      case frame.FRAME_HEADERS:
        this.headers(flags, streamId, bytes, start, end)
        return
      case frame.FRAME_CONTINUATION:
        this.continuation(flags, streamId, bytes, start, end)
        return
      case frame.FRAME_WINDOW_UPDATE:
        this.windowUpdate(streamId, bytes, start, end)
        return
      case frame.FRAME_RST_STREAM:
        this.resetReceived(streamId, bytes, start, end)
        return
      case frame.FRAME_SETTINGS:
        this.settings(flags, streamId, bytes, start, end)
        return
      case frame.FRAME_PING:
        this.ping(flags, streamId, bytes, start, end)
        return
      case frame.FRAME_GOAWAY:
        if (streamId !== 0) this.fail(frame.PROTOCOL_ERROR, "GOAWAY on a stream")
        else if (end - start < 8) this.fail(frame.FRAME_SIZE_ERROR, "a short GOAWAY")
        else this.events.onGoaway(frame.readUint31(bytes, start), frame.readUint32(bytes, start + 4))
        return
      case frame.FRAME_PUSH_PROMISE:
        this.fail(frame.PROTOCOL_ERROR, "PUSH_PROMISE, which was disabled")
        return
      case frame.FRAME_PRIORITY:
        if (streamId === 0) this.fail(frame.PROTOCOL_ERROR, "PRIORITY on stream 0")
        else if (end - start !== 5) this.fail(frame.FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        else this.idleFrame(1)
        return
      default:
        // Unknown types are ignored (section 5.5), and counted.
        this.idleFrame(1)
    }
  }

  onFramingError(code: number, message: string): void {
    this.flushRun()
    this.fail(code, message)
  }

  private paddedData(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    const padding = start < end ? (bytes[start] as number) : 0
    if (start === end || padding >= end - start) {
      this.fail(frame.PROTOCOL_ERROR, "padding longer than its frame")
      return
    }
    this.data(flags, streamId, bytes, -1, start + 1, end - padding, true, padding + 1)
  }

  private data(
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    headAt: number,
    start: number,
    end: number,
    last: boolean,
    padding: number,
  ): void {
    if (!this.settingsSeen || this.block !== null || streamId === 0) {
      this.flushRun()
      this.fail(frame.PROTOCOL_ERROR, "DATA out of place")
      return
    }
    const length = end - start
    const counted = length + padding
    this.receiveWindow -= counted
    if (this.receiveWindow < 0) {
      this.flushRun()
      this.fail(frame.FLOW_CONTROL_ERROR, "more DATA than the connection's window")
      return
    }
    this.releasable += counted
    const endStream = last && (flags & frame.FLAG_END_STREAM) !== 0
    const stream = this.find(streamId)
    if (stream === undefined) {
      this.lateData(streamId)
      this.releaseConnection()
      return
    }
    if (stream.remoteEnded) {
      this.streamError(stream, frame.STREAM_CLOSED, "DATA after END_STREAM")
      return
    }
    stream.receiveWindow -= counted
    if (stream.receiveWindow < 0) {
      this.streamError(stream, frame.FLOW_CONTROL_ERROR, "more DATA than the stream's window")
      return
    }
    if (length > 0) this.guard.usefulFrame()
    else if (last && !endStream && !this.idleFrame(1)) return
    if (!this.server && !stream.headReceived) {
      this.streamError(stream, frame.PROTOCOL_ERROR, "DATA before a response's head")
      return
    }
    if (stream.bodyLeft >= 0) {
      stream.bodyLeft -= length
      if (stream.bodyLeft < 0 || (endStream && stream.bodyLeft > 0)) {
        this.streamError(stream, frame.PROTOCOL_ERROR, "DATA and content-length do not agree")
        return
      }
    }
    if (padding > 0) this.release(stream, padding)
    const target = stream.peer
    if (target === null) this.release(stream, length)
    else if (length > 0 || endStream) this.bridge(stream, target, bytes, headAt, start, end, endStream)
    this.releaseConnection()
    if (endStream) this.remoteEnd(stream)
  }

  /** DATA on a stream that is not open: late after our reset, or wrong. */
  private lateData(streamId: number): void {
    if (this.isIdle(streamId)) {
      this.flushRun()
      this.fail(frame.PROTOCOL_ERROR, "DATA on an idle stream")
    } else if (!this.wasReset(streamId)) {
      // Late by far, or after END_STREAM: costs us little, but counts.
      this.flushRun()
      if (this.idleFrame(1)) this.writer.reset(streamId, frame.STREAM_CLOSED)
    }
  }

  private isIdle(streamId: number): boolean {
    if (this.server) return (streamId & 1) === 0 || streamId > this.lastPeerId
    return (streamId & 1) === 0 || streamId >= this.nextLocalId
  }

  private headers(flags: number, streamId: number, bytes: Uint8Array, from: number, to: number): void {
    let start = from
    let end = to
    if ((flags & frame.FLAG_PADDED) !== 0) {
      const padding = start < end ? (bytes[start] as number) : 0
      start++
      end -= padding
    }
    if ((flags & frame.FLAG_PRIORITY) !== 0) start += 5
    if (start > end) {
      this.fail(frame.PROTOCOL_ERROR, "HEADERS shorter than what they announce")
      return
    }
    if (streamId === 0 || (streamId & 1) === 0) {
      this.fail(frame.PROTOCOL_ERROR, "HEADERS on a stream that a client does not open")
      return
    }
    const endStream = (flags & frame.FLAG_END_STREAM) !== 0
    if ((flags & frame.FLAG_END_HEADERS) !== 0) {
      this.headerBlock(streamId, bytes, start, end, endStream)
      return
    }
    this.block = new Uint8Array(Math.max(2 * (end - start), 1024))
    this.block.set(bytes.subarray(start, end))
    this.blockLength = end - start
    this.blockId = streamId
    this.blockEnds = endStream
    this.continuations = 0
  }

  private continuation(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    let block = this.block
    if (block === null || streamId !== this.blockId) {
      this.fail(frame.PROTOCOL_ERROR, "CONTINUATION without a header block to continue")
      return
    }
    const length = this.blockLength + end - start
    if (++this.continuations > MAX_CONTINUATIONS || length > MAX_HEADER_BLOCK_BYTES) {
      this.fail(frame.ENHANCE_YOUR_CALM, "a header block over the limits")
      return
    }
    if (length > block.length) {
      const larger = new Uint8Array(length * 2)
      larger.set(block.subarray(0, this.blockLength))
      block = larger
      this.block = larger
    }
    block.set(bytes.subarray(start, end), this.blockLength)
    this.blockLength = length
    if ((flags & frame.FLAG_END_HEADERS) === 0) return
    this.block = null
    this.headerBlock(streamId, block, 0, length, this.blockEnds)
  }

  private headerBlock(id: number, bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    const fields: HeaderField[] = []
    // Always decoded, whatever becomes of the stream, since it alters the table that later blocks rely on.
    const decoded = this.decoder.decode(bytes, start, end, fields)
    if (decoded === DECODE_INVALID) {
      this.fail(frame.COMPRESSION_ERROR, "a header block that does not decode")
      return
    }
    this.guard.usefulFrame()
    const stream = this.find(id)
    if (stream !== undefined) {
      if (stream.remoteEnded) this.streamError(stream, frame.STREAM_CLOSED, "HEADERS after END_STREAM")
      else if (decoded === DECODE_TOO_LARGE)
        this.streamError(stream, frame.PROTOCOL_ERROR, "fields over the limits")
      else if (this.server || stream.headReceived) this.trailersReceived(stream, fields, endStream)
      else this.responseReceived(stream, fields, endStream)
    } else if (!this.server) {
      if (this.isIdle(id)) this.fail(frame.PROTOCOL_ERROR, "a response on a stream that was never opened")
    } else if (id > this.lastPeerId) {
      this.lastPeerId = id
      this.requestReceived(id, fields, endStream, decoded === DECODE_TOO_LARGE)
    } else if (!this.wasReset(id)) {
      this.fail(frame.STREAM_CLOSED, "HEADERS on a closed stream")
    }
  }

  private requestReceived(id: number, fields: HeaderField[], endStream: boolean, tooLarge: boolean): void {
    if (id > this.acceptUpTo) {
      // The client will hear or has heard of it by GOAWAY.
      this.rememberReset(id)
      this.writer.reset(id, frame.REFUSED_STREAM)
    } else if (this.streams.size >= MAX_CONCURRENT_STREAMS) {
      this.refuse(id, frame.REFUSED_STREAM)
    } else if (tooLarge) {
      this.scan.contentLength = -1
      this.events.onRequestTooLarge(id, endStream)
    } else if (!this.scan.request(fields) || (endStream && this.scan.contentLength > 0)) {
      const message = this.scan.error
      this.events.onRequestMalformed(message === "" ? "DATA and content-length do not agree" : message)
      this.refuse(id, frame.PROTOCOL_ERROR)
    } else {
      this.events.onRequest(id, fields, endStream)
    }
  }

  private responseReceived(stream: Stream, fields: HeaderField[], endStream: boolean): void {
    const scan = this.scan
    if (!scan.response(fields)) {
      this.streamError(stream, frame.PROTOCOL_ERROR, scan.error)
      return
    }
    if (scan.status < 200) {
      if (endStream)
        this.streamError(stream, frame.PROTOCOL_ERROR, "an interim response that ends the stream")
      else this.events.onResponse(stream, fields, false)
      return
    }
    stream.headReceived = true
    // A response to HEAD, 204 and 304 have no body, whatever content-length says (RFC 9110 section 6.4.1).
    stream.bodyLeft = stream.bodyless || scan.status === 204 || scan.status === 304 ? 0 : scan.contentLength
    if (endStream && stream.bodyLeft > 0) {
      this.streamError(stream, frame.PROTOCOL_ERROR, "DATA and content-length do not agree")
      return
    }
    this.events.onResponse(stream, fields, endStream)
    if (endStream && !stream.closed) this.remoteEnd(stream)
  }

  private trailersReceived(stream: Stream, fields: HeaderField[], endStream: boolean): void {
    if (!endStream) this.streamError(stream, frame.PROTOCOL_ERROR, "trailers without END_STREAM")
    else if (!this.scan.trailers(fields)) this.streamError(stream, frame.PROTOCOL_ERROR, this.scan.error)
    else if (stream.bodyLeft > 0) {
      this.streamError(stream, frame.PROTOCOL_ERROR, "DATA and content-length do not agree")
    } else {
      this.events.onTrailers(stream, fields)
      if (!stream.closed) this.remoteEnd(stream)
    }
  }

  private windowUpdate(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) {
      this.fail(frame.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
      return
    }
    if (!this.idleFrame(1)) return
    const increment = frame.readUint31(bytes, start)
    if (streamId === 0) {
      this.sendWindow += increment
      if (increment === 0) this.fail(frame.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
      else if (this.sendWindow > MAX_WINDOW_BYTES) this.fail(frame.FLOW_CONTROL_ERROR, "a window over 2^31-1")
      else this.pumpBlocked()
      return
    }
    const stream = this.find(streamId)
    if (stream === undefined) {
      if (this.isIdle(streamId)) this.fail(frame.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
      return
    }
    if (increment === 0) {
      this.streamError(stream, frame.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
      return
    }
    this.widen(stream, increment)
  }

  private widen(stream: Stream, increment: number): void {
    stream.sendWindow += increment
    if (stream.sendWindow > MAX_WINDOW_BYTES) {
      this.streamError(stream, frame.FLOW_CONTROL_ERROR, "a window over 2^31-1")
    } else if (stream.queuedBytes > 0) this.flushStream(stream)
  }

  private resetReceived(streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) this.fail(frame.FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")
    else if (streamId === 0 || this.isIdle(streamId))
      this.fail(frame.PROTOCOL_ERROR, "RST_STREAM on an idle stream")
    else {
      const stream = this.find(streamId)
      if (stream === undefined) {
        this.idleFrame(1)
        return
      }
      const code = frame.readUint32(bytes, start)
      const age = this.nowMs - stream.openedMs
      this.close(stream)
      this.events.onReset(stream, code)
      this.countReset(age)
    }
  }

  private settings(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start
    if (streamId !== 0) {
      this.fail(frame.PROTOCOL_ERROR, "SETTINGS on a stream")
      return
    }
    if ((flags & frame.FLAG_ACK) !== 0) {
      if (!this.settingsSeen) this.fail(frame.PROTOCOL_ERROR, "the first frame is not SETTINGS")
      else if (length !== 0) this.fail(frame.FRAME_SIZE_ERROR, "an acknowledgement with settings")
      else this.idleFrame(1)
      return
    }
    if (length % 6 !== 0) {
      this.fail(frame.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
      return
    }
    this.settingsSeen = true
    if (!this.idleFrame(SETTINGS_COST)) return
    const settings = this.peerSettings
    const windowBefore = settings.windowBytes
    const code = settings.apply(bytes, start, end, !this.server)
    if (code !== frame.NO_ERROR) {
      this.fail(code, "a setting out of its range")
      return
    }
    this.writer.setHeaderTableLimit(settings.headerTableBytes)
    this.writer.settingsAck()
    this.checkBacklog()
    const delta = settings.windowBytes - windowBefore
    if (delta !== 0) this.shiftWindows(delta)
    if (!this.dead) this.events.onSettings()
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE changed: so do the windows of all streams (section 6.9.2). */
  private shiftWindows(delta: number): void {
    for (const stream of this.streams.values()) {
      if (stream.sendWindow + delta > MAX_WINDOW_BYTES) {
        this.fail(frame.FLOW_CONTROL_ERROR, "a window over 2^31-1")
        return
      }
      this.widen(stream, delta)
    }
  }

  private ping(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId !== 0) this.fail(frame.PROTOCOL_ERROR, "PING on a stream")
    else if (end - start !== 8) this.fail(frame.FRAME_SIZE_ERROR, "PING of a wrong size")
    else if ((flags & frame.FLAG_ACK) !== 0) {
      if (this.idleFrame(1)) this.events.onPingAck()
    } else if (this.idleFrame(1)) {
      this.writer.ping(bytes, start, true)
      this.checkBacklog()
    }
  }

  // ---- limits and failures ----

  private idleFrame(cost: number): boolean {
    if (this.guard.idleFrame(this.nowMs, cost)) return true
    this.flushRun()
    this.fail(frame.ENHANCE_YOUR_CALM, "a flood of frames that carry nothing")
    return false
  }

  /** Only clients are held to a budget: a server that resets streams harms itself. */
  private countReset(streamAgeMs: number): void {
    if (this.server && !this.guard.reset(this.nowMs, streamAgeMs)) {
      this.fail(frame.ENHANCE_YOUR_CALM, "a flood of streams that end early")
    }
  }

  private checkBacklog(): void {
    if (this.writer.sink.queuedBytes > MAX_OUTPUT_BACKLOG_BYTES) {
      this.fail(frame.ENHANCE_YOUR_CALM, "the peer asks and does not read")
    }
  }

  private streamError(stream: Stream, code: number, message: string): void {
    this.flushRun()
    const age = this.nowMs - stream.openedMs
    this.reset(stream, code)
    this.events.onStreamError(stream, code, message)
    this.countReset(age)
  }

  private fail(code: number, message: string): void {
    if (this.dead) return
    this.writer.goaway(this.lastPeerId, code)
    this.die()
    this.events.onConnectionError(code, message)
  }

  private rememberReset(id: number): void {
    this.resetIds[this.resetCount++ % REMEMBERED_RESETS] = id
  }

  private wasReset(id: number): boolean {
    return this.resetIds.includes(id)
  }
}

/** Gives back to the sender what left a stream's queue. */
function credit(stream: Stream, length: number): void {
  const source = stream.peer
  const session = source === null ? null : source.session
  if (source === null || session === null) return
  session.unhold(length)
  session.release(source, length)
}

/** Drops what waits on a stream that will not be sent any more, so that its sender is not held back for it. */
export function discardQueue(stream: Stream): void {
  const dropped = stream.dropQueue()
  if (dropped > 0) credit(stream, dropped)
}
