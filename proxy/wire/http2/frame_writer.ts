// Writes frames into a connection's output: heads through the connection's HPACK encoder, DATA by reference.
import * as frame from "./frame.ts"
import type { HeaderField } from "./header_field.ts"
import { MAX_HEADER_LIST_BYTES } from "./hpack_decoder.ts"
import { HpackEncoder } from "./hpack_encoder.ts"
import {
  SETTINGS_ENABLE_CONNECT_PROTOCOL,
  SETTINGS_ENABLE_PUSH,
  SETTINGS_MAX_CONCURRENT_STREAMS,
  SETTINGS_MAX_HEADER_LIST_SIZE,
  STREAM_WINDOW_BYTES,
} from "./settings.ts"

/** Where output goes: a connection whose output is batched. */
export interface ByteSink {
  /** The buffer that `reserve` made room in; may be another one after each call. */
  readonly out: Uint8Array
  /** Octets that wait for the socket. */
  readonly queuedBytes: number
  /** Makes room for `bytes`; returns where in `out`. */
  reserve(bytes: number): number
  /** Makes what was written up to `end` part of the output. */
  commit(end: number): void
  /** Adds a chunk, by reference if large. False: wait for the owner's drain. */
  send(chunk: Uint8Array): boolean
}

/**
 * Output above which DATA waits in its stream's queue instead. Not below the mark of the sink, which tells of its
 * draining only once it was passed.
 */
export const OUTPUT_HIGH_WATER_BYTES = 256 * 1024

/** DATA up to this size is copied into the output: cheaper than a view of it. */
const DATA_COPY_BYTES = 2048

/** Writes the frames of one connection. */
export class FrameWriter {
  readonly sink: ByteSink
  /** The sink is full: DATA must wait until the owner's drain. */
  congested = false
  private readonly encoder = new HpackEncoder()

  constructor(sink: ByteSink) {
    this.sink = sink
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setHeaderTableLimit(bytes: number): void {
    this.encoder.setLimit(bytes)
  }

  /** What a connection begins with: preface (client), SETTINGS, and the connection's window. */
  preface(server: boolean, maxStreams: number, windowBytes: number): void {
    const sink = this.sink
    let at = sink.reserve(128)
    const out = sink.out
    if (!server) at = frame.copyBytes(frame.CLIENT_PREFACE, 0, frame.CLIENT_PREFACE.length, out, at)
    const count = server ? 3 : 2
    at = frame.writeFrameHead(out, at, count * 6, frame.FRAME_SETTINGS, 0, 0)
    if (server) {
      at = writeSetting(out, at, SETTINGS_MAX_CONCURRENT_STREAMS, maxStreams)
      at = writeSetting(out, at, SETTINGS_ENABLE_CONNECT_PROTOCOL, 1)
    } else {
      at = writeSetting(out, at, SETTINGS_ENABLE_PUSH, 0)
    }
    at = writeSetting(out, at, SETTINGS_MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST_BYTES)
    at = frame.writeFrameHead(out, at, 4, frame.FRAME_WINDOW_UPDATE, 0, 0)
    sink.commit(frame.writeUint32(out, at, windowBytes - STREAM_WINDOW_BYTES))
  }

  /** HEADERS, with CONTINUATION where the block is longer than a frame. */
  headers(streamId: number, fields: readonly HeaderField[], endStream: boolean): void {
    const sink = this.sink
    const encoder = this.encoder
    const bound = encoder.bound(fields)
    const at = sink.reserve(frame.FRAME_HEAD_BYTES + bound)
    const out = sink.out
    const start = at + frame.FRAME_HEAD_BYTES
    const end = encoder.encode(fields, out, start)
    const streamFlag = endStream ? frame.FLAG_END_STREAM : 0
    if (end - start <= frame.MAX_FRAME_BYTES) {
      const flags = frame.FLAG_END_HEADERS | streamFlag
      frame.writeFrameHead(out, at, end - start, frame.FRAME_HEADERS, flags, streamId)
      sink.commit(end)
      return
    }
    this.longHeaders(streamId, out.slice(start, end), streamFlag)
  }

  private longHeaders(streamId: number, block: Uint8Array, streamFlag: number): void {
    const sink = this.sink
    for (let from = 0; from < block.length; from += frame.MAX_FRAME_BYTES) {
      const to = Math.min(from + frame.MAX_FRAME_BYTES, block.length)
      const at = sink.reserve(frame.FRAME_HEAD_BYTES + to - from)
      const type = from === 0 ? frame.FRAME_HEADERS : frame.FRAME_CONTINUATION
      const flags = (from === 0 ? streamFlag : 0) | (to === block.length ? frame.FLAG_END_HEADERS : 0)
      const payload = frame.writeFrameHead(sink.out, at, to - from, type, flags, streamId)
      sink.commit(frame.copyBytes(block, from, to, sink.out, payload))
    }
  }

  /** The head of a DATA frame. */
  dataHead(streamId: number, length: number, endStream: boolean): void {
    const at = this.sink.reserve(frame.FRAME_HEAD_BYTES)
    const flags = endStream ? frame.FLAG_END_STREAM : 0
    this.sink.commit(frame.writeFrameHead(this.sink.out, at, length, frame.FRAME_DATA, flags, streamId))
  }

  /** DATA out of `bytes[start, end)`, at most MAX_FRAME_BYTES. */
  data(streamId: number, bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    this.dataHead(streamId, end - start, endStream)
    this.frames(bytes, start, end)
  }

  /** Whole frames, or the payload of one, as they are. */
  frames(bytes: Uint8Array, start: number, end: number): void {
    const sink = this.sink
    const length = end - start
    if (length <= DATA_COPY_BYTES) {
      if (length > 0) {
        const at = sink.reserve(length)
        sink.commit(frame.copyBytes(bytes, start, end, sink.out, at))
      }
      if (sink.queuedBytes > OUTPUT_HIGH_WATER_BYTES) this.congested = true
    } else if (!sink.send(bytes.subarray(start, end))) this.congested = true
  }

  windowUpdate(streamId: number, increment: number): void {
    this.word(frame.FRAME_WINDOW_UPDATE, streamId, increment)
  }

  reset(streamId: number, code: number): void {
    this.word(frame.FRAME_RST_STREAM, streamId, code)
  }

  settingsAck(): void {
    const at = this.sink.reserve(frame.FRAME_HEAD_BYTES)
    this.sink.commit(frame.writeFrameHead(this.sink.out, at, 0, frame.FRAME_SETTINGS, frame.FLAG_ACK, 0))
  }

  /** PING with the eight octets of `bytes` at `start`. */
  ping(bytes: Uint8Array, start: number, ack: boolean): void {
    const at = this.sink.reserve(frame.FRAME_HEAD_BYTES + 8)
    const out = this.sink.out
    const payload = frame.writeFrameHead(out, at, 8, frame.FRAME_PING, ack ? frame.FLAG_ACK : 0, 0)
    this.sink.commit(frame.copyBytes(bytes, start, start + 8, out, payload))
  }

  goaway(lastId: number, code: number): void {
    const at = this.sink.reserve(frame.FRAME_HEAD_BYTES + 8)
    const out = this.sink.out
    const payload = frame.writeFrameHead(out, at, 8, frame.FRAME_GOAWAY, 0, 0)
    this.sink.commit(frame.writeUint32(out, frame.writeUint32(out, payload, lastId), code))
  }

  private word(type: number, streamId: number, value: number): void {
    const at = this.sink.reserve(frame.FRAME_HEAD_BYTES + 4)
    const out = this.sink.out
    this.sink.commit(frame.writeUint32(out, frame.writeFrameHead(out, at, 4, type, 0, streamId), value))
  }
}

function writeSetting(out: Uint8Array, at: number, id: number, value: number): number {
  out[at] = id >>> 8
  out[at + 1] = id
  return frame.writeUint32(out, at + 2, value)
}
