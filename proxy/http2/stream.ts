// One HTTP/2 exchange: the client's stream, the server's stream, and what becomes of them when either side ends,
// breaks or refuses. Balanced on its own, so that streams of one connection go to all endpoints.
import type { Endpoint } from "../balance/mod.ts"
import type { Exchange, RequestView } from "../http/mod.ts"
import {
  AttemptTimer,
  isIdempotentMethod,
  NO_GRPC_STATUS,
  neverReached,
  OUTCOME_CLIENT_GONE,
  OUTCOME_COMPLETE,
  OUTCOME_REFUSED,
  OUTCOME_TIMEOUT,
  OUTCOME_UPSTREAM_GONE,
  type Outcome,
  PROXY_ERROR_FIELD,
  REFUSAL_CONNECT_FAILED,
  REFUSAL_TIMEOUT,
  REFUSAL_UPSTREAM_GONE,
  REFUSAL_UPSTREAM_MALFORMED,
  type Redirect,
  type Refusal,
  type Routing,
} from "../http/mod.ts"
import { NO_DEADLINE, NOT_AGAIN, PUSHBACK_NONE, pushbackMs, type RequestTimes } from "../route/mod.ts"
import {
  CANCEL,
  CONNECT_ERROR,
  discardQueue,
  END_STREAM,
  END_TRAILERS,
  ENHANCE_YOUR_CALM,
  type HeaderField,
  HTTP_1_1_REQUIRED,
  INADEQUATE_SECURITY,
  INTERNAL_ERROR,
  LAST_PSEUDO,
  NO_ERROR,
  REFUSED_STREAM,
  Stream,
  withoutProxyError,
} from "../wire/mod.ts"
import { answerFields } from "./answer.ts"
import type { Http2Downstream } from "./downstream.ts"
import { responseFields, routedFields, tracedFields } from "./fields.ts"
import { Http2Mirrors } from "./mirror.ts"
import { poolOf } from "./pool.ts"
import { type StreamOwner, UpstreamStream } from "./upstream_stream.ts"

/** Times that a request which no server looked at is sent anew, connects that failed aside. */
export const MAX_RESENDS = 2

/** The stream towards the client, and the exchange as a whole. */
export class DownstreamStream extends Stream implements RequestView, StreamOwner {
  readonly owner: Http2Downstream
  readonly isGrpc: boolean
  /** The head as it is sent on. */
  fields: HeaderField[]
  /** The request ended with its head. */
  readonly endsWithHead: boolean
  /** Extended CONNECT (RFC 8441): only for servers that announced it. */
  readonly extendedConnect: boolean
  up: UpstreamStream | null = null
  /** The request is HEAD. */
  readonly isHead: boolean
  private readonly methodField: HeaderField | null
  private readonly pathField: HeaderField | null
  private readonly authorityField: HeaderField | null
  // Set by start(), before anything else can happen.
  private exchange!: Exchange
  private endpoint: Endpoint | null = null
  /** The final response head was passed on. */
  private answered = false
  private over = false
  /** An interim response head was passed on. */
  private interim = false
  private grpcStatus = NO_GRPC_STATUS
  private resends = 0
  /** Of deadlines and of pauses between attempts; null until a route asks for one. */
  private timer: AttemptTimer | null = null
  /** The stream of the next attempt, while the pause before it is not over. */
  private next: UpstreamStream | null = null
  /** Octets of both bodies that had been sent when the timer fired last. */
  private sentBefore = 0
  /** Copies of the request that are being sent; null where its route has no mirror. */
  private mirrors: Http2Mirrors | null = null
  /** Trailers of the request, while it may have to be sent again. */
  private trailersSent: HeaderField[] | null = null

  /** Reads what the owner's session scanned last. */
  constructor(owner: Http2Downstream, fields: HeaderField[], endStream: boolean) {
    super()
    const scan = owner.session.scan
    this.owner = owner
    this.fields = scan.hasProxyError ? withoutProxyError(fields) : fields
    this.endsWithHead = endStream
    this.isGrpc = scan.isGrpc
    this.extendedConnect = scan.protocol !== null
    this.methodField = scan.method
    this.pathField = scan.path
    this.authorityField = scan.authority ?? scan.host
    const method = scan.method
    this.isHead = method !== null && method.length === 4 && method.value === "HEAD"
  }

  get method(): string {
    return this.methodField === null ? "" : this.methodField.value
  }

  get path(): string {
    return this.pathField === null ? "" : this.pathField.value
  }

  get authority(): string {
    return this.authorityField === null ? "" : this.authorityField.value
  }

  /** HTTP/2 has no upgrades (RFC 9113 section 8.6). */
  get upgrade(): string {
    return ""
  }

  header(lowerCaseName: string): string | undefined {
    for (const field of this.fields) if (field.name.text === lowerCaseName) return field.value
    return undefined
  }

  values(lowerCaseName: string): string | undefined {
    let found: string | undefined
    const { length } = lowerCaseName
    for (const field of this.fields) {
      const { name } = field
      // Their lengths mostly tell names apart, and cost less to compare.
      if (name.length !== length || name.text !== lowerCaseName) continue
      // Cookies are sent in crumbs (RFC 9113 section 8.2.3).
      found =
        found === undefined ? field.value : `${found}${lowerCaseName === "cookie" ? "; " : ","}${field.value}`
    }
    return found
  }

  fieldsTo(visit: (name: string, value: string) => void): void {
    for (const { name, value } of this.fields) if (name.kind > LAST_PSEUDO) visit(name.text, value)
  }

  /** Begins the exchange; the stream has been accepted on its session. */
  start(): void {
    const exchange = this.owner.service.begin(this)
    this.exchange = exchange
    const { routing, times } = exchange
    const isDelayed = routing !== null && routing.delayMs > 0
    if (exchange.refusal !== null) {
      if (isDelayed) this.delay(routing, new UpstreamStream(this, this))
      else this.answer(exchange.refusal)
      return
    }
    if (routing !== null) {
      if (routing.redirect !== null) {
        this.answerRedirect(routing.redirect)
        return
      }
      if (routing.changesRequest) this.fields = routedFields(this.fields, routing, this.owner.shared.fields)
      if (routing.mirrors.length > 0 && this.method !== "CONNECT") this.mirror()
    }
    if (times !== null && this.endsWithHead) times.requestEnded(this.owner.shared.env.clock.nowMs)
    if (exchange.trace !== null)
      this.fields = tracedFields(this.fields, exchange.trace, this.owner.shared.fields)
    const up = new UpstreamStream(this, this)
    if (!this.endsWithHead) up.replay = this.owner.service.replay.take()
    this.up = up
    this.peer = up
    if (isDelayed) this.delay(routing, up)
    else if (exchange.held !== null) this.hold(exchange, up)
    else this.dispatch(up)
  }

  /** Nothing is done with the request before it is decided on. */
  private hold(exchange: Exchange, next: UpstreamStream): void {
    exchange.whenDecided(() => {
      if (exchange.refusal !== null) this.answer(exchange.refusal)
      else this.dispatch(next)
    })
  }

  /** An injected fault: nothing is done with the request for so long. */
  private delay(routing: Routing, next: UpstreamStream): void {
    const { timers, clock } = this.owner.shared.env
    this.next = next
    this.timer ??= new AttemptTimer(this)
    const { times } = this.exchange
    const dueMs = times === null ? NO_DEADLINE : times.dueMs
    timers.schedule(this.timer, Math.min(routing.delayMs, dueMs - clock.nowMs))
  }

  private mirror(): void {
    const { shared, service } = this.owner
    this.mirrors = new Http2Mirrors(this.exchange, this, shared, service.mirrorTerms(shared.env))
    this.tap = this.mirrors
  }

  /** Chooses an endpoint and hands the request to its pool. */
  private dispatch(up: UpstreamStream): void {
    const endpoint = this.exchange.pick()
    this.endpoint = endpoint
    if (endpoint === null) this.answer(this.exchange.failure, this.exchange.failureDetail(this.isEnding()))
    else {
      const { times } = this.exchange
      if (times !== null) {
        this.watchTime(times)
        if (this.isGrpc) this.tellTimeout()
      }
      poolOf(endpoint, this.owner.shared).take(up)
    }
  }

  /** A server works no longer than somebody waits for it. */
  private tellTimeout(): void {
    const leftMs = this.exchange.grpcTimeoutMs
    if (leftMs !== NO_DEADLINE) this.fields = this.owner.shared.grpcTimeouts.tell(this.fields, leftMs)
  }

  /** Sees to it that the timer fires when something of the route's is due. */
  private watchTime({ dueMs }: RequestTimes): void {
    const { timers, clock } = this.owner.shared.env
    if (dueMs === NO_DEADLINE) {
      if (this.timer !== null) timers.cancel(this.timer)
      return
    }
    this.timer ??= new AttemptTimer(this)
    timers.schedule(this.timer, dueMs - clock.nowMs)
  }

  /** Of the timer: a pause is over, or something of the route's may be due. */
  attemptTimer(): void {
    if (this.over) return
    const { times } = this.exchange
    const { next } = this
    const now = this.owner.shared.env.clock.nowMs
    if (next !== null) {
      this.next = null
      if (this.exchange.refusal !== null) this.answer(this.exchange.refusal)
      else if (times === null || !times.isOver(now)) this.dispatch(next)
      else this.timedOut("the request took longer than its route allows")
      return
    }
    if (times === null) return
    const up = this.up
    // Bodies pass without asking here: whether any did is seen by what was sent.
    const sent = this.bodySent + (up === null ? 0 : up.bodySent)
    if (sent !== this.sentBefore) times.active(now)
    this.sentBefore = sent
    if (times.isOver(now)) this.timedOut("the request took longer than its route allows")
    else if (!times.attemptIsOver(now)) this.watchTime(times)
    else if (up === null || this.answered || !this.sendAgainAfterSilence(up))
      this.timedOut("the backend took longer than the route allows")
  }

  /** END_STREAM came behind a body. */
  requestEnded(): void {
    // Undefined while the head is being accepted; start() sees to requests that end with it.
    const times = this.exchange?.times ?? null
    if (times === null || this.over) return
    times.requestEnded(this.owner.shared.env.clock.nowMs)
    if (this.next === null && this.endpoint !== null) this.watchTime(times)
  }

  private timedOut(detail: string): void {
    if (this.answered) this.fail(CANCEL, OUTCOME_TIMEOUT)
    else this.answer(REFUSAL_TIMEOUT, detail)
  }

  /** The attempt broke, or took too long. False if there is to be no other. */
  private sendAgainAfterSilence(up: UpstreamStream): boolean {
    if (this.interim || up !== this.up || this.answered || this.over) return false
    const pause = this.exchange.againAfterSilence(up.whole)
    if (pause === NOT_AGAIN) return false
    this.startOver(up, pause)
    return true
  }

  /** The route asks again after such a response, and time, budget and what was kept allow it. */
  private sendAgain(up: UpstreamStream, fields: readonly HeaderField[], endStream: boolean): boolean {
    // A stream with a session, since an answer came on it.
    const { status, grpcStatus } = up.session!.scan
    const trailersOnly = endStream ? grpcStatus : NO_GRPC_STATUS
    if (!this.exchange.wantsAgain(status, trailersOnly) || this.interim || !this.isWhole(up)) return false
    const pushback = this.isGrpc ? pushbackMs(fieldValue(fields, "grpc-retry-pushback-ms")) : PUSHBACK_NONE
    const pause = this.exchange.againAfterResponse(status, trailersOnly, pushback, true)
    if (pause === NOT_AGAIN) return false
    this.startOver(up, pause, endStream)
    return true
  }

  /** Gives up an attempt and plans the next one. */
  private startOver(up: UpstreamStream, pauseMs: number, endStream = false): void {
    const { upstream, session } = up
    // Servers count resets, and one of what is over helps nobody.
    const over = up.closed || (endStream && up.localEnded)
    const next = this.renew(up)
    if (session === null) upstream?.withdraw(up)
    else if (!over) session.reset(up, CANCEL)
    this.endpoint = null
    this.next = next
    this.timer ??= new AttemptTimer(this)
    this.owner.shared.env.timers.schedule(this.timer, pauseMs)
  }

  private answerRedirect({ status, location }: Redirect): void {
    this.exchange.redirected(status)
    const { session, shared } = this.owner
    const table = shared.fields
    const fields = [
      table.transientField(":status", String(status)),
      table.transientField("location", location),
      table.transientField("content-length", "0"),
    ]
    this.answered = true
    session.sendHead(this, fields, true)
    // The rest of the request is not wanted (RFC 9113 section 8.1).
    if (!this.endsWithHead) session.reset(this, NO_ERROR)
  }

  /** Nothing was sent: no connection to the endpoint came about. */
  connectFailed(up: UpstreamStream, error: string): void {
    up.upstream = null
    // Picked before it was handed to the pool.
    this.exchange.connectFailed(this.endpoint!, error)
    this.dispatch(up)
  }

  /** The server never looked at the request (REFUSED_STREAM, or above the last stream of its GOAWAY). */
  unprocessed(up: UpstreamStream): void {
    if (this.resend(up)) return
    // The client may know whether to try again; nothing was processed.
    this.fail(REFUSED_STREAM)
  }

  /** The connection to the server was lost. `untouched`: nothing came on it since the request was sent. */
  connectionLost(up: UpstreamStream, untouched: boolean, error: string): void {
    // Idempotent requests may be asked twice (RFC 9110 section 9.2.2), but no more often: it may have been this very
    // request that broke the server. One that the server cannot have seen does not count.
    if (isIdempotentMethod(this.method) && (untouched || this.resends === 0) && this.resend(up)) return
    if (up.remoteEnded) this.uploadEnded(up)
    else if (this.answered) this.fail(INTERNAL_ERROR)
    else if (!this.sendAgainAfterSilence(up)) this.answer(REFUSAL_UPSTREAM_GONE, error)
  }

  /** Sends the request anew if all of it is still here. */
  private resend(up: UpstreamStream): boolean {
    if (!this.isWhole(up) || this.resends >= MAX_RESENDS) return false
    this.resends++
    // Picked before it was sent.
    this.exchange.retry(this.endpoint!)
    this.dispatch(this.renew(up))
    return true
  }

  /** Whether all of the request that came is still here, and no final answer yet. */
  private isWhole(up: UpstreamStream): boolean {
    return up === this.up && !this.answered && !this.over && up.whole
  }

  /** Another stream to the server in the place of one that nobody looked at, with the request as it was. */
  private renew(up: UpstreamStream): UpstreamStream {
    const next = new UpstreamStream(this, this)
    next.takeBody(up)
    if (this.trailersSent !== null) {
      next.queueEnd = END_TRAILERS
      next.trailers = this.trailersSent
    } else if (this.remoteEnded && !this.endsWithHead) next.queueEnd = END_STREAM
    this.up = next
    this.peer = next
    this.grpcStatus = NO_GRPC_STATUS
    // Its bytes, should any come, are not the answer's.
    up.peer = null
    up.upstream = null
    return next
  }

  /** The pod of the application that is called is about to end. */
  private isEnding(): boolean {
    return this.owner.service.direction === 0 && this.owner.shared.env.draining
  }

  /** A response head came: interim or final. */
  response(up: UpstreamStream, fields: HeaderField[], endStream: boolean): void {
    // A stream with a session, since it is open.
    const scan = up.session!.scan
    const passed = scan.hasProxyError && this.stripsErrors() ? withoutProxyError(fields) : fields
    if (scan.status < 200) {
      this.interim = true
    } else {
      this.grpcStatus = scan.grpcStatus
      // What was not stripped is the word of the endpoint's proxy.
      const error =
        scan.hasProxyError && passed === fields ? (fieldValue(fields, PROXY_ERROR_FIELD) ?? "") : ""
      if (error !== "" && neverReached(error)) {
        if (this.sendElsewhere(up, error, endStream)) return
        this.exchange.unreachedHead(scan.status)
      } else {
        if (this.exchange.routing !== null && this.sendAgain(up, fields, endStream)) return
        this.exchange.responseHead(scan.status)
      }
      this.answered = true
      up.releaseReplay()
      this.trailersSent = null
    }
    const routing = scan.status < 200 ? null : this.exchange.routing
    this.owner.session.sendHead(
      this,
      routing?.changesResponse
        ? responseFields(passed, routing, this.endpoint, this.owner.shared.fields)
        : passed,
      endStream,
    )
  }

  /** The endpoint's proxy says that the request did not reach the application. False if it cannot be sent again. */
  private sendElsewhere(up: UpstreamStream, error: string, endStream: boolean): boolean {
    if (!this.isWhole(up) || this.interim) return false
    const next = this.renew(up)
    // A stream with a session, since an answer came on it.
    if (!up.localEnded || !endStream) up.session!.reset(up, CANCEL)
    // Picked before it was sent.
    this.exchange.connectFailed(this.endpoint!, `by its proxy: ${error}`)
    this.dispatch(next)
    return true
  }

  /** Trailers of the response came. */
  responseTrailers(up: UpstreamStream, fields: HeaderField[]): void {
    // A stream with a session, since it is open.
    const scan = up.session!.scan
    this.grpcStatus = scan.grpcStatus
    const passed = scan.hasProxyError && this.stripsErrors() ? withoutProxyError(fields) : fields
    this.owner.session.sendTrailers(this, passed)
  }

  /** Trailers of the request came. */
  requestTrailers(fields: HeaderField[]): void {
    if (this.mirrors !== null) this.mirrors.trailers(fields)
    const up = this.up
    if (up === null) return
    if (!this.answered) this.trailersSent = fields
    if (up.session === null) {
      up.queueEnd = END_TRAILERS
      up.trailers = fields
    } else up.session.sendTrailers(up, fields)
  }

  /** An application's header of our name is a fake; only a proxy in front of it may set it. */
  private stripsErrors(): boolean {
    return this.owner.service.direction === 0 || this.endpoint === null || !this.endpoint.info.meshed
  }

  /** END_STREAM went out to the client. */
  localEnd(): void {
    if (this.over) return
    this.over = true
    this.stopTimer()
    this.endExchange(OUTCOME_COMPLETE, this.grpcStatus)
    // The server's stream is over, the client's is not: nobody takes the rest of the request.
    if (!this.remoteEnded && this.up !== null && this.up.closed) this.rejectRest()
  }

  /** The server reset its stream. */
  upstreamReset(up: UpstreamStream, code: number): void {
    if (code === REFUSED_STREAM && !this.answered) {
      this.unprocessed(up)
      return
    }
    if (up.remoteEnded) this.uploadEnded(up)
    else if (!this.sendAgainAfterSilence(up)) this.fail(passedOn(code, INTERNAL_ERROR))
  }

  /** The response is complete, and the rest of the request is not wanted (RFC 9113 section 8.1). */
  private uploadEnded(up: UpstreamStream): void {
    discardQueue(up)
    if (this.localEnded) this.rejectRest()
  }

  /** The response is out, and nobody takes what is left of the request. */
  private rejectRest(): void {
    if (this.mirrors !== null) this.mirrors.abandon()
    this.owner.session.reset(this, NO_ERROR)
  }

  /** The server broke the protocol. */
  upstreamMalformed(message: string): void {
    if (this.answered) this.fail(INTERNAL_ERROR)
    else this.answer(REFUSAL_UPSTREAM_MALFORMED, message)
  }

  /** The client reset the stream, or its connection is gone. */
  clientGone(code: number): void {
    if (!this.over) {
      this.over = true
      this.endExchange(OUTCOME_CLIENT_GONE, this.grpcStatus)
    }
    this.cancelUpstream(passedOn(code, CANCEL))
  }

  /** Answers by the proxy itself. Nothing of a response has been passed on. */
  answer(refusal: Refusal, detail = ""): void {
    const value = this.exchange.refuse(refusal, detail)
    this.over = true
    this.endExchange(OUTCOME_REFUSED, NO_GRPC_STATUS)
    this.cancelUpstream(CANCEL)
    const session = this.owner.session
    const ending = refusal === REFUSAL_CONNECT_FAILED && this.isEnding()
    const more = this.exchange.guardAnswer
    session.sendHead(
      this,
      answerFields(this.owner.shared.fields, refusal, value, this.isGrpc, ending, more),
      true,
    )
    // The rest of the request is not wanted (RFC 9113 section 8.1).
    session.reset(this, NO_ERROR)
  }

  /** The rules have changed: ends the exchange if it is not allowed any more. */
  reexamine(): void {
    const denial = this.over ? null : this.owner.service.reexamine(this)
    if (denial === null) return
    if (!this.answered) {
      this.answer(denial, "policy has changed")
      return
    }
    this.over = true
    this.endExchange(OUTCOME_REFUSED, this.grpcStatus)
    this.cancelUpstream(CANCEL)
    // The code that gRPC clients read as PERMISSION_DENIED ("gRPC over HTTP2", Errors).
    this.owner.session.reset(this, INADEQUATE_SECURITY)
  }

  upstreamClosed(): void {}

  private stopTimer(): void {
    this.next = null
    if (this.timer !== null) this.owner.shared.env.timers.cancel(this.timer)
  }

  /** Ends the exchange by a reset of the client's stream. */
  private fail(code: number, outcome: Outcome = OUTCOME_UPSTREAM_GONE): void {
    if (!this.over) {
      this.over = true
      this.endExchange(outcome, this.grpcStatus)
    }
    this.cancelUpstream(CANCEL)
    this.owner.session.reset(this, code)
  }

  private endExchange(outcome: Outcome, grpcStatus: number): void {
    const { exchange } = this
    exchange.requestBytes = this.up === null ? 0 : this.up.bodySent
    exchange.responseBytes = this.bodySent
    exchange.end(outcome, grpcStatus)
  }

  private cancelUpstream(code: number): void {
    this.stopTimer()
    if (this.mirrors !== null) this.mirrors.abandon()
    const up = this.up
    if (up === null) return
    // `peer` stays: what waits here came from there, and is given back there. What still comes is dropped.
    this.up = null
    up.releaseReplay()
    discardQueue(up)
    up.keepQueue = false
    if (up.session !== null) up.session.reset(up, code)
    else {
      up.closed = true
      up.upstream?.withdraw(up)
    }
  }
}

/** First value of a field. */
function fieldValue(fields: readonly HeaderField[], name: string): string | undefined {
  for (const field of fields) if (field.name.text === name) return field.value
  return undefined
}

/** Codes that mean the same to the other side; the rest speak of one connection only. */
function passedOn(code: number, otherwise: number): number {
  switch (code) {
    case CANCEL:
    case REFUSED_STREAM:
    case INTERNAL_ERROR:
    case CONNECT_ERROR:
    case ENHANCE_YOUR_CALM:
    case HTTP_1_1_REQUIRED:
      return code
    default:
      return otherwise
  }
}
