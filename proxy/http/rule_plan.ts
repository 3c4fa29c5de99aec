// What is the same for all requests that meet a rule, found out once for each: where they are counted, how long they may
// take, and, where nothing in a request makes a difference, their whole routing.
import {
  NO_BACKEND,
  NO_GRPC_TIMEOUT,
  parseGrpcTimeout,
  RequestTimes,
  type RetryRule,
  type Rule,
  type ServiceRoutes,
  type TimeoutsConfig,
} from "../route/mod.ts"
import type { HttpMetrics, HttpScope, ScopeLabels } from "../telemetry/mod.ts"
import type { RequestView } from "./request_view.ts"
import { Routing } from "./routing.ts"

/** A rule to those that begin requests; also what holds for requests that meet none. */
export class RulePlan {
  /** Where its requests are counted; null for requests that meet no rule. */
  readonly scope: HttpScope | null
  /** Null: its requests are not sent again. */
  readonly retry: RetryRule | null
  private readonly routes: ServiceRoutes
  private readonly rule: Rule | null
  private readonly timeouts: TimeoutsConfig
  /** By index of the backend; null where each request is routed on its own. */
  private readonly shared: readonly Routing[] | null
  /** Of requests for which there is no backend. */
  private readonly nowhere: Routing
  /** The only one that requests come to; null where backends are drawn. */
  private readonly only: Routing | null

  constructor(routes: ServiceRoutes, rule: Rule | null, scope: HttpScope | null) {
    this.scope = scope
    this.retry = rule === null ? routes.retry : rule.retry
    this.routes = routes
    this.rule = rule
    this.timeouts = rule === null ? routes.config.timeouts : rule.config.timeouts
    this.nowhere = Routing.shared(routes, rule, NO_BACKEND)
    const isOwn =
      routes.config.injected !== null ||
      (rule !== null && (rule.config.session !== null || rule.config.filters.redirect !== null))
    const indexes = rule === null ? [] : [...rule.targets.keys()]
    this.shared = isOwn ? null : indexes.map(index => Routing.shared(routes, rule, index))
    const index = rule === null ? NO_BACKEND : routes.onlyBackend(rule)
    if (rule === null) this.only = isOwn ? null : this.nowhere
    else this.only = this.shared?.[index] ?? null
  }

  /** How a request is routed. @param random  uniform, 0 to 1 */
  routing(request: RequestView, servicePort: number, random: () => number): Routing {
    const { only, shared, rule, routes } = this
    if (only !== null) return only
    if (shared === null || rule === null) return Routing.of(routes, rule, request, servicePort, random)
    return shared[routes.choose(rule, random())] ?? this.nowhere
  }

  /** When a request must be done; null: it may take as long as it likes. */
  times(request: RequestView, nowMs: number): RequestTimes | null {
    const grpcTimeout = request.isGrpc ? parseGrpcTimeout(request.header("grpc-timeout")) : NO_GRPC_TIMEOUT
    return RequestTimes.of(this.timeouts, grpcTimeout, nowMs)
  }
}

/** The plans of a Service's rules, each made at its first request. */
export class RulePlans {
  /** What the connections to a Service share, by its labels. */
  private static readonly byLabels = new WeakMap<ScopeLabels, RulePlans>()
  readonly routes: ServiceRoutes
  /** Of requests that meet no rule. */
  readonly rest: RulePlan
  private readonly labels: ScopeLabels
  private readonly metrics: HttpMetrics
  /** By the rules' index. */
  private readonly plans: (RulePlan | undefined)[] = []

  private constructor(routes: ServiceRoutes, labels: ScopeLabels, metrics: HttpMetrics) {
    this.routes = routes
    this.labels = labels
    this.metrics = metrics
    this.rest = new RulePlan(routes, null, null)
  }

  /** @param labels  of the Service's requests: one object, as long as they do not change */
  static of(routes: ServiceRoutes, labels: ScopeLabels, metrics: HttpMetrics): RulePlans {
    const known = RulePlans.byLabels.get(labels)
    if (known !== undefined && known.routes === routes) return known
    const made = new RulePlans(routes, labels, metrics)
    RulePlans.byLabels.set(labels, made)
    return made
  }

  /** Of a rule of the routes. */
  plan(rule: Rule): RulePlan {
    return this.plans[rule.index] ?? this.make(rule)
  }

  private make(rule: Rule): RulePlan {
    const plan = new RulePlan(this.routes, rule, this.metrics.scope({ ...this.labels, route: rule.name }))
    this.plans[rule.index] = plan
    return plan
  }
}
