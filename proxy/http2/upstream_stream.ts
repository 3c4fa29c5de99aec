// A stream towards a server, and what it tells its owner: the exchange that it serves, or a mirror's copy of one.

import type { Refusal } from "../http/mod.ts"
import { type HeaderField, Stream } from "../wire/mod.ts"
import type { Http2Upstream } from "./upstream.ts"

/** Who sends a request on streams towards servers, one at a time. */
export interface StreamOwner {
  /** The head as it is sent on. */
  readonly fields: HeaderField[]
  /** The request ended with its head. */
  readonly endsWithHead: boolean
  /** Extended CONNECT (RFC 8441): only for servers that announced it. */
  readonly extendedConnect: boolean
  /** The request is HEAD. */
  readonly isHead: boolean
  /** The stream in use; others are over, whatever happens on them. */
  readonly up: UpstreamStream | null
  /** A response head came: interim or final. */
  response(up: UpstreamStream, fields: HeaderField[], endStream: boolean): void
  /** Trailers of the response came. */
  responseTrailers(up: UpstreamStream, fields: HeaderField[]): void
  /** The stream was closed, in whatever way. */
  upstreamClosed(up: UpstreamStream): void
  /** The server reset its stream. */
  upstreamReset(up: UpstreamStream, code: number): void
  /** The server broke the protocol. */
  upstreamMalformed(message: string): void
  /** The server never looked at the request (REFUSED_STREAM, or above the last stream of its GOAWAY). */
  unprocessed(up: UpstreamStream): void
  /** The connection to the server was lost. `untouched`: nothing came on it since the request was sent. */
  connectionLost(up: UpstreamStream, untouched: boolean, error: string): void
  /** Nothing was sent: no connection to the endpoint came about. */
  connectFailed(up: UpstreamStream, error: string): void
  /** The request cannot be sent. */
  answer(refusal: Refusal, detail: string): void
}

/** The stream towards the server. */
export class UpstreamStream extends Stream {
  readonly down: StreamOwner
  /** The connection it is on or waits for; null while none is chosen. */
  upstream: Http2Upstream | null = null
  /** Clock reading when it began to wait for room in its pool. */
  waitingSinceMs = 0

  /** @param peer  the client's stream, for which it may be sent anew; null: what comes is dropped */
  constructor(down: StreamOwner, peer: Stream | null) {
    super()
    this.down = down
    this.peer = peer
    this.keepQueue = peer !== null
    this.bodyless = down.isHead
  }
}
