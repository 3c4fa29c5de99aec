// What the routes of a service make of one request: where it goes, what is changed on the way, how long it may take and
// whether it is sent again. Made for services that have routes or settings of their own only.
import { type Endpoint, type EndpointSet, type EndpointSource, sessionOf } from "../balance/mod.ts"
import {
  Attempts,
  type DrawnFault,
  drawFault,
  isMirrored,
  isToRenew,
  type MirrorConfig,
  mirrorsOf,
  NO_BACKEND,
  NO_DEADLINE,
  NO_GRPC_TIMEOUT,
  NO_MIRRORS,
  type PathModifier,
  parseGrpcTimeout,
  RetryBudget,
  ROUTE_KIND_GRPC,
  ROUTE_KIND_HTTP,
  type Rule,
  type RuleTarget,
  redirectLocation,
  RequestTimes,
  type ServiceRoutes,
  type Session,
  sessionField,
  sessionOfRequest,
} from "../route/mod.ts"
import { injectedFault, REFUSAL_NO_BACKEND, REFUSAL_NO_ROUTE, type Refusal } from "./refusal.ts"
import type { RequestView } from "./request_view.ts"

/** A redirect that is to be answered. */
export interface Redirect {
  /** 301, 302, 303, 307 or 308. */
  readonly status: number
  /** Value of the Location field. */
  readonly location: string
}

/** How a request is routed. */
export class Routing {
  /** The rule that it meets; null where the service has no routes, or none takes it. */
  readonly rule: Rule | null
  /** What is changed on the way; null for nothing. */
  readonly target: RuleTarget | null
  /** Answer this instead of sending it anywhere. */
  readonly refusal: Refusal | null
  /** Answer this instead. */
  readonly redirect: Redirect | null
  /** Endpoints of its backend. */
  readonly source: EndpointSource
  readonly attempts: Attempts
  /** Milliseconds to wait before anything else is done with it: an injected fault. */
  readonly delayMs: number
  /** The session that it bears; null for none that is there. */
  private readonly stuckTo: FoundSession | null
  private readonly routes: ServiceRoutes
  /** Null where it may take as long as it likes. */
  private readonly times: RequestTimes | null

  /**
   * @param source  endpoints of the service itself
   * @param servicePort  port of the Service that was called
   * @param random  uniform, 0 to 1
   */
  constructor(
    routes: ServiceRoutes,
    source: EndpointSource,
    request: RequestView,
    servicePort: number,
    nowMs: number,
    random: () => number,
  ) {
    const { kind, timeouts } = routes.config
    const routed = kind === ROUTE_KIND_HTTP || kind === ROUTE_KIND_GRPC
    const rule = routed ? routes.table.match(request) : null
    let refusal: Refusal | null = null
    let redirect: Redirect | null = null
    let target: RuleTarget | null = null
    let chosen: EndpointSource = source
    let stuckTo: FoundSession | null = null
    const { injected } = routes.config
    const fault = injected === null ? NO_FAULT : drawFault(injected, random)
    if (rule !== null) {
      const { filters } = rule.config
      if (rule.config.fault === "" && filters.redirect !== null) {
        const location = redirectLocation(filters.redirect, rule.redirectPath, request, servicePort)
        redirect = { status: filters.redirect.status, location }
      } else {
        const { session } = rule.config
        const stuck =
          session === null ? null : findSession(rule, routes, sessionOfRequest(session, request, wallS()))
        const index = stuck === null ? routes.choose(rule, random()) : stuck.index
        if (index === NO_BACKEND) refusal = REFUSAL_NO_BACKEND
        else {
          // `choose` gives an index of the rule's backends, whose endpoints are there.
          target = rule.targets[index]!
          const set = routes.endpoints(target.config.backend)!
          chosen = target.config.backend === 0 && stuck === null ? source : set
          if (stuck !== null) chosen = new SessionSource(stuck.endpoint, set)
          stuckTo = stuck
        }
      }
    } else if (routed) refusal = REFUSAL_NO_ROUTE
    this.rule = rule
    this.target = target
    this.refusal = fault.status === 0 ? refusal : injectedFault(fault.status)
    this.delayMs = fault.delayMs
    this.stuckTo = stuckTo
    this.redirect = fault.status === 0 ? redirect : null
    this.source = chosen
    this.routes = routes
    const grpcTimeout = request.isGrpc ? parseGrpcTimeout(request.header("grpc-timeout")) : NO_GRPC_TIMEOUT
    this.times = RequestTimes.of(rule === null ? timeouts : rule.config.timeouts, grpcTimeout, nowMs)
    const retry = rule === null ? routes.retry : rule.retry
    if (retry === null) this.attempts = NEVER_AGAIN
    else {
      routes.budget.deposit(nowMs)
      const dueMs = this.times === null ? NO_DEADLINE : this.times.requestDueMs
      this.attempts = new Attempts(retry, routes.budget, isIdempotentMethod(request.method), dueMs)
    }
  }

  /** Changes the path; null to keep it. */
  get path(): PathModifier | null {
    return this.rule === null ? null : this.rule.rewritePath
  }

  /** Where copies of it may go. */
  get mirrors(): readonly MirrorConfig[] {
    const { rule, target } = this
    return rule === null || target === null ? NO_MIRRORS : mirrorsOf(rule, target)
  }

  /** What the response is to tell of the client's session, from an endpoint; null for nothing. */
  sessionField(endpoint: Endpoint | null): [name: string, value: string] | null {
    const session = this.rule?.config.session ?? null
    if (session === null || endpoint === null) return null
    const { stuckTo } = this
    const nowS = wallS()
    if (stuckTo === null || endpoint !== stuckTo.endpoint)
      return sessionField(session, sessionOf(endpoint), nowS, nowS)
    if (!isToRenew(session, stuckTo.session, nowS)) return null
    return sessionField(session, sessionOf(endpoint), stuckTo.session.startedS, nowS)
  }

  /** Whether the request's head is sent on other than it came. */
  get changesRequest(): boolean {
    const { target } = this
    return (
      this.path !== null || (target !== null && (target.hostname !== "" || target.requestHeaders !== null))
    )
  }

  /** Where copies go this time; null for a mirror that is not there. Once. @param random  uniform, 0 to 1 */
  drawMirrors(random: () => number): (EndpointSource | null)[] {
    return this.mirrors
      .filter(mirror => isMirrored(mirror, random()))
      .map(({ backend }) => this.routes.endpoints(backend))
  }

  /** An attempt begins. */
  attempt(nowMs: number): void {
    this.times?.attempt(nowMs)
  }

  /** As RequestTimes tells it: what a gRPC server is to be told that it has, milliseconds, or NO_DEADLINE. */
  grpcTimeoutMs(nowMs: number): number {
    return this.times?.grpcTimeoutMs(this.attempts.used === 0, nowMs) ?? NO_DEADLINE
  }

  /** The request has ended: from here on the response must. */
  requestEnded(nowMs: number): void {
    this.times?.requestEnded(nowMs)
  }

  /** Bytes of the body went either way. */
  active(nowMs: number): void {
    this.times?.active(nowMs)
  }

  /** Reading of the clock at which `isOver` or `attemptIsOver` may hold; NO_DEADLINE for never. */
  get dueMs(): number {
    return this.times === null ? NO_DEADLINE : this.times.dueMs
  }

  /** The whole exchange has taken too long. */
  isOver(nowMs: number): boolean {
    return this.times?.isOver(nowMs) ?? false
  }

  /** The attempt has taken too long; another one may be made. */
  attemptIsOver(nowMs: number): boolean {
    return this.times?.attemptIsOver(nowMs) ?? false
  }
}

/** Of requests that are not sent again: it keeps no state then, and all share it. */
const NEVER_AGAIN = new Attempts(null, new RetryBudget(), false)
const NO_FAULT: DrawnFault = { delayMs: 0, status: 0 }

/** A session with the endpoint that it is for, and the index of that one's backend in the rule. */
interface FoundSession {
  readonly index: number
  readonly endpoint: Endpoint
  readonly session: Session
}

/** The endpoint of a session among those of a rule's backends that get a share. */
function findSession(rule: Rule, routes: ServiceRoutes, session: Session | null): FoundSession | null {
  if (session === null || rule.config.fault !== "") return null
  for (const [index, { config }] of rule.targets.entries()) {
    if (config.weight === 0 || config.fault !== "") continue
    const endpoint = routes.endpoints(config.backend)?.ofSession(session.endpoint) ?? null
    if (endpoint !== null) return { index, endpoint, session }
  }
  return null
}

/** Seconds since 1970: sessions are told from proxy to proxy, whose monotonic clocks have nothing in common. */
function wallS(): number {
  return Math.floor(Date.now() / 1000)
}

/** The endpoint of a session, and any other once that has failed or rests. */
class SessionSource implements EndpointSource {
  private readonly endpoint: Endpoint
  private readonly set: EndpointSet

  constructor(endpoint: Endpoint, set: EndpointSet) {
    this.endpoint = endpoint
    this.set = set
  }

  pick(tried: readonly Endpoint[], nowMs: number): Endpoint | null {
    const { endpoint, set } = this
    const usable = !endpoint.removed && !tried.includes(endpoint) && !set.isAside(endpoint, nowMs)
    return usable ? endpoint : set.pick(tried, nowMs)
  }
}

/** Whether sending a request twice means the same as once (RFC 9110 section 9.2.2). */
export function isIdempotentMethod(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "OPTIONS":
    case "TRACE":
    case "PUT":
    case "DELETE":
      return true
    default:
      return false
  }
}
