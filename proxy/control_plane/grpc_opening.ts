// What a client sends first on an HTTP/2 connection that carries one gRPC stream (RFC 9113 section 3.4).
import {
  CLIENT_PREFACE,
  FLAG_END_HEADERS,
  FRAME_HEAD_BYTES,
  FRAME_HEADERS,
  FRAME_SETTINGS,
  FRAME_WINDOW_UPDATE,
  writeFrameHead,
  writeUint32,
} from "./http2_wire.ts"

const SETTINGS_ENABLE_PUSH = 2
const SETTINGS_INITIAL_WINDOW_SIZE = 4
const DEFAULT_WINDOW_BYTES = 65_535

/** The request that opens a stream. */
export interface GrpcRequest {
  /** `host:port`, for :authority. */
  readonly authority: string
  /** `/package.Service/Method`. */
  readonly path: string
  readonly userAgent: string
}

/** Preface, SETTINGS, a connection window of `windowBytes`, and the request's HEADERS. */
export function openingBytes(request: GrpcRequest, streamId: number, windowBytes: number): Uint8Array {
  const settings = new Uint8Array(12)
  settings[1] = SETTINGS_ENABLE_PUSH
  settings[7] = SETTINGS_INITIAL_WINDOW_SIZE
  writeUint32(settings, 8, windowBytes)
  const window = new Uint8Array(4)
  writeUint32(window, 0, windowBytes - DEFAULT_WINDOW_BYTES)
  const block = literalFields([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", request.path],
    [":authority", request.authority],
    ["te", "trailers"],
    ["content-type", "application/grpc+proto"],
    ["user-agent", request.userAgent],
  ])
  const parts: Uint8Array[] = [
    CLIENT_PREFACE,
    frameOf(FRAME_SETTINGS, 0, 0, settings),
    frameOf(FRAME_WINDOW_UPDATE, 0, 0, window),
    frameOf(FRAME_HEADERS, FLAG_END_HEADERS, streamId, block),
  ]
  return Buffer.concat(parts)
}

/** A frame of its own. */
export function frameOf(type: number, flags: number, streamId: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEAD_BYTES + payload.length)
  writeFrameHead(frame, 0, payload.length, type, flags, streamId)
  frame.set(payload, FRAME_HEAD_BYTES)
  return frame
}

/** Fields as literals without indexing (RFC 7541 section 6.2.2). */
function literalFields(fields: readonly (readonly [string, string])[]): Uint8Array {
  const bytes: number[] = []
  for (const [name, value] of fields) {
    bytes.push(0)
    pushLiteral(bytes, name)
    pushLiteral(bytes, value)
  }
  return Uint8Array.from(bytes)
}

function pushLiteral(bytes: number[], text: string): void {
  const octets = Buffer.from(text, "latin1")
  if (octets.length < 127) bytes.push(octets.length)
  else {
    let rest = octets.length - 127
    bytes.push(127)
    for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128)
    bytes.push(rest)
  }
  bytes.push(...octets)
}
