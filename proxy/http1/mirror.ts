// Copies of an HTTP/1 request: the same bytes, on a connection of the mirror's pool.
import type { Endpoint } from "../balance/mod.ts"
import type { Exchange } from "../http/mod.ts"
import {
  MIRROR_ANSWERED,
  MIRROR_DROPPED,
  MIRROR_FAILED,
  Mirror,
  type MirrorTerms,
  mirrorEndpoints,
} from "../http/mod.ts"
import { BODY_TUNNEL, BODY_UNTIL_CLOSE, PARSE_NEED_MORE } from "../wire/mod.ts"
import { poolOf, type Upstream, type UpstreamUser } from "./pool.ts"

/** The copies of one request that are still being sent. */
export class Http1Mirrors {
  private readonly all: readonly Http1Mirror[]

  /**
   * Sends what there is of a request to the mirrors that its route draws.
   *
   * @param first  head, and what came of the body along with it
   */
  constructor(exchange: Exchange, first: Uint8Array, methodNumber: number, terms: MirrorTerms) {
    this.all = mirrorEndpoints(exchange, terms).map(
      endpoint => new Http1Mirror(endpoint, terms, methodNumber, first),
    )
  }

  /** More of the request's body, as it came. */
  write(chunk: Uint8Array): void {
    for (const mirror of this.all) mirror.write(chunk)
  }

  /** The request is complete, or (false) broke off. Nothing more is written. */
  end(complete: boolean): void {
    for (const mirror of this.all) mirror.end(complete)
  }
}

class Http1Mirror extends Mirror implements UpstreamUser {
  private upstream: Upstream | null
  private readonly methodNumber: number
  /** Of the request. */
  private complete = false
  private inBody = false
  /** The response is complete, on a connection that can be used again. */
  private reusable = false

  constructor(endpoint: Endpoint, terms: MirrorTerms, methodNumber: number, first: Uint8Array) {
    super(endpoint, terms)
    this.methodNumber = methodNumber
    const pool = poolOf(endpoint, terms.env)
    this.upstream = pool.take(this) ?? pool.dial(this)
    this.write(first)
  }

  write(chunk: Uint8Array): void {
    const { upstream } = this
    if (upstream === null) return
    upstream.conn.write(chunk)
    this.account(upstream.conn.queuedBytes)
  }

  end(complete: boolean): void {
    if (this.over) return
    this.complete = complete
    if (!complete) this.giveUp()
    else if (this.reusable) this.finish(MIRROR_ANSWERED)
  }

  upstreamOpened(): void {}

  upstreamDrained(upstream: Upstream): void {
    this.account(upstream.conn.queuedBytes)
  }

  upstreamBytes(upstream: Upstream, chunk: Uint8Array): void {
    if (this.over) return
    // Bytes behind a complete response belong to no request.
    if (this.reusable) this.giveUp()
    else if (this.inBody) this.readBody(upstream, chunk, 0)
    else this.readHead(upstream, chunk)
  }

  private readHead(upstream: Upstream, chunk: Uint8Array): void {
    const bytes = upstream.assembler.isEmpty ? chunk : upstream.assembler.join(chunk)
    if (bytes === null) return
    const { head, body } = upstream
    let at = 0
    for (;;) {
      const end = head.parse(bytes, at, bytes.length)
      if (end === PARSE_NEED_MORE) {
        if (at < bytes.length) upstream.assembler.keep(bytes, at, bytes.length)
        return
      }
      if (end < 0) {
        this.finish(MIRROR_FAILED)
        return
      }
      at = end
      if (!head.isInterim) break
    }
    this.head()
    const kind = head.bodyKind(this.methodNumber)
    if (kind === BODY_TUNNEL) {
      this.finish(MIRROR_DROPPED)
      return
    }
    body.begin(kind, head.contentLength)
    this.inBody = true
    this.readBody(upstream, bytes, at)
  }

  private readBody(upstream: Upstream, bytes: Uint8Array, from: number): void {
    const { body, head } = upstream
    const end = body.scan(bytes, from, bytes.length)
    if (body.fault !== 0) this.finish(MIRROR_FAILED)
    else if (body.done) {
      this.reusable = head.keepsAlive && body.kind !== BODY_UNTIL_CLOSE && end === bytes.length
      if (this.complete || !this.reusable) this.finish(MIRROR_ANSWERED)
    }
  }

  upstreamEnded(): void {
    this.finish(this.inBody ? MIRROR_ANSWERED : MIRROR_FAILED)
  }

  upstreamClosed(upstream: Upstream): void {
    if (upstream.opened) this.finish(this.inBody ? MIRROR_ANSWERED : MIRROR_FAILED)
    else this.unreached()
  }

  protected override letGo(): void {
    const { upstream } = this
    this.upstream = null
    if (upstream === null) return
    upstream.assembler.clear()
    if (this.reusable && this.complete) upstream.pool.give(upstream)
    else upstream.discard()
  }
}
