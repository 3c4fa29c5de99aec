// Which requests a tap is told of: conduit.tap.v1.WatchRequest, read without the protobuf library, and asked of each
// request before anything is made for it.
import { Regex } from "../../protos/regex/mod.ts"
import { ProtoError, ProtoReader } from "../control_plane/mod.ts"

/** Requests a second of one tap at most, whatever is asked for: each costs the proxy some microseconds. */
export const MAX_TAP_RPS = 10_000

/** Addresses of the other side at most; a selection of a whole large mesh is better given up than asked of each request. */
export const MAX_TAP_PEERS = 20_000

/** No header fields are told of. */
export const HEADERS_NONE = 0
/** Names only. */
export const HEADERS_NAMES = 1
/** Names and values. */
export const HEADERS_VALUES = 2

/** What a tap asks for; empty or 0 means all. */
export class TapMatch {
  inbound = false
  outbound = false
  method = ""
  pathPrefix = ""
  pathRegex: Regex | null = null
  authority = ""
  statusFrom = 0
  statusTo = 0
  minLatencyMs = 0
  failuresOnly = false
  /** IP addresses of the other side; null for any. */
  peers: Set<string> | null = null
  /** Share told of, 0 to 1. */
  sample = 1
  maxRps = MAX_TAP_RPS
  /** One of the HEADERS_ constants. */
  headers = HEADERS_NONE
  /** Raw connections too. */
  connections = false

  /** Whether only the end of a request decides if it is told of. */
  get late(): boolean {
    return this.statusFrom > 0 || this.statusTo > 0 || this.minLatencyMs > 0 || this.failuresOnly
  }

  /** What the head of a request decides. */
  takesHead(isInbound: boolean, method: string, path: string, authority: string): boolean {
    if (!(isInbound ? this.inbound : this.outbound)) return false
    if (this.method !== "" && this.method !== method) return false
    if (this.authority !== "" && this.authority !== authority) return false
    if (this.pathPrefix !== "" && !path.startsWith(this.pathPrefix)) return false
    if (this.pathRegex === null) return true
    const query = path.indexOf("?")
    return this.pathRegex.matchesRange(path, 0, query < 0 ? path.length : query)
  }

  /** Whether a raw connection is told of. @param peer  IP address of the other side */
  takesConnection(isInbound: boolean, peer: string): boolean {
    if (!this.connections || !(isInbound ? this.inbound : this.outbound)) return false
    return this.peers === null || this.peers.has(peer)
  }

  /** What the end of a request decides. @param status  0 for none, which no filter by status takes */
  takesEnd(status: number, latencyMs: number, failed: boolean): boolean {
    if (this.statusFrom > 0 && status < this.statusFrom) return false
    if (this.statusTo > 0 && (status === 0 || status > this.statusTo)) return false
    return latencyMs >= this.minLatencyMs && (failed || !this.failuresOnly)
  }
}

/**
 * Reads a WatchRequest.
 *
 * @throws ProtoError when it is none; RegexError for an expression that cannot be used
 */
export function readMatch(message: Uint8Array): TapMatch {
  const reader = new ProtoReader(message)
  const match = new TapMatch()
  const peers = new Set<string>()
  let peersGiven = false
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    switch (field) {
      case 1:
        match.inbound = reader.varint() !== 0
        break
      case 2:
        match.outbound = reader.varint() !== 0
        break
      case 3:
        match.method = reader.text()
        break
      case 4:
        match.pathPrefix = reader.text()
        break
      case 5: {
        const source = reader.text()
        match.pathRegex = source === "" ? null : new Regex(source)
        break
      }
      case 6:
        match.authority = reader.text()
        break
      case 7:
        match.statusFrom = reader.varint()
        break
      case 8:
        match.statusTo = reader.varint()
        break
      case 9:
        match.minLatencyMs = reader.double()
        break
      case 10:
        match.failuresOnly = reader.varint() !== 0
        break
      case 11:
        if (peers.size >= MAX_TAP_PEERS) throw new ProtoError(`more than ${MAX_TAP_PEERS} peers`)
        peers.add(reader.text())
        break
      case 12:
        peersGiven = reader.varint() !== 0
        break
      case 13: {
        const share = reader.double()
        match.sample = share > 0 && share < 1 ? share : 1
        break
      }
      case 14: {
        const rps = reader.varint()
        match.maxRps = rps === 0 ? MAX_TAP_RPS : Math.min(rps, MAX_TAP_RPS)
        break
      }
      case 15:
        match.headers = reader.varint()
        break
      case 16:
        match.connections = reader.varint() !== 0
        break
      default:
        reader.skip()
    }
  }
  if (peersGiven) match.peers = peers
  return match
}
