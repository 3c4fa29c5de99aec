// Enforces policy on the inbound side: makes the guard of each accepted connection, which decides on its requests and
// on whether it may be passed on unseen, counts what it decides and tells whoever listens.
import { type ConnectionPolicy, PathReading, type Verdict } from "../../protos/authorization/mod.ts"
import type { Client, ConnectionGuard, RawProtocol } from "../accept/mod.ts"
import { AskedRequest, type PluginAsker } from "../ask/mod.ts"
import {
  type GuardAnswer,
  type HeldDecision,
  newErrorId,
  REFUSAL_DENIED,
  REFUSAL_LIMITED,
  type Refusal,
  type RequestView,
} from "../http/mod.ts"
import type { LogFields, Logger } from "../log.ts"
import { type Clock, formatAddress } from "../net/mod.ts"
import type { RefusalRing } from "../refusal_ring.ts"
import type { Registry } from "../telemetry/mod.ts"
import type { AccessObserver, AccessProtocol } from "./access_observer.ts"
import { AuthzMetrics, type AuthzSeries } from "./authz_series.ts"
import { auditFields, DecisionLog, verdictFields } from "./decision_log.ts"
import type { PolicyWatch } from "./policy_watch.ts"
import { limitFields, type PortLimits, RateLimits } from "./rate_limits.ts"

/** Verdicts whose series a connection holds on to: those of its requests; beyond it they are looked up anew. */
export const MAX_SERIES_HELD = 64

/** An upgrade to what is not known to end the requests on a connection: `h2c` would go on with unseen ones. */
const HIDDEN_BY_UPGRADE: Verdict = {
  allowed: false,
  cause: "hidden-requests",
  namespace: "",
  name: "",
  rule: -1,
  detail:
    "the request upgrades to a protocol in which requests would go unseen, and there are rules about requests",
  audit: null,
}

/** Parts of enforcement. */
export interface InboundPolicyOptions {
  readonly watch: PolicyWatch
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Logger
  /** Keeps what is refused. Default: nobody does. */
  readonly refusals?: RefusalRing
  /** Asks plugins. Default: nobody does, and nothing is answered. */
  readonly asker?: PluginAsker
}

/** Enforces the policies of a watch. */
export class InboundPolicy {
  /** Told of every decision; null for nobody. */
  observer: AccessObserver | null = null
  readonly watch: PolicyWatch
  readonly clock: Clock
  readonly metrics: AuthzMetrics
  readonly denials: DecisionLog
  readonly audits: DecisionLog
  /** For the guards: keeps connections that are refused; null for nobody. */
  readonly refusals: RefusalRing | null
  /** For the guards: asks plugins; null for nobody. */
  readonly asker: PluginAsker | null
  /** Makes the guard of a connection. */
  readonly guard: (client: Client, address: string, port: number) => ConnectionGuard
  private readonly rateLimits: RateLimits
  private limitsSeen: PolicyWatch["rateLimits"] = []

  constructor({ watch, registry, clock, log, refusals, asker }: InboundPolicyOptions) {
    this.watch = watch
    this.clock = clock
    this.rateLimits = new RateLimits(registry)
    this.refusals = refusals ?? null
    this.asker = asker ?? null
    this.metrics = new AuthzMetrics(registry)
    this.denials = new DecisionLog(log, clock)
    this.audits = new DecisionLog(log, clock)
    this.guard = (client, address, port) => new PolicyGuard(this, client, address, port)
  }

  /** Limits that hold on a port now. */
  limitsOf(port: number): PortLimits | null {
    if (this.limitsSeen !== this.watch.rateLimits) {
      this.limitsSeen = this.watch.rateLimits
      this.rateLimits.replace(this.limitsSeen)
    }
    return this.rateLimits.of(port)
  }

  /** Calls back once policies are known, or were waited for long enough. */
  whenKnown(callback: () => void): void {
    this.watch.whenKnown(callback)
  }
}

/** For the observer only; its result is taken at once. */
const reading = new PathReading()

class PolicyGuard implements ConnectionGuard {
  readonly client: Client
  readonly denial = REFUSAL_DENIED
  httpVersion: 0 | 1 | 2 = 0
  private readonly policy: InboundPolicy
  private readonly address: string
  private readonly port: number
  private set: PolicyWatch["current"]
  private rules: ConnectionPolicy
  private verdict: Verdict | null = null
  private series: AuthzSeries | null = null
  /** Made when a second verdict is met. */
  private seriesOf: Map<Verdict, AuthzSeries> | null = null
  private rawProtocol: RawProtocol = "tcp"
  refused: Verdict | null = null
  answer: GuardAnswer | null = null
  held: HeldDecision | null = null
  private limits: PortLimits | null

  constructor(policy: InboundPolicy, client: Client, address: string, port: number) {
    this.policy = policy
    this.client = client
    this.address = address
    this.port = port
    this.set = policy.watch.current
    this.rules = this.set.connection(client, port)
    this.limits = policy.limitsOf(port)
  }

  refuse(request: RequestView): Refusal | null {
    const verdict = this.decide(request)
    this.held = null
    return this.rules.asks ? this.ask(request, verdict) : this.settle(request, verdict, "")
  }

  /** @param told  what the caller is told of a refusal */
  private settle(request: RequestView, verdict: Verdict, told: string): Refusal | null {
    this.count(verdict, true)
    if (this.policy.observer !== null) this.observe(this.policy.observer, request, verdict)
    if (verdict.audit !== null) this.logAudit(verdict, request)
    if (verdict.allowed) return this.limits === null ? null : this.limit(this.limits, request)
    this.refused = verdict
    this.answer = told === "" ? null : { fields: [], detail: verdict.detail, told }
    return REFUSAL_DENIED
  }

  /** Has plugins asked where they make a difference, and holds the request as long as an answer is missing. */
  private ask(request: RequestView, verdict: Verdict): Refusal | null {
    const { asker } = this.policy
    const matches = this.rules.questions(request.method, request.path, verdict)
    if (matches.length === 0) return this.settle(request, verdict, "")
    if (asker === null) {
      const failing = matches.find(({ question }) => question.fail)
      return this.settle(request, failing?.denied("nobody can be asked") ?? verdict, "")
    }
    reading.read(request.path)
    const { spiffeId: clientId, address: clientAddress } = this.client
    const { method, authority } = request
    const facts = { clientId, clientAddress, port: this.port, method, path: reading.path, authority }
    const asked = new AskedRequest(asker, matches, facts, request)
    // Policies may have changed meanwhile: what they say now counts.
    const settle = (): Refusal | null => this.settle(request, asked.over(this.decide(request)), asked.told)
    let decided: Parameters<HeldDecision["whenDecided"]>[0] = () => {}
    const settled = (): void => {
      const refusal = settle()
      decided(refusal, refusal === null ? null : this.answer)
    }
    if (asked.begin(settled)) return settle()
    this.held = {
      whenDecided: callback => {
        decided = callback
      },
      forget: () => asked.forget(),
    }
    return null
  }

  /** What the kubelet asks is not counted: a pod that is busy is not to be taken for one that is ill. */
  private limit(limits: PortLimits, request: RequestView): Refusal | null {
    if (this.rules.isProbe(request.method, request.path)) return null
    const { spiffeId, address } = this.client
    const over = limits.admit(request, spiffeId === "" ? address : spiffeId, this.policy.clock.nowMs)
    if (over === null) return null
    this.refused = null
    this.answer = { fields: limitFields(over), detail: `RateLimitPolicy ${over.limit.title}` }
    return REFUSAL_LIMITED
  }

  stillAllows(request: RequestView): boolean {
    const verdict = this.decide(request)
    // A plugin let it through, or is being asked.
    if (verdict.allowed || this.rules.questions(request.method, request.path, verdict).length > 0) return true
    this.count(verdict, true)
    this.refused = verdict
    const fields = this.refusedFields()
    if (fields !== null) {
      const { method, path } = request
      this.policy.denials.log.info("a request that runs is ended: policy has changed", {
        method,
        path,
        ...fields,
      })
    }
    return false
  }

  refusedFields(): LogFields | null {
    const { refused } = this
    const share = this.policy.denials.take()
    if (share === null || (refused === null && this.answer === null)) return null
    return { ...this.fields(), ...(refused === null ? {} : verdictFields(refused)), ...share }
  }

  get clientId(): string {
    return this.client.dnsName
  }

  get mayRelay(): boolean {
    return this.current().raw.allowed
  }

  relay(protocol: RawProtocol): boolean {
    this.rawProtocol = protocol
    const verdict = this.current().raw
    this.count(verdict, false)
    this.policy.observer?.decided(this.client, this.port, protocol, "", "", verdict)
    if (verdict.audit !== null) this.logAudit(verdict, null)
    if (!verdict.allowed) this.logRaw("a connection is refused: denied", verdict)
    return verdict.allowed
  }

  stillRelays(): boolean {
    const verdict = this.current().raw
    if (verdict.allowed) return true
    this.count(verdict, false)
    this.logRaw("a connection that runs is ended: policy has changed", verdict)
    return false
  }

  private decide(request: RequestView): Verdict {
    const rules = this.current()
    const { always } = rules
    if (always !== null) return always
    const { upgrade } = request
    if (upgrade !== "" && upgrade !== "websocket") return HIDDEN_BY_UPGRADE
    return rules.request(request.method, request.path)
  }

  /** What holds now: looked up again after a change of the policies only. */
  private current(): ConnectionPolicy {
    const set = this.policy.watch.current
    if (set !== this.set) {
      this.set = set
      this.rules = set.connection(this.client, this.port)
      this.limits = this.policy.limitsOf(this.port)
      this.seriesOf = null
    }
    return this.rules
  }

  private count(verdict: Verdict, isHttp: boolean): void {
    let series = verdict === this.verdict ? this.series : null
    if (series === null || series.dropped) {
      series = this.find(verdict, isHttp)
      this.verdict = verdict
      this.series = series
    }
    series.count()
  }

  private find(verdict: Verdict, isHttp: boolean): AuthzSeries {
    const known = this.seriesOf?.get(verdict)
    if (known !== undefined && !known.dropped) return known
    const target = formatAddress(this.address, this.port)
    const found = this.policy.metrics.of(isHttp, this.client, target, this.port, verdict)
    if (this.verdict !== null) {
      if (this.seriesOf === null || this.seriesOf.size >= MAX_SERIES_HELD) this.seriesOf = new Map()
      this.seriesOf.set(verdict, found)
    }
    return found
  }

  private observe(observer: AccessObserver, request: RequestView, verdict: Verdict): void {
    reading.read(request.path)
    const protocol: AccessProtocol = request.isGrpc ? "grpc" : this.httpVersion === 2 ? "http2" : "http1"
    observer.decided(this.client, this.port, protocol, request.method, reading.path, verdict)
  }

  private logAudit({ audit, allowed }: Verdict, request: RequestView | null): void {
    const share = this.policy.audits.take()
    if (audit === null || share === null) return
    const what = request === null ? "a connection" : "a request"
    this.policy.audits.log.info(
      `${what} is matched by an audit, and ${allowed ? "let through" : "refused"}`,
      {
        ...this.fields(),
        ...(request === null ? {} : { method: request.method, path: request.path }),
        ...auditFields(audit),
        ...share,
      },
    )
  }

  private logRaw(message: string, verdict: Verdict): void {
    const share = this.policy.denials.take()
    if (share === null) return
    const id = newErrorId()
    const { log } = this.policy.denials
    const { rawProtocol: protocol, client } = this
    log.info(message, { ...this.fields(), id, protocol, ...verdictFields(verdict), ...share })
    this.policy.refusals?.add({
      id,
      timeMs: Date.now(),
      direction: 0,
      reason: REFUSAL_DENIED.reason,
      status: 0,
      method: "",
      authority: "",
      path: "",
      clientIp: client.address,
      clientId: client.dnsName,
      destination: formatAddress(this.address, this.port),
      endpoint: "",
      verdict,
      detail: "",
    })
  }

  private fields(): LogFields {
    const { address, spiffeId } = this.client
    return { client: address, ...(spiffeId === "" ? {} : { client_id: spiffeId }), port: this.port }
  }
}
