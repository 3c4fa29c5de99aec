// What the routes of a service make of one request: where it goes, what is changed on the way, and whether it is sent
// again. Requests of which their rule says it all share it (rule_plan.ts).
import { type Endpoint, type EndpointSet, type EndpointSource, sessionOf } from "../balance/mod.ts"
import {
  type DrawnFault,
  drawFault,
  isMirrored,
  isToRenew,
  type MirrorConfig,
  mirrorsOf,
  NO_BACKEND,
  NO_MIRRORS,
  type PathModifier,
  type RetryBudget,
  type RetryRule,
  type Rule,
  type RuleTarget,
  redirectLocation,
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
  /** Endpoints of its backend; null: those of the service that was called. */
  readonly source: EndpointSource | null
  /** Answer this instead of sending it anywhere. */
  readonly refusal: Refusal | null
  /** Answer this instead. */
  readonly redirect: Redirect | null
  /** Milliseconds to wait before anything else is done with it: an injected fault. */
  readonly delayMs: number
  /** Null: it is not sent again. */
  readonly retry: RetryRule | null
  /** Changes the path; null to keep it. */
  readonly path: PathModifier | null
  /** Where copies of it may go. */
  readonly mirrors: readonly MirrorConfig[]
  /** Whether the request's head is sent on other than it came. */
  readonly changesRequest: boolean
  /** Whether the response's head may be passed on other than it came. */
  readonly changesResponse: boolean
  /** Whether it says nothing but where the request goes. */
  readonly isBare: boolean
  /** The session that it bears; null for none that is there. */
  private readonly stuckTo: FoundSession | null
  private readonly routes: ServiceRoutes

  private constructor(
    routes: ServiceRoutes,
    rule: Rule | null,
    index: number,
    refusal: Refusal | null,
    redirect: Redirect | null = null,
    delayMs = 0,
    stuckTo: FoundSession | null = null,
  ) {
    const target = rule === null ? null : (rule.targets[index] ?? null)
    const backend = target === null ? 0 : target.config.backend
    const set = backend === 0 && stuckTo === null ? null : routes.endpoints(backend)
    this.rule = rule
    this.target = target
    this.source = stuckTo === null || set === null ? set : new SessionSource(stuckTo.endpoint, set)
    this.refusal = refusal
    this.redirect = redirect
    this.delayMs = delayMs
    this.retry = rule === null ? routes.retry : rule.retry
    this.stuckTo = stuckTo
    this.routes = routes
    this.path = rule === null ? null : rule.rewritePath
    this.mirrors = rule === null || target === null ? NO_MIRRORS : mirrorsOf(rule, target)
    this.changesRequest =
      this.path !== null || (target !== null && (target.hostname !== "" || target.requestHeaders !== null))
    this.changesResponse =
      target !== null && (target.responseHeaders !== null || rule?.config.session !== null)
    this.isBare =
      refusal === null &&
      redirect === null &&
      delayMs === 0 &&
      this.retry === null &&
      this.mirrors.length === 0 &&
      !this.changesRequest &&
      !this.changesResponse
  }

  /**
   * That of requests which meet a rule, where no request is told from another.
   *
   * @param rule  null for those that meet none
   * @param index  of the backend that was drawn, among the rule's, or NO_BACKEND
   */
  static shared(routes: ServiceRoutes, rule: Rule | null, index: number): Routing {
    return new Routing(routes, rule, index, refusalOf(routes, rule, index))
  }

  /**
   * That of one request.
   *
   * @param rule  that it meets; null for none
   * @param servicePort  port of the Service that was called
   * @param random  uniform, 0 to 1
   */
  static of(
    routes: ServiceRoutes,
    rule: Rule | null,
    request: RequestView,
    servicePort: number,
    random: () => number,
  ): Routing {
    const { injected } = routes.config
    const { delayMs, status } = injected === null ? NO_FAULT : drawFault(injected, random)
    if (status !== 0) return new Routing(routes, rule, NO_BACKEND, injectedFault(status), null, delayMs)
    if (rule === null)
      return new Routing(routes, null, NO_BACKEND, refusalOf(routes, null, NO_BACKEND), null, delayMs)
    const { filters, session, fault } = rule.config
    if (fault === "" && filters.redirect !== null) {
      const location = redirectLocation(filters.redirect, rule.redirectPath, request, servicePort)
      const redirect = { status: filters.redirect.status, location }
      return new Routing(routes, rule, NO_BACKEND, null, redirect, delayMs)
    }
    const stuckTo =
      session === null ? null : findSession(rule, routes, sessionOfRequest(session, request, wallS()))
    const index = stuckTo === null ? routes.choose(rule, random()) : stuckTo.index
    return new Routing(routes, rule, index, refusalOf(routes, rule, index), null, delayMs, stuckTo)
  }

  /** Of all requests to the service. */
  get budget(): RetryBudget {
    return this.routes.budget
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

  /** Where copies go this time; null for a mirror that is not there. Once. @param random  uniform, 0 to 1 */
  drawMirrors(random: () => number): (EndpointSource | null)[] {
    return this.mirrors
      .filter(mirror => isMirrored(mirror, random()))
      .map(({ backend }) => this.routes.endpoints(backend))
  }
}

const NO_FAULT: DrawnFault = { delayMs: 0, status: 0 }

/** What is answered to requests that the routes send nowhere; null for the others. */
function refusalOf(routes: ServiceRoutes, rule: Rule | null, index: number): Refusal | null {
  if (rule === null) return routes.isRouted ? REFUSAL_NO_ROUTE : null
  return index === NO_BACKEND ? REFUSAL_NO_BACKEND : null
}

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
