// Copies of an HTTP/2 request: streams of their own on connections of the mirrors' pools, fed with copies of the DATA that
// comes.
import type { Endpoint } from "../balance/mod.ts"
import type { Exchange } from "../http/mod.ts"
import { MIRROR_ANSWERED, MIRROR_FAILED, Mirror, type MirrorTerms, mirrorEndpoints } from "../http/mod.ts"
import {
  type BodyTap,
  CANCEL,
  discardQueue,
  END_NONE,
  END_STREAM,
  END_TRAILERS,
  type HeaderField,
} from "../wire/mod.ts"
import { type Http2Shared, poolOf } from "./pool.ts"
import { type StreamOwner, UpstreamStream } from "./upstream_stream.ts"

/** A request that is copied. */
export interface CopiedRequest {
  /** The head as it is sent on. */
  readonly fields: HeaderField[]
  readonly endsWithHead: boolean
  readonly isHead: boolean
}

/** The copies of one request that are still being sent. */
export class Http2Mirrors implements BodyTap {
  private readonly all: readonly Http2Mirror[]

  /** Sends the head of a request to the mirrors that its route draws. */
  constructor(exchange: Exchange, request: CopiedRequest, shared: Http2Shared, terms: MirrorTerms) {
    this.all = mirrorEndpoints(exchange, terms).map(
      endpoint => new Http2Mirror(endpoint, terms, request, shared),
    )
    for (const mirror of this.all) mirror.start()
  }

  data(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    for (const mirror of this.all) mirror.data(bytes, start, end, last)
  }

  /** The request ends with trailers. */
  trailers(fields: HeaderField[]): void {
    for (const mirror of this.all) mirror.trailers(fields)
  }

  /** The request broke off, if it is not complete. */
  abandon(): void {
    for (const mirror of this.all) mirror.abandon()
  }
}

class Http2Mirror extends Mirror implements StreamOwner {
  readonly fields: HeaderField[]
  readonly endsWithHead: boolean
  readonly extendedConnect = false
  readonly isHead: boolean
  up: UpstreamStream | null
  private readonly shared: Http2Shared
  private complete: boolean

  constructor(endpoint: Endpoint, terms: MirrorTerms, request: CopiedRequest, shared: Http2Shared) {
    super(endpoint, terms)
    this.fields = request.fields
    this.endsWithHead = request.endsWithHead
    this.isHead = request.isHead
    this.complete = request.endsWithHead
    this.shared = shared
    this.up = new UpstreamStream(this, null)
  }

  start(): void {
    // Made with the copy, and there until it is over.
    poolOf(this.endpoint, this.shared).take(this.up!)
  }

  data(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    const { up } = this
    if (last) this.complete = true
    if (up === null || up.closed || up.localEnded) return
    // The original lies in a buffer that belongs to the request's own way, and changes there.
    if (end > start) up.enqueue(bytes.slice(start, end), 0, end - start)
    if (last) up.queueEnd = END_STREAM
    this.flush(up)
  }

  trailers(fields: HeaderField[]): void {
    const { up } = this
    this.complete = true
    if (up === null || up.closed || up.localEnded) return
    up.queueEnd = END_TRAILERS
    up.trailers = fields
    this.flush(up)
  }

  private flush(up: UpstreamStream): void {
    const { session } = up
    if (session !== null && !session.dead && up.pending) session.flushStream(up)
    this.account(up.queuedBytes)
  }

  abandon(): void {
    if (!this.complete) this.giveUp()
  }

  protected override letGo(): void {
    const { up } = this
    this.up = null
    if (up === null) return
    discardQueue(up)
    up.queueEnd = END_NONE
    up.keepQueue = false
    if (up.session !== null) up.session.reset(up, CANCEL)
    else {
      up.closed = true
      up.upstream?.withdraw(up)
    }
  }

  // ---- the stream ----

  response(up: UpstreamStream): void {
    // A stream with a session, since it is open.
    if (up.session!.scan.status >= 200) this.head()
  }

  responseTrailers(): void {}

  upstreamClosed(up: UpstreamStream): void {
    if (up.remoteEnded && up.localEnded) this.finish(MIRROR_ANSWERED)
  }

  upstreamReset(up: UpstreamStream): void {
    // After its response the rest of the request was not wanted (RFC 9113 section 8.1).
    this.finish(up.remoteEnded ? MIRROR_ANSWERED : MIRROR_FAILED)
  }

  upstreamMalformed(): void {
    this.finish(MIRROR_FAILED)
  }

  unprocessed(): void {
    this.finish(MIRROR_FAILED)
  }

  connectionLost(): void {
    this.finish(MIRROR_FAILED)
  }

  connectFailed(): void {
    this.unreached()
  }

  answer(): void {
    this.giveUp()
  }
}
