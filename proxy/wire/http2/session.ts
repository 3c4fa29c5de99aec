// One HTTP/2 connection (RFC 9113), without its socket: frames in become events, calls become frames out. This is the
// receiving half: it keeps the decoder's state, and decides what is malformed, out of place, or too much.
import type { FieldTable } from "./field_table.ts"
import { SETTINGS_COST } from "./flood_guard.ts"
import * as frame from "./frame.ts"
import { FrameReader, type FrameSink } from "./frame_reader.ts"
import type { ByteSink } from "./frame_writer.ts"
import { HeaderBlock } from "./header_block.ts"
import type { HeaderField } from "./header_field.ts"
import { DECODE_INVALID, DECODE_TOO_LARGE, HpackDecoder } from "./hpack_decoder.ts"
import type { SessionEvents } from "./session_events.ts"
import { MAX_CONCURRENT_STREAMS, type SessionOptions, SessionOutput } from "./session_output.ts"
import { MAX_WINDOW_BYTES } from "./settings.ts"
import type { Stream } from "./stream.ts"

/** One end of an HTTP/2 connection. */
export class Session extends SessionOutput implements FrameSink {
  /** Highest stream id that the peer opened. */
  lastPeerId = 0
  /** When something was received last, ms. */
  receivedMs: number
  private readonly reader: FrameReader
  private readonly decoder: HpackDecoder
  private readonly block = new HeaderBlock()
  private settingsSeen = false

  constructor(sink: ByteSink, fields: FieldTable, events: SessionEvents, options: SessionOptions) {
    super(sink, events, options)
    this.receivedMs = options.nowMs
    this.reader = new FrameReader(this, options.server)
    this.decoder = new HpackDecoder(fields)
  }

  /** Takes bytes from the socket. `chunk` belongs to the session from here on, and is altered. */
  receive(chunk: Uint8Array): void {
    if (this.dead) return
    this.receivedMs = this.nowMs
    this.reader.feed(chunk)
    this.flushRun()
  }

  override die(): void {
    super.die()
    this.reader.stopped = true
  }

  /** Server: resets a stream that was not accepted. */
  refuse(id: number, code: number): void {
    this.rememberReset(id)
    this.writer.reset(id, code)
    this.countReset(0)
  }

  private find(id: number): Stream | undefined {
    const recent = this.recent
    if (recent !== null && recent.id === id) return recent
    const stream = this.streams.get(id)
    if (stream !== undefined) this.recent = stream
    return stream
  }

  private remoteEnd(stream: Stream): void {
    stream.remoteEnded = true
    if (stream.localEnded) this.close(stream)
    this.events.onRemoteEnd(stream)
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
    if (this.block.streamId !== 0 && type !== frame.FRAME_CONTINUATION) {
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
    if (!this.settingsSeen || this.block.streamId !== 0 || streamId === 0) {
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
    if (stream.tap !== null) {
      this.flushRun()
      stream.tap.data(bytes, start, end, endStream)
    }
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
    this.block.begin(streamId, endStream, bytes, start, end)
  }

  private continuation(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    const block = this.block
    if (block.streamId === 0 || streamId !== block.streamId) {
      this.fail(frame.PROTOCOL_ERROR, "CONTINUATION without a header block to continue")
    } else if (!block.append(bytes, start, end)) {
      this.fail(frame.ENHANCE_YOUR_CALM, "a header block over the limits")
    } else if ((flags & frame.FLAG_END_HEADERS) !== 0) {
      const length = block.length
      this.headerBlock(streamId, block.finish(), 0, length, block.endStream)
    }
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

  private streamError(stream: Stream, code: number, message: string): void {
    this.flushRun()
    const age = this.nowMs - stream.openedMs
    this.reset(stream, code)
    this.events.onStreamError(stream, code, message)
    this.countReset(age)
  }

  protected override fail(code: number, message: string): void {
    if (this.dead) return
    this.writer.goaway(this.lastPeerId, code)
    this.die()
    this.events.onConnectionError(code, message)
  }
}
