// For tests: a session without a socket, the other end as a script of frames, and what happened as readable lines.
import { FieldTable } from "./field_table.ts"
import * as frame from "./frame.ts"
import type { ByteSink } from "./frame_writer.ts"
import type { HeaderField } from "./header_field.ts"
import { HpackDecoder } from "./hpack_decoder.ts"
import type { HpackEncoder } from "./hpack_encoder.ts"
import { Session } from "./session.ts"
import type { SessionEvents } from "./session_events.ts"
import { Stream } from "./stream.ts"

/** Keeps output in memory. */
export class MemorySink implements ByteSink {
  out: Uint8Array = new Uint8Array(1 << 16)
  queuedBytes = 0
  /** Whether `send` says that there is room. */
  room = true
  private at = 0
  private chunks: Uint8Array[] = []

  reserve(bytes: number): number {
    this.spill()
    if (this.out.length < bytes) this.out = new Uint8Array(bytes)
    return 0
  }

  commit(end: number): void {
    this.at = end
    this.spill()
  }

  send(chunk: Uint8Array): boolean {
    this.spill()
    this.chunks.push(chunk.slice())
    return this.room
  }

  /** Takes what was written since the last call. */
  take(): Uint8Array {
    this.spill()
    const bytes = Buffer.concat(this.chunks)
    this.chunks = []
    return new Uint8Array(bytes)
  }

  private spill(): void {
    if (this.at > 0) this.chunks.push(this.out.slice(0, this.at))
    this.at = 0
  }
}

/** A frame as bytes. */
export function frameBytes(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array | number[] = [],
): Uint8Array {
  const out = new Uint8Array(frame.FRAME_HEAD_BYTES + payload.length)
  frame.writeFrameHead(out, 0, payload.length, type, flags, streamId)
  out.set(payload, frame.FRAME_HEAD_BYTES)
  return out
}

/** Bytes joined. */
export function joined(...parts: (Uint8Array | number[])[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts.map(part => Uint8Array.from(part))))
}

/** 32 bits, big-endian. */
export function word(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
}

export type Pairs = readonly (readonly [string, string])[]

/** A header block of literals that refer to no table, so that any nonsense can be written. */
export function literalBlock(pairs: Pairs): number[] {
  const block: number[] = []
  for (const [name, value] of pairs) {
    block.push(0)
    for (const text of [name, value]) {
      const bytes = Buffer.from(text, "latin1")
      if (bytes.length < 127) block.push(bytes.length)
      else {
        block.push(127)
        let rest = bytes.length - 127
        for (; rest >= 128; rest >>>= 7) block.push((rest & 127) | 128)
        block.push(rest)
      }
      block.push(...bytes)
    }
  }
  return block
}

/** What any request needs. */
export const REQUEST: Pairs = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/a"],
  [":authority", "web"],
]

/** HEADERS with END_HEADERS. */
export function headersFrame(streamId: number, pairs: Pairs, flags = 0): Uint8Array {
  return frameBytes(frame.FRAME_HEADERS, flags | frame.FLAG_END_HEADERS, streamId, literalBlock(pairs))
}

/** SETTINGS with these values. */
export function settingsFrame(...settings: (readonly [number, number])[]): Uint8Array {
  return frameBytes(
    frame.FRAME_SETTINGS,
    0,
    0,
    settings.flatMap(([id, value]) => [id >>> 8, id & 255, ...word(value)]),
  )
}

/** Preface and empty SETTINGS of a client. */
export const CLIENT_HELLO: Uint8Array = joined(frame.CLIENT_PREFACE, settingsFrame())

/** Preface and SETTINGS of a server. */
export const SERVER_HELLO: Uint8Array = settingsFrame()

const TYPES = [
  "DATA",
  "HEADERS",
  "PRIORITY",
  "RST_STREAM",
  "SETTINGS",
  "PUSH_PROMISE",
  "PING",
  "GOAWAY",
  "WINDOW_UPDATE",
  "CONTINUATION",
]

/** Reads frames into lines such as `RST_STREAM 1 PROTOCOL_ERROR`; one per connection, since HPACK has a state. */
export class FrameLines {
  private readonly decoder = new HpackDecoder(new FieldTable())

  read(bytes: Uint8Array): string[] {
    const lines: string[] = []
    for (let at = 0; at < bytes.length; ) {
      const length = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0)
      const type = bytes[at + 3] ?? 0
      const flags = bytes[at + 4] ?? 0
      const id = frame.readUint31(bytes, at + 5)
      const payload = at + 9
      const end = payload + length
      const ends = (flags & 1) !== 0
      let line = `${TYPES[type]} ${id}`
      if (type === frame.FRAME_DATA) line += ` ${length}${ends ? " END" : ""}`
      if (type === frame.FRAME_HEADERS) {
        const fields: HeaderField[] = []
        this.decoder.decode(bytes, payload, end, fields)
        line += ` ${fields.map(field => `${field.name.text}=${field.value}`).join(" ")}${ends ? " END" : ""}`
      }
      if (type === frame.FRAME_RST_STREAM) line += ` ${frame.errorName(frame.readUint32(bytes, payload))}`
      if (type === frame.FRAME_GOAWAY) {
        line = `GOAWAY ${frame.readUint31(bytes, payload)} ${frame.errorName(frame.readUint32(bytes, payload + 4))}`
      }
      if (type === frame.FRAME_WINDOW_UPDATE) line += ` ${frame.readUint31(bytes, payload)}`
      if ((type === frame.FRAME_SETTINGS || type === frame.FRAME_PING) && ends) line += " ACK"
      lines.push(line)
      at = end
    }
    return lines
  }
}

/** A session whose events become lines. As a server it accepts every request. */
export class TestSession implements SessionEvents {
  readonly sink = new MemorySink()
  readonly session: Session
  readonly events: string[] = []
  readonly opened: Stream[] = []
  private readonly lines = new FrameLines()

  constructor(server: boolean, fields: FieldTable = new FieldTable()) {
    this.session = new Session(this.sink, fields, this, { server, nowMs: 0 })
    this.sink.take()
  }

  /** Gives bytes to the session; it gets a copy, since it alters them. */
  receive(...parts: Uint8Array[]): this {
    for (const part of parts) this.session.receive(part.slice())
    return this
  }

  /** Frames sent since the last call. */
  sent(): string[] {
    return this.lines.read(this.sink.take())
  }

  onRequest(id: number, fields: HeaderField[], endStream: boolean): void {
    this.events.push(
      `request ${id} ${fields.map(f => `${f.name.text}=${f.value}`).join(" ")}${endStream ? " END" : ""}`,
    )
    const stream = new Stream()
    this.opened.push(stream)
    this.session.accept(stream, id, endStream)
  }

  onRequestTooLarge(id: number): void {
    this.events.push(`too large ${id}`)
    const stream = new Stream()
    this.session.accept(stream, id, true)
    this.session.reset(stream, frame.NO_ERROR)
  }

  onRequestMalformed(message: string): void {
    this.events.push(`malformed: ${message}`)
  }

  onResponse(stream: Stream, fields: HeaderField[], endStream: boolean): void {
    this.events.push(
      `response ${stream.id} ${fields.map(f => `${f.name.text}=${f.value}`).join(" ")}${endStream ? " END" : ""}`,
    )
  }

  onTrailers(stream: Stream, fields: HeaderField[]): void {
    this.events.push(`trailers ${stream.id} ${fields.map(f => `${f.name.text}=${f.value}`).join(" ")}`)
  }

  onRemoteEnd(stream: Stream): void {
    this.events.push(`end ${stream.id}`)
  }

  onLocalEnd(): void {}

  onReset(stream: Stream, code: number): void {
    this.events.push(`reset ${stream.id} ${frame.errorName(code)}`)
  }

  onStreamError(stream: Stream, code: number, message: string): void {
    this.events.push(`stream error ${stream.id} ${frame.errorName(code)}: ${message}`)
  }

  onSettings(): void {}

  onGoaway(lastId: number, code: number): void {
    this.events.push(`goaway ${lastId} ${frame.errorName(code)}`)
  }

  onPingAck(): void {
    this.events.push("ping ack")
  }

  onClosed(): void {}

  onConnectionError(code: number, message: string): void {
    this.events.push(`connection error ${frame.errorName(code)}: ${message}`)
  }
}

/** Fields of our own, for what a session sends. */
export function ownFields(table: FieldTable, pairs: Pairs): HeaderField[] {
  return pairs.map(([name, value]) => table.field(name, value))
}

/** A fresh encoder's block for fields, as a peer would send it. */
export function encodedBlock(encoder: HpackEncoder, fields: readonly HeaderField[]): Uint8Array {
  const out = new Uint8Array(encoder.bound(fields))
  return out.subarray(0, encoder.encode(fields, out, 0))
}
