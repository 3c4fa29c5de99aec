// The HTTP/1 engine: one accepted connection, its requests one after the other, each passed to an endpoint and its
// answer back. Bytes are forwarded as the slices they came in wherever nothing must change. RFC 9112.
import type { Endpoint } from "../balance/mod.ts"
import type {
  Drainable,
  Exchange,
  GuardAnswer,
  HttpEnv,
  HttpService,
  Redirect,
  Routing,
} from "../http/mod.ts"
import {
  AttemptTimer,
  isByPolicy,
  NO_GRPC_STATUS,
  neverReached,
  OUTCOME_CLIENT_GONE,
  OUTCOME_COMPLETE,
  OUTCOME_REFUSED,
  OUTCOME_TIMEOUT,
  OUTCOME_UPSTREAM_GONE,
  type Outcome,
  PROXY_ERROR_FIELD,
  REFUSAL_MALFORMED,
  REFUSAL_TIMEOUT,
  REFUSAL_UPSTREAM_GONE,
  REFUSAL_UPSTREAM_MALFORMED,
  type Refusal,
} from "../http/mod.ts"
import { type Conn, relay } from "../net/mod.ts"
import { NO_DEADLINE, NOT_AGAIN, PUSHBACK_NONE, pushbackMs, type RequestTimes } from "../route/mod.ts"
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_TUNNEL,
  BODY_UNTIL_CLOSE,
  CONNECTION_KEEP_ALIVE,
  describeFault,
  isIdempotent,
  METHOD_CONNECT,
  METHOD_HEAD,
  PARSE_NEED_MORE,
  spliceHead,
} from "../wire/mod.ts"
import { renderAnswer, renderRedirect } from "./answer.ts"
import { ClientSide, ENDING, PAUSE_BACKPRESSURE, PAUSE_CONNECT, PAUSE_PIPELINE } from "./client.ts"
import { KeptRequest } from "./kept_request.ts"
import { Http1Mirrors } from "./mirror.ts"
import { poolOf, type Upstream, type UpstreamUser } from "./pool.ts"
import { CLOSE_LINE, DROP_PROXY_ERROR, droppedOf, requestBytes } from "./request_bytes.ts"

/** How long a client may go on sending a body whose answer it already has, before it is cut. */
export const BODY_AFTER_ANSWER_MS = 30_000

/**
 * How much of a denied request's body is read and dropped so that the connection can be used again; a longer one costs
 * more than a new connection.
 */
export const DISCARD_BODY_MAX_BYTES = 256 * 1024

/**
 * Serves HTTP/1 on an accepted connection until it closes, or becomes a tunnel.
 *
 * @param firstBytes  what was read of it already; may be empty
 */
export function serveHttp1(
  conn: Conn,
  firstBytes: Uint8Array,
  service: HttpService,
  env: HttpEnv,
): Drainable {
  const server = new Http1Server(conn, service, env)
  conn.handler = server
  if (firstBytes.length > 0) server.onData(conn, firstBytes)
  return server
}

/** What becomes of the connection to the server. */
const DETACH_KEEP = 0
const DETACH_CLOSE = 1
const DETACH_RESET = 2

class Http1Server extends ClientSide implements UpstreamUser {
  private exchange: Exchange | null = null
  private endpoint: Endpoint | null = null
  private upstream: Upstream | null = null
  /** The request, while it may have to be sent again. */
  private readonly kept = new KeptRequest()
  private retried = false
  /** An interim response was read, so that the application has seen the request. */
  private interim = false
  /** A byte of an answer came. */
  private answered = false
  /** The final response head was passed on. */
  private responding = false
  private responseDone = false
  private keepUpstream = false
  private keepDownstream = false
  /** What is left of a denied request's body is dropped, this many bytes at most. */
  private discardBytes = 0
  /** The client's connection has become a tunnel to the server. */
  private isTunnel = false
  /** Copies of a request that is not complete; null where its route has no mirror. */
  private mirrors: Http1Mirrors | null = null
  /** Of deadlines and of pauses between attempts; null until a route asks for one. */
  private timer: AttemptTimer | null = null
  /** The pause before another attempt is not over. */
  private isPausing = false

  protected override begin(bytes: Uint8Array, headEnd: number): void {
    const { head, requestBody } = this
    this.sent = false
    this.retried = false
    this.interim = false
    this.answered = false
    this.responding = false
    this.responseDone = false
    this.keepUpstream = false
    this.keepDownstream = head.keepsAlive
    const exchange = this.service.begin(head)
    this.exchange = exchange

    if (head.isChunked) requestBody.begin(BODY_CHUNKED, 0)
    else if (head.contentLength > 0) requestBody.begin(BODY_LENGTH, head.contentLength)
    else requestBody.begin(BODY_NONE, 0)
    const end = requestBody.scan(bytes, headEnd, bytes.length)
    if (requestBody.fault !== 0) {
      this.refuse(REFUSAL_MALFORMED, describeFault(requestBody.fault).text)
      return
    }
    if (end < bytes.length) {
      this.pending = bytes.subarray(end)
      this.pause(PAUSE_PIPELINE)
    }
    const { routing, times } = exchange
    if (routing !== null && routing.delayMs > 0) this.delay(routing, times)
    if (exchange.held !== null) this.hold(exchange)
    if (exchange.refusal !== null) {
      if (!this.isPausing) this.refuse(exchange.refusal, "")
      return
    }
    if (routing !== null && routing.redirect !== null) {
      this.redirect(routing.redirect)
      return
    }
    if (times !== null && requestBody.done) times.requestEnded(this.env.clock.nowMs)
    const stripError = head.hasProxyError && this.service.direction === 1
    const first = requestBytes(head, bytes, headEnd, end, stripError, exchange)
    this.kept.begin(first, end - headEnd, this.service.replay)
    if (routing !== null && routing.mirrors.length > 0) this.mirror(exchange, first)
    if (!this.isPausing) this.connect(false)
  }

  /** An injected fault: nothing is done with the request for so long. What the client goes on sending waits. */
  private delay({ delayMs }: Routing, times: RequestTimes | null): void {
    if (!this.requestBody.done) this.pause(PAUSE_CONNECT)
    const leftMs = times === null ? NO_DEADLINE : times.dueMs - this.env.clock.nowMs
    this.pauseFor(Math.min(delayMs, leftMs))
  }

  /** Nothing is done with the request before it is decided on. What the client goes on sending waits. */
  private hold(exchange: Exchange): void {
    if (!this.requestBody.done) this.pause(PAUSE_CONNECT)
    this.isPausing = true
    exchange.whenDecided(() => {
      this.isPausing = false
      if (exchange.refusal !== null) this.refuse(exchange.refusal, "")
      else this.connect(false)
    })
  }

  /** What becomes a tunnel is not copied: its bytes would be half of a conversation. */
  private mirror(exchange: Exchange, first: Uint8Array): void {
    const { head, requestBody, service, env } = this
    if (head.methodNumber === METHOD_CONNECT || head.wantsUpgrade) return
    this.mirrors = new Http1Mirrors(exchange, first, head.methodNumber, service.mirrorTerms(env))
    if (requestBody.done) this.endMirrors(true)
  }

  private endMirrors(complete: boolean): void {
    this.mirrors?.end(complete)
    this.mirrors = null
  }

  /** @param fresh  no connection at rest will do: one has just failed that way */
  private connect(fresh: boolean): void {
    // Set by begin(); ended only together with the exchange.
    const exchange = this.exchange!
    const endpoint = exchange.pick()
    if (endpoint === null) {
      const podIsEnding = this.service.direction === 0 && this.env.draining
      this.refuse(exchange.failure, podIsEnding ? exchange.failureDetail(true) : "")
      return
    }
    this.endpoint = endpoint
    if (exchange.times !== null) this.watchTime(exchange.times)
    const pool = poolOf(endpoint, this.env)
    const upstream = fresh ? null : pool.take(this)
    if (upstream !== null) {
      this.upstream = upstream
      this.sendFirst(upstream)
      return
    }
    // What the client goes on sending waits in its socket, so that nothing is lost if the dial fails.
    if (!this.requestBody.done) this.pause(PAUSE_CONNECT)
    this.upstream = pool.dial(this)
  }

  private sendFirst(upstream: Upstream): void {
    this.sent = true
    if (!this.kept.sendTo(upstream.conn)) this.pause(PAUSE_BACKPRESSURE)
    if (this.requestBody.done) {
      if (this.conn.readEnded && this.pending === null) upstream.conn.shutdown()
      return
    }
    if (this.pending !== null) {
      const early = this.pending
      this.pending = null
      this.unpause(PAUSE_PIPELINE)
      this.forwardBody(early)
    }
    this.unpause(PAUSE_CONNECT)
  }

  protected override forwardBody(chunk: Uint8Array): void {
    const { requestBody, upstream } = this
    const end = requestBody.scan(chunk, 0, chunk.length)
    this.discardBytes -= chunk.length
    if (requestBody.fault !== 0) {
      const { text } = describeFault(requestBody.fault)
      // A broken body must not look complete to the server: what was sent of it is followed by a reset.
      if (this.responding) this.cut(OUTCOME_CLIENT_GONE)
      else this.refuse(REFUSAL_MALFORMED, text)
      return
    }
    this.kept.keep(chunk, end, this.service.replay)
    if (this.mirrors !== null) {
      this.mirrors.write(chunk.subarray(0, end))
      if (requestBody.done) this.endMirrors(true)
    }
    const times = this.exchange?.times ?? null
    if (times !== null) {
      times.active(this.env.clock.nowMs)
      if (requestBody.done) {
        times.requestEnded(this.env.clock.nowMs)
        this.watchTime(times)
      }
    }
    if (
      upstream !== null &&
      end > 0 &&
      !upstream.conn.write(end === chunk.length ? chunk : chunk.subarray(0, end))
    ) {
      this.pause(PAUSE_BACKPRESSURE)
    }
    if (!requestBody.done) {
      // Answered by the proxy itself, and too long to be worth the connection.
      if (this.responseDone && upstream === null && this.discardBytes < 0) this.close()
      return
    }
    if (end < chunk.length) this.stash(chunk.subarray(end))
    if (this.responseDone) {
      this.detach(this.keepUpstream ? DETACH_KEEP : DETACH_CLOSE)
      this.finish()
    }
  }

  // The server's side.

  upstreamOpened(upstream: Upstream): void {
    this.sendFirst(upstream)
  }

  upstreamDrained(): void {
    this.unpause(PAUSE_BACKPRESSURE)
  }

  upstreamBytes(upstream: Upstream, chunk: Uint8Array): void {
    this.answered = true
    if (this.responseDone) {
      // Bytes behind a complete response belong to no request.
      this.keepUpstream = false
      return
    }
    if (this.responding) this.forwardResponse(upstream, chunk)
    else this.readResponse(upstream, chunk)
  }

  upstreamEnded(upstream: Upstream): void {
    this.upstreamGone(upstream, null)
  }

  upstreamClosed(upstream: Upstream, error: string | null): void {
    this.upstreamGone(upstream, error)
  }

  private readResponse(upstream: Upstream, chunk: Uint8Array): void {
    const bytes = upstream.assembler.isEmpty ? chunk : upstream.assembler.join(chunk)
    if (bytes === null) return
    const { head } = upstream
    const length = bytes.length
    // Interim responses go out together with what follows them: [from, at) is what waits.
    let from = 0
    let at = 0
    for (;;) {
      const end = head.parse(bytes, at, length)
      if (end === PARSE_NEED_MORE) {
        if (at > from) this.toClient(upstream, bytes.subarray(from, at))
        if (at < length) upstream.assembler.keep(bytes, at, length)
        return
      }
      if (end < 0) {
        this.refuse(REFUSAL_UPSTREAM_MALFORMED, describeFault(end).text)
        return
      }
      if (!head.isInterim) {
        this.respond(upstream, bytes, from, at, end)
        return
      }
      this.interim = true
      // HTTP/1.0 knows no interim responses (RFC 9110 section 15.2).
      if (this.head.minor === 0) {
        if (at > from) this.toClient(upstream, bytes.subarray(from, at))
        from = end
      }
      at = end
    }
  }

  /** The final head is bytes[at, headEnd); bytes[from, at) are interim responses still to be passed on. */
  private respond(upstream: Upstream, bytes: Uint8Array, from: number, at: number, headEnd: number): void {
    const { head: request, service } = this
    const { head, body } = upstream
    const kind = head.bodyKind(request.methodNumber)
    // Only the proxy of a meshed endpoint may say what the field says.
    const stripError = head.hasProxyError && !this.trustsEndpoint()
    const unreached =
      head.hasProxyError && !stripError && neverReached(head.header(PROXY_ERROR_FIELD) as string)
    if (kind === BODY_TUNNEL) {
      this.openTunnel(upstream, bytes, from)
      return
    }
    body.begin(kind, head.contentLength)
    const end = body.scan(bytes, headEnd, bytes.length)
    if (body.fault !== 0) {
      this.refuse(REFUSAL_UPSTREAM_MALFORMED, describeFault(body.fault).text)
      return
    }
    if (unreached && this.sendElsewhere(upstream, end === bytes.length)) return
    // Of an exchange under way.
    const { routing } = this.exchange!
    if (routing !== null && this.sendAgain(upstream, end === bytes.length)) return
    this.kept.forget()
    this.responding = true
    // begin() set it, and it ends with the response.
    if (unreached) this.exchange!.unreachedHead(head.status)
    else this.exchange!.responseHead(head.status)

    const reusable =
      kind !== BODY_UNTIL_CLOSE && head.keepsAlive && request.keepsAlive && !request.hasSuspectBody
    const isDraining = service.direction === 0 && (this.draining || this.env.draining)
    this.keepUpstream = reusable && end === bytes.length
    this.keepDownstream =
      reusable &&
      !isDraining &&
      // A client of HTTP/1.0 keeps the connection only where the server says so.
      (request.minor === 1 || (head.connection & CONNECTION_KEEP_ALIVE) !== 0) &&
      // What follows a CONNECT was meant for the tunnel that did not come about, not for us.
      (request.methodNumber !== METHOD_CONNECT || this.pending === null)

    // Only where the client would otherwise think that it may go on.
    const sayClose =
      !this.keepDownstream &&
      request.keepsAlive &&
      head.keepsAlive &&
      kind !== BODY_UNTIL_CLOSE &&
      (request.minor === 1 || (head.connection & CONNECTION_KEEP_ALIVE) !== 0)
    const changes = routing === null || routing.target === null ? null : routing.target.responseHeaders
    const session = routing === null ? null : routing.sessionField(this.endpoint)
    if (sayClose || stripError || changes !== null || session !== null) {
      if (at > from) this.toClient(upstream, bytes.subarray(from, at))
      let dropped = droppedOf(sayClose, stripError)
      if (changes !== null) dropped = [...dropped, ...changes.dropped]
      const told = session === null ? "" : `${session[0]}: ${session[1]}\r\n`
      const added = (sayClose ? CLOSE_LINE : "") + (changes?.lines ?? "") + told
      const rewritten = spliceHead(head, dropped, added)
      this.toClient(
        upstream,
        end > headEnd ? Buffer.concat([rewritten, bytes.subarray(headEnd, end)]) : rewritten,
      )
    } else {
      this.toClient(upstream, from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end))
    }
    if (body.done) this.completeResponse()
  }

  /** Whether a proxy of the mesh stands before the endpoint's application and strips what that makes up. */
  private trustsEndpoint(): boolean {
    return this.service.direction === 1 && this.endpoint !== null && this.endpoint.info.meshed
  }

  /**
   * The endpoint's proxy says that the request did not reach the application. False if it cannot be sent again.
   *
   * @param alone  nothing came behind what is known of the answer
   */
  private sendElsewhere(upstream: Upstream, alone: boolean): boolean {
    if (!this.kept.whole || this.interim) return false
    // Both are there while a request is under way.
    this.exchange!.connectFailed(this.endpoint!, `by its proxy: ${upstream.head.header(PROXY_ERROR_FIELD)}`)
    this.startOver(upstream, alone)
    this.connect(false)
    return true
  }

  /** The route asks again after such a response, and time, budget and what was kept allow it. */
  private sendAgain(upstream: Upstream, alone: boolean): boolean {
    const { head } = upstream
    const { isGrpc } = this.head
    const grpcStatus = isGrpc ? Number(head.header("grpc-status") ?? NO_GRPC_STATUS) : NO_GRPC_STATUS
    // There while a request is under way; here and below.
    if (this.interim || !this.exchange!.wantsAgain(head.status, grpcStatus)) return false
    const pushback = isGrpc ? pushbackMs(head.header("grpc-retry-pushback-ms")) : PUSHBACK_NONE
    const pause = this.exchange!.againAfterResponse(head.status, grpcStatus, pushback, this.kept.whole)
    if (pause === NOT_AGAIN) return false
    this.startOver(upstream, alone)
    this.pauseFor(pause)
    return true
  }

  /** Lets go of a server whose answer is not passed on; the next one gets what is kept before the client is read again. */
  private startOver(upstream: Upstream, alone: boolean): void {
    const { head, body } = upstream
    const whole = body.done && alone && body.kind !== BODY_UNTIL_CLOSE
    const reusable = whole && head.keepsAlive && this.head.keepsAlive && !this.head.hasSuspectBody
    const { done } = this.requestBody
    this.rewind()
    this.detach(reusable && done ? DETACH_KEEP : DETACH_RESET)
  }

  private rewind(): void {
    this.sent = false
    this.answered = false
    if (!this.requestBody.done) this.pause(PAUSE_CONNECT)
    this.unpause(PAUSE_BACKPRESSURE)
  }

  /** The attempt broke, or took too long. False if there is to be no other. */
  private sendAgainAfterSilence(): boolean {
    if (this.exchange === null || this.interim) return false
    const pause = this.exchange.againAfterSilence(this.kept.whole)
    if (pause === NOT_AGAIN) return false
    this.rewind()
    this.detach(DETACH_RESET)
    this.pauseFor(pause)
    return true
  }

  private pauseFor(pauseMs: number): void {
    this.isPausing = true
    this.endpoint = null
    this.timer ??= new AttemptTimer(this)
    this.env.timers.schedule(this.timer, pauseMs)
  }

  /** Sees to it that the timer fires when something of the route's is due. */
  private watchTime({ dueMs }: RequestTimes): void {
    if (dueMs === NO_DEADLINE) {
      if (this.timer !== null) this.env.timers.cancel(this.timer)
      return
    }
    this.timer ??= new AttemptTimer(this)
    this.env.timers.schedule(this.timer, dueMs - this.env.clock.nowMs)
  }

  /** Of the timer: a pause is over, or something of the route's may be due. */
  attemptTimer(): void {
    const { exchange } = this
    if (exchange === null) return
    const { times } = exchange
    const now = this.env.clock.nowMs
    if (this.isPausing) {
      this.isPausing = false
      if (exchange.refusal !== null) this.refuse(exchange.refusal, "")
      else if (times === null || !times.isOver(now)) this.connect(false)
      else this.timedOut("the request took longer than its route allows")
      return
    }
    if (times === null) return
    if (times.isOver(now)) this.timedOut("the request took longer than its route allows")
    else if (!times.attemptIsOver(now)) this.watchTime(times)
    else if (this.responding || !this.sendAgainAfterSilence())
      this.timedOut("the backend took longer than the route allows")
  }

  private timedOut(detail: string): void {
    if (this.responding) this.cut(OUTCOME_TIMEOUT)
    else this.refuse(REFUSAL_TIMEOUT, detail)
  }

  private forwardResponse(upstream: Upstream, chunk: Uint8Array): void {
    const { body } = upstream
    const times = this.exchange?.times ?? null
    if (times !== null) times.active(this.env.clock.nowMs)
    const end = body.scan(chunk, 0, chunk.length)
    if (end > 0) this.toClient(upstream, end === chunk.length ? chunk : chunk.subarray(0, end))
    if (body.fault !== 0) this.cut(OUTCOME_UPSTREAM_GONE)
    else if (body.done) {
      if (end < chunk.length) this.keepUpstream = false
      this.completeResponse()
    }
  }

  private toClient(upstream: Upstream, bytes: Uint8Array): void {
    if (!this.conn.write(bytes)) upstream.conn.pause()
  }

  private completeResponse(): void {
    this.responseDone = true
    this.endExchange(OUTCOME_COMPLETE)
    if (this.requestBody.done) {
      this.detach(this.keepUpstream ? DETACH_KEEP : DETACH_CLOSE)
      this.finish()
    } else if (this.keepUpstream && this.keepDownstream) {
      // Answered early; the rest of the body still belongs to this request.
      this.setDeadline(BODY_AFTER_ANSWER_MS)
    } else {
      this.detach(DETACH_RESET)
      this.finish()
    }
  }

  /** 101, or 2xx to CONNECT: from here on the bytes are not ours to read (RFC 9110 sections 7.8 and 9.3.6). */
  private openTunnel(upstream: Upstream, bytes: Uint8Array, from: number): void {
    const { head: request, conn } = this
    const { head } = upstream
    const wanted = head.status === 101 ? request.wantsUpgrade : true
    if (!wanted || !this.requestBody.done) {
      this.refuse(REFUSAL_UPSTREAM_MALFORMED, "an upgrade that the request did not ask for")
      return
    }
    this.exchange?.responseHead(head.status)
    this.endExchange(OUTCOME_COMPLETE)
    this.state = ENDING
    this.isTunnel = true
    this.env.timers.cancel(this)
    upstream.user = null
    this.upstream = null
    let toClient = bytes.subarray(from)
    if (head.hasProxyError && !this.trustsEndpoint()) {
      const rewritten = spliceHead(head, DROP_PROXY_ERROR, "")
      toClient = Buffer.concat([bytes.subarray(from, head.start), rewritten, bytes.subarray(head.end)])
    }
    const clientReads = conn.write(toClient)
    const early = this.pending
    this.pending = null
    const serverReads = early === null || upstream.conn.write(early)
    this.pauses = 0
    relay(conn, upstream.conn, ignoreEnd)
    if (!clientReads) upstream.conn.pause()
    if (!serverReads) conn.pause()
  }

  private upstreamGone(upstream: Upstream, error: string | null): void {
    if (upstream !== this.upstream) return
    if (this.responseDone) {
      this.detach(DETACH_RESET)
      this.finish()
    } else if (this.responding) {
      if (upstream.body.kind === BODY_UNTIL_CLOSE && error === null) this.completeResponse()
      // The client must not take a part for the whole.
      else this.cut(OUTCOME_UPSTREAM_GONE)
    } else if (!upstream.opened) {
      this.dialFailed(error ?? "ECONNREFUSED")
    } else if (this.maySendAgain(upstream)) {
      this.retried = true
      // Both are there while a request is under way.
      this.exchange!.retry(this.endpoint!)
      this.detach(DETACH_RESET)
      this.connect(true)
    } else if (!this.sendAgainAfterSilence()) {
      this.refuse(REFUSAL_UPSTREAM_GONE, error ?? "closed before it answered")
    }
  }

  private dialFailed(error: string): void {
    // Both are there while a request is under way.
    this.exchange!.connectFailed(this.endpoint!, error)
    this.detach(DETACH_RESET)
    this.connect(this.retried)
  }

  /** The keep-alive race: the server closed a kept connection while the request was on its way to it. */
  private maySendAgain(upstream: Upstream): boolean {
    return (
      upstream.reused &&
      !this.retried &&
      !this.answered &&
      this.kept.whole &&
      this.requestBody.done &&
      isIdempotent(this.head.methodNumber)
    )
  }

  // Ends.

  /** The proxy's own answer to a request that it understood. */
  private refuse(refusal: Refusal, detail: string): void {
    const { head, exchange } = this
    const discards = this.mayDiscard(refusal)
    this.keepDownstream =
      (this.requestBody.done || discards) &&
      head.keepsAlive &&
      refusal.status !== 400 &&
      head.methodNumber !== METHOD_CONNECT &&
      !(this.service.direction === 0 && (this.draining || this.env.draining))
    const proxyError =
      exchange === null ? this.service.refuse(refusal, detail) : exchange.refuse(refusal, detail)
    this.answer(refusal, proxyError, detail, head.methodNumber === METHOD_HEAD, exchange?.guardAnswer)
    this.endExchange(OUTCOME_REFUSED)
    this.detach(DETACH_RESET)
    if (!discards || !this.keepDownstream) {
      this.finish()
      return
    }
    this.sent = true
    this.responding = true
    this.responseDone = true
    this.keepUpstream = false
    this.discardBytes = DISCARD_BODY_MAX_BYTES
    this.pauses = 0
    this.conn.resume()
    this.setDeadline(BODY_AFTER_ANSWER_MS)
  }

  private redirect(redirect: Redirect): void {
    const { head } = this
    this.keepDownstream = this.requestBody.done && head.keepsAlive && !this.draining
    this.exchange?.redirected(redirect.status)
    this.conn.write(
      renderRedirect(redirect, { close: !this.keepDownstream, confirmKeepAlive: head.minor === 0 }),
    )
    this.endExchange(OUTCOME_COMPLETE)
    this.finish()
  }

  /**
   * Whether the rest of a body is read and dropped after a denial. Not of a client that waits for 100: it may take the
   * denial as leave to send no body at all (RFC 9110 section 10.1.1).
   */
  private mayDiscard(refusal: Refusal): boolean {
    const { head, requestBody } = this
    return (
      isByPolicy(refusal) &&
      !requestBody.done &&
      this.pending === null &&
      head.contentLength <= DISCARD_BODY_MAX_BYTES &&
      head.header("expect") === undefined
    )
  }

  reexamine(): void {
    if (this.isTunnel) {
      if (!this.conn.closed && this.service.reexamine(this.head) !== null) this.conn.reset()
      return
    }
    const denial = this.exchange === null ? null : this.service.reexamine(this.head)
    if (denial === null) return
    if (this.responding) this.cut(OUTCOME_REFUSED)
    else this.refuse(denial, "")
  }

  /** The proxy's own answer to what never became a request. */
  protected override refuseHead(refusal: Refusal, text: string): void {
    this.keepDownstream = false
    this.answer(refusal, this.service.refuse(refusal, text), text, false)
    this.finish()
  }

  private answer(
    refusal: Refusal,
    proxyError: string,
    text: string,
    withoutBody: boolean,
    guardAnswer?: GuardAnswer | null,
  ): void {
    this.conn.write(
      renderAnswer(refusal, {
        proxyError,
        text: text === "" ? (guardAnswer?.told ?? "") : text,
        close: !this.keepDownstream,
        confirmKeepAlive: this.head.minor === 0,
        withoutBody,
        fields: guardAnswer?.fields ?? [],
      }),
    )
  }

  /** Ready for the next request, or closes. */
  private finish(): void {
    this.kept.forget()
    if (this.mirrors !== null) this.endMirrors(false)
    this.endpoint = null
    if (this.keepDownstream && this.requestBody.done) this.readNext()
    else this.close()
  }

  private endExchange(outcome: Outcome): void {
    const { exchange } = this
    if (exchange === null) return
    this.kept.forget()
    this.exchange = null
    this.isPausing = false
    if (this.timer !== null) this.env.timers.cancel(this.timer)
    exchange.requestBytes = this.requestBody.bytes
    if (this.responding && this.upstream !== null) exchange.responseBytes = this.upstream.body.bytes
    exchange.end(outcome, NO_GRPC_STATUS)
  }

  /** Lets go of the connection to the server: back to rest, or cut so that nothing of this request lingers there. */
  private detach(how: 0 | 1 | 2): void {
    const { upstream } = this
    if (upstream === null) return
    this.upstream = null
    upstream.assembler.clear()
    if (how === DETACH_KEEP) {
      upstream.conn.resume()
      upstream.pool.give(upstream)
    } else if (how === DETACH_CLOSE) {
      upstream.retire()
    } else {
      upstream.discard()
    }
  }

  private cut(outcome: Outcome): void {
    this.endExchange(outcome)
    if (this.mirrors !== null) this.endMirrors(false)
    this.detach(DETACH_RESET)
    this.state = ENDING
    this.conn.reset()
  }

  protected override requestEnded(): void {
    // The server decides what a FIN behind the request means, as it would without us.
    if (this.sent) this.upstream?.conn.shutdown()
  }

  protected override answerTooLate(): void {
    this.detach(DETACH_RESET)
    this.finish()
  }

  override onDrain(): void {
    this.upstream?.conn.resume()
  }

  protected override clientGone(): void {
    this.endExchange(OUTCOME_CLIENT_GONE)
    this.detach(DETACH_RESET)
    this.kept.forget()
    if (this.mirrors !== null) this.endMirrors(false)
    this.close()
  }
}

function ignoreEnd(): void {}
