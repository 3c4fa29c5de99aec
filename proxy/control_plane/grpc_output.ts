// What a client sends on one gRPC stream: messages in DATA frames, as far as the server's flow control lets them
// (RFC 9113 section 5.2).
import { framedMessage } from "./grpc_messages.ts"
import { frameOf } from "./grpc_opening.ts"
import { FLAG_END_STREAM, FRAME_DATA, MAX_FRAME_BYTES, readUint32 } from "./http2_wire.ts"

const DEFAULT_WINDOW_BYTES = 65_535
const SETTINGS_INITIAL_WINDOW_SIZE = 4
const SETTINGS_MAX_FRAME_SIZE = 5

/** Messages on their way out. Nothing leaves before {@link GrpcOutput.open}. */
export class GrpcOutput {
  /** Bytes that flow control still holds back. */
  queuedBytes = 0
  private readonly streamId: number
  private readonly sendFrame: (frame: Uint8Array) => void
  private isOpen = false
  private peerInitialWindow = DEFAULT_WINDOW_BYTES
  private streamWindow = DEFAULT_WINDOW_BYTES
  private connectionWindow = DEFAULT_WINDOW_BYTES
  private peerFrameBytes = MAX_FRAME_BYTES
  private pending: Uint8Array[] = []
  private pendingOffset = 0
  private finishing = false
  private finished = false

  constructor(streamId: number, sendFrame: (frame: Uint8Array) => void) {
    this.streamId = streamId
    this.sendFrame = sendFrame
  }

  /** The server speaks HTTP/2: what waits may go. */
  open(): void {
    this.isOpen = true
    this.pump()
  }

  /** Sends one message, now or when it may; nothing after {@link GrpcOutput.finish}. */
  send(message: Uint8Array): void {
    if (this.finishing) return
    const framed = framedMessage(message)
    this.pending.push(framed)
    this.queuedBytes += framed.length
    this.pump()
  }

  /** Ends the client's side once all messages are out. */
  finish(): void {
    this.finishing = true
    this.pump()
  }

  /** Takes the payload of a SETTINGS frame (RFC 9113 section 6.5.2); sends nothing. */
  settings(payload: Uint8Array): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const id = readUint32(payload, at) >>> 16
      const value = readUint32(payload, at + 2)
      if (id === SETTINGS_INITIAL_WINDOW_SIZE) {
        this.streamWindow += value - this.peerInitialWindow
        this.peerInitialWindow = value
      } else if (id === SETTINGS_MAX_FRAME_SIZE && value >= MAX_FRAME_BYTES) {
        this.peerFrameBytes = Math.min(value, MAX_FRAME_BYTES)
      }
    }
  }

  /** Takes a WINDOW_UPDATE; stream 0 is the connection. */
  grant(streamId: number, increment: number): void {
    if (streamId === 0) this.connectionWindow += increment
    else if (streamId === this.streamId) this.streamWindow += increment
    this.pump()
  }

  /** Drops what waits; the stream is over. */
  stop(): void {
    this.isOpen = false
    this.pending = []
    this.queuedBytes = 0
  }

  /** Sends what flow control lets through. */
  pump(): void {
    if (!this.isOpen) return
    while (this.pending.length > 0 && this.streamWindow > 0 && this.connectionWindow > 0) {
      // length > 0
      const first = this.pending[0]!
      const left = first.length - this.pendingOffset
      const length = Math.min(left, this.streamWindow, this.connectionWindow, this.peerFrameBytes)
      const piece = first.subarray(this.pendingOffset, this.pendingOffset + length)
      this.streamWindow -= length
      this.connectionWindow -= length
      this.queuedBytes -= length
      this.pendingOffset += length
      if (this.pendingOffset === first.length) {
        this.pending.shift()
        this.pendingOffset = 0
      }
      this.sendFrame(frameOf(FRAME_DATA, 0, this.streamId, piece))
    }
    if (this.isOpen && this.finishing && !this.finished && this.pending.length === 0) {
      this.finished = true
      this.sendFrame(frameOf(FRAME_DATA, FLAG_END_STREAM, this.streamId, NOTHING))
    }
  }
}

const NOTHING = new Uint8Array(0)
