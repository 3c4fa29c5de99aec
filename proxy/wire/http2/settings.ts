// SETTINGS (RFC 9113 section 6.5, RFC 8441 section 3): what a peer told us.
import { FLOW_CONTROL_ERROR, NO_ERROR, PROTOCOL_ERROR, readUint32 } from "./frame.ts"

/** Octets of the dynamic table that the peer decodes with. */
export const SETTINGS_HEADER_TABLE_SIZE = 1
/** 0 or 1; servers send only 0. */
export const SETTINGS_ENABLE_PUSH = 2
/** Streams that we may have open. */
export const SETTINGS_MAX_CONCURRENT_STREAMS = 3
/** Octets of each new stream's window. */
export const SETTINGS_INITIAL_WINDOW_SIZE = 4
/** Octets of the largest payload, 16,384 to 16,777,215. */
export const SETTINGS_MAX_FRAME_SIZE = 5
/** Octets of a header list as section 6.5.2 counts them; a wish. */
export const SETTINGS_MAX_HEADER_LIST_SIZE = 6
/** 0 or 1: WebSockets by extended CONNECT (RFC 8441 section 3). */
export const SETTINGS_ENABLE_CONNECT_PROTOCOL = 8

/** Window of a stream until settings say otherwise, octets (section 6.9.2). We keep to it. */
export const STREAM_WINDOW_BYTES = 65_535

/** Largest window (section 6.9.1). */
export const MAX_WINDOW_BYTES = 0x7fffffff

/** Streams assumed to be allowed until the peer's first SETTINGS, which follow within a round trip. */
export const ASSUMED_STREAMS = 100

/** The settings of a peer, with the protocol's defaults. */
export class PeerSettings {
  headerTableBytes = 4096
  maxStreams = ASSUMED_STREAMS
  windowBytes = STREAM_WINDOW_BYTES
  connectProtocol = false
  /** The first SETTINGS frame has come. */
  received = false

  /**
   * Takes a SETTINGS frame's payload, a multiple of six octets.
   *
   * @param fromServer  the peer is a server, which may not enable push
   * @returns NO_ERROR or the code of a connection error
   */
  apply(bytes: Uint8Array, start: number, end: number, fromServer: boolean): number {
    // Absent means unlimited, once the settings are known (section 6.5.2).
    if (!this.received) this.maxStreams = MAX_WINDOW_BYTES
    this.received = true
    for (let at = start; at < end; at += 6) {
      const id = ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
      const value = readUint32(bytes, at + 2)
      switch (id) {
        case SETTINGS_HEADER_TABLE_SIZE:
          this.headerTableBytes = value
          break
        case SETTINGS_ENABLE_PUSH:
          if (value > 1 || (fromServer && value === 1)) return PROTOCOL_ERROR
          break
        case SETTINGS_MAX_CONCURRENT_STREAMS:
          this.maxStreams = value
          break
        case SETTINGS_INITIAL_WINDOW_SIZE:
          if (value > MAX_WINDOW_BYTES) return FLOW_CONTROL_ERROR
          this.windowBytes = value
          break
        case SETTINGS_MAX_FRAME_SIZE:
          if (value < 16_384 || value > 16_777_215) return PROTOCOL_ERROR
          break
        case SETTINGS_ENABLE_CONNECT_PROTOCOL:
          if (value > 1 || (value === 0 && this.connectProtocol)) return PROTOCOL_ERROR
          this.connectProtocol = value === 1
          break
      }
    }
    return NO_ERROR
  }
}
