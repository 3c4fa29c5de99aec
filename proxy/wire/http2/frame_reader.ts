// Cuts a byte stream into frames (RFC 9113 section 4.1), whatever the borders of its chunks. DATA is handed on as it
// comes, by reference, so that a big body is neither copied nor held back; other frames are handed on whole.
import {
  CLIENT_PREFACE,
  FLAG_PADDED,
  FRAME_DATA,
  FRAME_HEAD_BYTES,
  FRAME_SIZE_ERROR,
  MAX_FRAME_BYTES,
  PROTOCOL_ERROR,
  readUint31,
} from "./frame.ts"

/** Takes frames as they come. */
export interface FrameSink {
  /** A whole frame other than unpadded DATA; its payload is `bytes[start, end)`. */
  onFrame(type: number, flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void
  /**
   * A DATA frame without padding, or a piece of one.
   *
   * @param headAt  where the frame's nine octets lie in `bytes`, right before `start`, or -1 if they do not
   * @param last  no more of this frame follows, so that its flags count
   */
  onDataFrame(
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    headAt: number,
    start: number,
    end: number,
    last: boolean,
  ): void
  /** The bytes are not HTTP/2; nothing more is read. */
  onFramingError(code: number, message: string): void
}

/** Reassembles frames. */
export class FrameReader {
  /** Set to stop in the middle of a chunk; what follows is dropped. */
  stopped = false
  private readonly sink: FrameSink
  private prefaceAt: number
  // A frame's head that was cut.
  private readonly head = new Uint8Array(FRAME_HEAD_BYTES)
  private headLength = 0
  // The frame under way, if `payload` is set or `dataLeft` is over 0.
  private type = 0
  private flags = 0
  private streamId = 0
  private payload: Uint8Array | null = null
  private payloadLength = 0
  private dataLeft = 0

  /** @param expectPreface  whether the peer is a client, whose first octets are the preface (section 3.4) */
  constructor(sink: FrameSink, expectPreface: boolean) {
    this.sink = sink
    this.prefaceAt = expectPreface ? 0 : CLIENT_PREFACE.length
  }

  /** Takes the next chunk. */
  feed(chunk: Uint8Array): void {
    if (this.stopped) return
    const end = chunk.length
    let at = 0
    if (this.prefaceAt < CLIENT_PREFACE.length) {
      at = this.readPreface(chunk)
      if (at < 0) return
    }
    if (this.dataLeft > 0) at = this.continueData(chunk, at)
    else if (this.payload !== null) at = this.continuePayload(chunk, at)
    else if (this.headLength > 0) at = this.continueHead(chunk, at)
    while (at < end && !this.stopped) {
      if (end - at < FRAME_HEAD_BYTES) {
        while (at < end) this.head[this.headLength++] = chunk[at++] as number
        return
      }
      at = this.frame(chunk, at, chunk, at + FRAME_HEAD_BYTES)
    }
  }

  /** Handles the frame whose head is at `headAt` of `head` and whose payload begins at `start` of `chunk`. */
  private frame(head: Uint8Array, headAt: number, chunk: Uint8Array, start: number): number {
    const length =
      ((head[headAt] as number) << 16) | ((head[headAt + 1] as number) << 8) | (head[headAt + 2] as number)
    const type = head[headAt + 3] as number
    const flags = head[headAt + 4] as number
    const streamId = readUint31(head, headAt + 5)
    if (length > MAX_FRAME_BYTES) {
      this.fail(FRAME_SIZE_ERROR, `a frame of ${length} octets; the limit is ${MAX_FRAME_BYTES}`)
      return chunk.length
    }
    const present = Math.min(length, chunk.length - start)
    if (type === FRAME_DATA && (flags & FLAG_PADDED) === 0) {
      const last = present === length
      if (last || present > 0) {
        this.sink.onDataFrame(
          flags,
          streamId,
          chunk,
          head === chunk ? headAt : -1,
          start,
          start + present,
          last,
        )
      }
      if (!last) {
        this.flags = flags
        this.streamId = streamId
        this.dataLeft = length - present
      }
      return start + present
    }
    if (present === length) {
      this.sink.onFrame(type, flags, streamId, chunk, start, start + length)
      return start + length
    }
    this.type = type
    this.flags = flags
    this.streamId = streamId
    this.payload = new Uint8Array(length)
    this.payload.set(chunk.subarray(start), 0)
    this.payloadLength = present
    return chunk.length
  }

  private continueData(chunk: Uint8Array, at: number): number {
    const present = Math.min(this.dataLeft, chunk.length - at)
    if (present === 0) return at
    this.dataLeft -= present
    this.sink.onDataFrame(this.flags, this.streamId, chunk, -1, at, at + present, this.dataLeft === 0)
    return at + present
  }

  private continuePayload(chunk: Uint8Array, at: number): number {
    // Called with a payload under way.
    const payload = this.payload!
    const present = Math.min(payload.length - this.payloadLength, chunk.length - at)
    payload.set(chunk.subarray(at, at + present), this.payloadLength)
    this.payloadLength += present
    if (this.payloadLength === payload.length) {
      this.payload = null
      this.sink.onFrame(this.type, this.flags, this.streamId, payload, 0, payload.length)
    }
    return at + present
  }

  private continueHead(chunk: Uint8Array, at: number): number {
    let position = at
    while (this.headLength < FRAME_HEAD_BYTES && position < chunk.length) {
      this.head[this.headLength++] = chunk[position++] as number
    }
    if (this.headLength < FRAME_HEAD_BYTES) return position
    this.headLength = 0
    return this.frame(this.head, 0, chunk, position)
  }

  private readPreface(chunk: Uint8Array): number {
    let at = 0
    while (this.prefaceAt < CLIENT_PREFACE.length && at < chunk.length) {
      if (chunk[at++] !== CLIENT_PREFACE[this.prefaceAt++]) {
        this.fail(PROTOCOL_ERROR, "the connection does not begin with the preface of HTTP/2")
        return -1
      }
    }
    return at
  }

  private fail(code: number, message: string): void {
    this.stopped = true
    this.sink.onFramingError(code, message)
  }
}
