// One request and its response, whatever the wire version: joins an HTTP engine to balancing and telemetry.
// Engines call: pick (again after connectFailed or retry), responseHead, end; or refuse, end.
import { type Endpoint, type EndpointSource, NONE_TRIED } from "../balance/mod.ts"
import { Attempts, NO_DEADLINE, NOT_AGAIN, type RequestTimes } from "../route/mod.ts"
import type { Tapped } from "../tap/mod.ts"
import type { AuthorityLabel, HttpScope, RequestSeries } from "../telemetry/mod.ts"
import { isFailure, NO_GRPC_STATUS, OUTCOME_CLIENT_GONE, type Outcome } from "./classify.ts"
import type { ExchangeFacts } from "./exchange_facts.ts"
import type { HttpContext } from "./http_service.ts"
import {
  REFUSAL_CONNECT_FAILED,
  REFUSAL_MTLS_REQUIRED,
  REFUSAL_NO_ENDPOINT,
  type Refusal,
} from "./refusal.ts"
import type { GuardAnswer, HeldDecision } from "./request_guard.ts"
import type { RequestTrace } from "./request_trace.ts"
import type { RequestView } from "./request_view.ts"
import { isIdempotentMethod, type Routing } from "./routing.ts"

/** Endpoints that one exchange tries at most: connects that fail at once are cheap, and beyond this all are down. */
export const MAX_PICKS = 16

/** After this long no other endpoint is tried; the caller hears of the failure instead (Linkerd fails fast at 3 s). */
export const PICK_BUDGET_MS = 3000

/** Values of the `error` label by outcome; refusals give their reason. */
const OUTCOME_ERRORS: readonly string[] = ["", "client-gone", "upstream-gone", "timeout", "refused"]

/** One request and its response. Made by `HttpService.begin`. */
export class Exchange {
  /** Answer this instead of picking an endpoint. Settled once `held` is null. */
  refusal: Refusal | null
  /** What has to be waited for before anything is done with the request; null for nothing. */
  held: HeldDecision | null = null
  /** What the request's head says. */
  readonly request: RequestView
  /** How it is routed; null where its service's routes say nothing of it, or where it goes at most. */
  readonly routing: Routing | null
  /** When it must be done; null: it may take as long as it likes. */
  readonly times: RequestTimes | null
  /** The request's part in a trace; null where it has none. */
  readonly trace: RequestTrace | null
  /** Octets of the request's body; set by the engine before `end`. */
  requestBytes = 0
  /** Octets of the response's body; set by the engine before `end`. */
  responseBytes = 0
  /** The endpoint picked last, null before. */
  endpoint: Endpoint | null = null
  /** What the guard that refused it adds to the answer. */
  guardAnswer: GuardAnswer | null = null
  /** Who looks at this request; null for nobody. */
  private readonly tapped: Tapped | null
  private readonly context: HttpContext
  private readonly scope: HttpScope
  /** Endpoints of the backend that its route names; null: those that its connection's target has at the time. */
  private readonly source: EndpointSource | null
  /** Made when it may be sent again for the first time. */
  private attempts: Attempts | null = null
  /** Where it is counted as a route: the rule's scope, or that of a learned route. */
  private readonly route: HttpScope
  private readonly authority: AuthorityLabel
  private readonly isGrpc: boolean
  private readonly startedMs: number
  private pickedMs: number
  private pickingSinceMs: number
  private tried: Endpoint[] | null = null
  /** The endpoint whose answer was not good enough: others are asked first. */
  private unwanted: Endpoint | null = null
  private picks = 0
  /** Endpoints asked in all. */
  private asked = 0
  private status = 0
  private series: RequestSeries | null = null
  private counted = false
  private refused: Refusal | null = null
  private connectError = ""
  private ended = false

  /** For `HttpService.begin` only. */
  constructor(
    context: HttpContext,
    scope: HttpScope,
    route: HttpScope,
    authority: AuthorityLabel,
    request: RequestView,
    refusal: Refusal | null,
    routing: Routing | null = null,
    source: EndpointSource | null = null,
    times: RequestTimes | null = null,
  ) {
    this.routing = routing
    this.source = source
    this.times = times
    this.context = context
    this.scope = scope
    this.route = route
    this.authority = authority
    this.request = request
    this.refusal = refusal
    this.isGrpc = request.isGrpc
    const { tracer } = context
    this.trace = tracer === null ? null : tracer.begin(context.direction, request)
    const now = context.clock.nowMs
    this.startedMs = now
    this.pickedMs = now
    this.pickingSinceMs = now
    const { taps } = context.telemetry
    this.tapped = taps.on ? taps.begin(context, scope.labels, request, now) : null
  }

  /**
   * Waits for what holds the request. Only while something does.
   *
   * @param decided  called back once `refusal` is settled, unless the exchange is over before
   */
  whenDecided(decided: () => void): void {
    this.held?.whenDecided((refusal, answer) => {
      this.held = null
      this.refusal = refusal
      this.guardAnswer = answer
      decided()
    })
  }

  /** What to answer when `pick` returned null: no endpoint at all, or none that could be connected to. */
  get failure(): Refusal {
    if (this.tried === null) return REFUSAL_NO_ENDPOINT
    return this.connectError === "mtls-required" ? REFUSAL_MTLS_REQUIRED : REFUSAL_CONNECT_FAILED
  }

  /**
   * What to say about `failure`: the error of the connect that failed last, "" for none.
   *
   * @param podIsEnding  the application was told to end, as this proxy was, and will not come back
   */
  failureDetail(podIsEnding: boolean): string {
    if (this.connectError === "" || !podIsEnding) return this.connectError
    return `${this.connectError}: the pod is ending`
  }

  /** An endpoint not tried yet in this exchange, or null: answer `failure`. */
  pick(): Endpoint | null {
    const now = this.context.clock.nowMs
    if (this.picks > 0 && (this.picks >= MAX_PICKS || now - this.pickingSinceMs >= PICK_BUDGET_MS))
      return null
    const endpoint = this.choose(now)
    if (endpoint === null) return null
    this.picks++
    this.asked++
    endpoint.pending++
    if (endpoint.breaker !== null) endpoint.breaker.sent(now)
    if (this.times !== null) this.times.attempt(now)
    this.endpoint = endpoint
    this.pickedMs = now
    this.count(endpoint)
    if (this.scope.labels.direction === 1) this.context.telemetry.http.route(this.route).sent()
    if (this.tapped !== null) this.tapped.picked(endpoint, this.context.telemetry.http.tlsOf(endpoint.info))
    return endpoint
  }

  private choose(nowMs: number): Endpoint | null {
    const source = this.source ?? this.context.target.source
    const tried = this.tried ?? NONE_TRIED
    if (this.unwanted !== null) {
      const other = source.pick([...tried, this.unwanted], nowMs)
      if (other !== null) return other
    }
    return source.pick(tried, nowMs)
  }

  /** Milliseconds that a gRPC server is to be told it has, or NO_DEADLINE: see `RequestTimes.grpcTimeoutMs`. */
  get grpcTimeoutMs(): number {
    const { times, attempts } = this
    if (times === null) return NO_DEADLINE
    return times.grpcTimeoutMs(attempts === null || attempts.used === 0, this.context.clock.nowMs)
  }

  /** Whether its route would rather ask again than pass on such a response: `againAfterResponse` says if it can. */
  wantsAgain(status: number, grpcStatus: number): boolean {
    const { routing } = this
    if (routing === null || routing.retry === null) return false
    return routing.retry.takesStatus(status) || routing.retry.takesGrpcStatus(grpcStatus)
  }

  /**
   * Whether the request is to be sent once more instead of passing on a response, of which nothing was passed on yet.
   *
   * @param grpcStatus  of a response of trailers only, NO_GRPC_STATUS for none
   * @param pushback  what `pushbackMs` gave
   * @param bodyIsHere  whether what was sent of the body can be sent again
   * @returns milliseconds to wait before `pick`, or NOT_AGAIN
   */
  againAfterResponse(status: number, grpcStatus: number, pushback: number, bodyIsHere: boolean): number {
    const { context } = this
    const attempts = this.mayAgain()
    if (attempts === null) return NOT_AGAIN
    const now = context.clock.nowMs
    const pause = attempts.afterResponse(status, grpcStatus, pushback, bodyIsHere, now, context.random())
    if (pause !== NOT_AGAIN) {
      this.endpoint?.latency.observe(now - this.pickedMs, now)
      this.leave(now)
    }
    return pause
  }

  /** As `againAfterResponse`, where no response came in time or at all. */
  againAfterSilence(bodyIsHere: boolean): number {
    const { context } = this
    const attempts = this.mayAgain()
    if (attempts === null) return NOT_AGAIN
    const now = context.clock.nowMs
    const pause = attempts.afterSilence(bodyIsHere, now, context.random())
    if (pause !== NOT_AGAIN) {
      if (this.endpoint !== null) this.observeWait(this.endpoint, now)
      this.leave(now)
    }
    return pause
  }

  /** Its attempts; null where its route has it sent once. */
  private mayAgain(): Attempts | null {
    const { routing, times, request } = this
    if (routing === null || routing.retry === null) return null
    const dueMs = times === null ? NO_DEADLINE : times.requestDueMs
    this.attempts ??= new Attempts(routing.retry, routing.budget, isIdempotentMethod(request.method), dueMs)
    return this.attempts
  }

  /** An attempt is over, and another one is to follow. */
  private leave(nowMs: number): void {
    const { endpoint } = this
    if (endpoint === null) return
    if (endpoint.breaker !== null) endpoint.breaker.failed(nowMs, this.context.random())
    this.unwanted = endpoint
    this.pickingSinceMs = nowMs
    this.picks = 0
    this.release(endpoint)
  }

  /** The proxy answers with a redirect. */
  redirected(status: number): void {
    this.head(status)
  }

  /**
   * No connection to the endpoint came about, or its own proxy says that none to the application did: the request did
   * not arrive, and `pick` again is allowed.
   */
  connectFailed(endpoint: Endpoint, error: string): void {
    if (endpoint !== this.endpoint) return
    endpoint.connectFailed(this.context.clock.nowMs, this.context.random())
    this.context.onUnreached?.()
    this.connectError = error
    if (this.tried === null) this.tried = []
    this.tried.push(endpoint)
    this.release(endpoint)
    this.context.log.debug("connect failed", { endpoint: endpoint.address, port: endpoint.port, error })
  }

  /**
   * A kept connection closed before any byte of the answer came and the request may be sent again: the endpoint
   * is not to blame, and `pick` may choose it again, unless it kept the request waiting. The time for picks begins anew:
   * a connection to a dead node takes longer to be given up than picks are allowed.
   */
  retry(endpoint: Endpoint): void {
    if (endpoint !== this.endpoint) return
    const now = this.context.clock.nowMs
    this.observeWait(endpoint, now)
    this.pickingSinceMs = now
    this.release(endpoint)
  }

  /** The final response head came (not 1xx). */
  responseHead(status: number): void {
    this.head(status)
    const endpoint = this.endpoint
    if (endpoint === null) return
    const now = this.context.clock.nowMs
    endpoint.latency.observe(now - this.pickedMs, now)
    if (endpoint.connectFailures > 0) endpoint.connected()
  }

  /**
   * As `responseHead`, of an answer by the endpoint's proxy which says that the application was not reached. It is
   * passed on; the endpoint steps aside as after a connect that failed, for its fast answers would draw ever more.
   */
  unreachedHead(status: number): void {
    this.head(status)
    this.endpoint?.connectFailed(this.context.clock.nowMs, this.context.random())
    this.context.onUnreached?.()
  }

  private head(status: number): void {
    this.status = status
    if (this.tapped !== null) this.tapped.head(status, this.context.clock.nowMs)
  }

  /**
   * The proxy answers by itself: counts, logs, and gives the value of the conduit-proxy-error field. Call `end`
   * with OUTCOME_REFUSED once the answer is out.
   *
   * @param detail  what happened, for the log; empty for nothing to add
   */
  refuse(refusal: Refusal, detail = ""): string {
    this.refused = refusal
    this.status = refusal.status
    const value = this.context.refuseExchange(
      refusal,
      this.request,
      detail === "" ? (this.guardAnswer?.detail ?? this.connectError) : detail,
      this.endpoint,
    )
    if (this.tapped !== null) this.tapped.refused(value)
    return value
  }

  /** The exchange is over. Once; later calls do nothing. `grpcStatus` -1 for none. */
  end(outcome: Outcome, grpcStatus: number): void {
    if (this.ended) return
    this.ended = true
    if (this.held !== null) this.held.forget()
    const { context, refused } = this
    const now = context.clock.nowMs
    const endpoint = this.endpoint
    if (endpoint !== null) {
      if (this.status === 0) this.observeWait(endpoint, now)
      endpoint.pending--
      if (endpoint.breaker !== null && outcome !== OUTCOME_CLIENT_GONE) {
        if (isFailure(outcome, this.status, grpcStatus, this.isGrpc))
          endpoint.breaker.failed(now, context.random())
        else endpoint.breaker.succeeded(now)
      }
    }
    if (!this.counted) this.count(null)
    // Set by count().
    let series = this.series as RequestSeries
    series.running--
    context.admission.inFlight--
    const grpc =
      grpcStatus === NO_GRPC_STATUS && refused !== null && this.isGrpc ? refused.grpcStatus : grpcStatus
    const error = refused !== null ? refused.reason : (OUTCOME_ERRORS[outcome] ?? "")
    const latencyMs = now - this.startedMs
    if (this.tapped !== null) {
      const failed = isFailure(outcome, this.status, grpc, this.isGrpc)
      this.tapped.ended(this.status, grpc, failed, error, this.responseBytes, now)
    }
    if (context.accessLog !== null || this.trace !== null) this.tell(outcome, grpc, error, latencyMs)
    if (outcome === OUTCOME_CLIENT_GONE && this.status === 0) {
      // Nothing to classify: neither success nor failure of the server, as in Linkerd.
      context.telemetry.abandoned.value++
      return
    }
    const failure = isFailure(outcome, this.status, grpc, this.isGrpc)
    if (series.dropped) series = context.telemetry.http.requests(this.scope, endpoint, this.authority)
    series.response(this.status, grpc, failure, error, latencyMs)
    if (this.scope.labels.direction === 1) {
      context.telemetry.http.route(this.route).response(this.status, grpc, failure, error, latencyMs)
    }
  }

  /** Tells the access log and the trace what became of it. */
  private tell(outcome: Outcome, grpcStatus: number, error: string, totalMs: number): void {
    const { context, trace, status, endpoint } = this
    const { dstService, dstNamespace, route, tls } = this.scope.labels
    const facts: ExchangeFacts = {
      direction: context.direction,
      request: this.request,
      httpVersion: context.httpVersion === 2 ? "2" : this.request.minor === 0 ? "1.0" : "1.1",
      client: context.client,
      clientId: context.clientId,
      tls: tls ?? "",
      endpoint,
      dstService,
      dstNamespace,
      route,
      status,
      grpcStatus,
      error,
      isFailure: isFailure(outcome, status, grpcStatus, this.isGrpc),
      requestBytes: this.requestBytes,
      responseBytes: this.responseBytes,
      attempts: this.asked,
      totalMs,
      processingMs: endpoint === null ? totalMs : this.pickedMs - this.startedMs,
      traceId: trace === null ? "" : trace.traceId,
    }
    if (trace !== null) trace.ended(facts)
    if (context.accessLog !== null) context.accessLog.ended(facts)
  }

  private count(endpoint: Endpoint | null): void {
    const http = this.context.telemetry.http
    const series = http.requests(this.scope, endpoint, this.authority)
    series.running++
    if (this.series !== null) this.series.running--
    this.series = series
    if (this.counted) return
    this.counted = true
    series.request()
    if (this.scope.labels.direction === 1) http.route(this.route).request()
  }

  /** An endpoint that lets a request wait and then fails is as slow as it let it wait, at least. */
  private observeWait(endpoint: Endpoint, nowMs: number): void {
    const waited = nowMs - this.pickedMs
    if (waited > endpoint.latency.valueAt(nowMs)) endpoint.latency.observe(waited, nowMs)
  }

  private release(endpoint: Endpoint): void {
    endpoint.pending--
    this.endpoint = null
  }
}
