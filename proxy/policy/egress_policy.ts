// Enforces egress policies on the outbound side: makes the guard of each connection to what is outside of the cluster.
import type { Verdict } from "../../protos/authorization/mod.ts"
import type { Client, ConnectionGuard, RawProtocol } from "../accept/mod.ts"
import { newErrorId, REFUSAL_EGRESS_DENIED, type Refusal, type RequestView } from "../http/mod.ts"
import type { LogFields, Logger } from "../log.ts"
import { type Clock, formatAddress } from "../net/mod.ts"
import type { RefusalRing } from "../refusal_ring.ts"
import {
  compact,
  type Labels,
  type Metric,
  type Registry,
  type Scalar,
  SeriesGroup,
} from "../telemetry/mod.ts"
import { auditFields, DecisionLog, verdictFields } from "./decision_log.ts"
import { EgressRules, hostOf } from "./egress_rules.ts"
import type { PolicyWatch } from "./policy_watch.ts"

const DECISIONS: Metric = {
  name: "outbound_egress_total",
  kind: "counter",
  help: "Requests and connections to what is outside of the cluster, by what egress policies decided.",
}

/** Parts of enforcement. */
export interface OutboundPolicyOptions {
  readonly watch: PolicyWatch
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Logger
  readonly refusals: RefusalRing
}

class Decisions extends SeriesGroup {
  readonly total: Scalar

  constructor(key: string, registry: Registry, labels: Labels) {
    super(key)
    this.total = registry.scalar(this, DECISIONS, labels)
  }
}

/** Enforces the egress policies of a watch. */
export class OutboundPolicy {
  readonly denials: DecisionLog
  readonly audits: DecisionLog
  readonly refusals: RefusalRing
  private readonly watch: PolicyWatch
  private readonly registry: Registry
  private compiledOf: PolicyWatch["egress"] | null = null
  private compiled = new EgressRules([])

  constructor({ watch, registry, clock, log, refusals }: OutboundPolicyOptions) {
    this.watch = watch
    this.registry = registry
    this.refusals = refusals
    this.denials = new DecisionLog(log, clock)
    this.audits = new DecisionLog(log, clock)
  }

  /** What holds now; another object after each change. */
  get rules(): EgressRules {
    if (this.compiledOf !== this.watch.egress) {
      this.compiledOf = this.watch.egress
      this.compiled = new EgressRules(this.watch.egress)
    }
    return this.compiled
  }

  /** Calls back once policies are known, or were waited for long enough. */
  whenKnown(callback: () => void): void {
    this.watch.whenKnown(callback)
  }

  /** Guards a connection to an address outside of the cluster. */
  guard(client: Client, address: string, port: number): ConnectionGuard {
    return new EgressGuard(this, client, address, port)
  }

  /** Counts a decision. */
  count(verdict: Verdict, protocol: string): void {
    const decided = (decision: string, namespace: string, name: string): void => {
      const labels = compact([
        ["protocol", protocol],
        ["decision", decision],
        ["egress_namespace", namespace],
        ["egress_name", namespace === "" ? "" : name],
      ])
      const key = `egress ${JSON.stringify(labels)}`
      if (this.registry.full && !this.registry.has(key)) return
      this.registry.group(key, made => new Decisions(made, this.registry, labels)).total.value++
    }
    decided(verdict.allowed ? "allow" : "deny", verdict.namespace, verdict.name)
    if (verdict.audit !== null) decided("audit", verdict.audit.namespace, verdict.audit.name)
  }
}

class EgressGuard implements ConnectionGuard {
  readonly client: Client
  readonly clientId = ""
  readonly denial = REFUSAL_EGRESS_DENIED
  httpVersion: 0 | 1 | 2 = 0
  refused: Verdict | null = null
  readonly answer = null
  readonly held = null
  private readonly policy: OutboundPolicy
  private readonly address: string
  private readonly port: number
  private rules: EgressRules
  /** The destination decided on last, and what was decided: requests of a connection mostly name one host. */
  private authority: string | null = null
  private verdict: Verdict | null = null
  private serverName = ""

  constructor(policy: OutboundPolicy, client: Client, address: string, port: number) {
    this.policy = policy
    this.client = client
    this.address = address
    this.port = port
    this.rules = policy.rules
  }

  refuse(request: RequestView): Refusal | null {
    if (!this.policy.rules.any) return null
    const verdict = this.decide(request.authority)
    this.policy.count(verdict, "http")
    if (verdict.audit !== null) this.logAudit(verdict, hostOf(request.authority))
    if (verdict.allowed) return null
    this.refused = verdict
    return REFUSAL_EGRESS_DENIED
  }

  stillAllows(request: RequestView): boolean {
    const verdict = this.decide(request.authority)
    if (verdict.allowed) return true
    this.policy.count(verdict, "http")
    this.refused = verdict
    return false
  }

  refusedFields(): LogFields | null {
    const { refused } = this
    const share = this.policy.denials.take()
    return refused === null || share === null
      ? null
      : { egress: formatAddress(this.address, this.port), ...verdictFields(refused), ...share }
  }

  get mayRelay(): boolean {
    return this.decide(this.serverName).allowed
  }

  relay(protocol: RawProtocol, serverName: string): boolean {
    this.serverName = serverName
    if (!this.policy.rules.any) return true
    const verdict = this.decide(serverName)
    this.policy.count(verdict, protocol)
    if (verdict.audit !== null) this.logAudit(verdict, serverName)
    if (!verdict.allowed) this.logRaw("a connection is refused: egress-denied", protocol, verdict)
    return verdict.allowed
  }

  stillRelays(): boolean {
    const verdict = this.decide(this.serverName)
    if (verdict.allowed) return true
    this.policy.count(verdict, this.serverName === "" ? "tcp" : "tls")
    this.logRaw("a connection that runs is ended: policy has changed", "tcp", verdict)
    return false
  }

  private decide(authority: string): Verdict {
    const { rules } = this.policy
    if (this.verdict === null || rules !== this.rules || authority !== this.authority) {
      this.rules = rules
      this.authority = authority
      this.verdict = rules.decide(hostOf(authority), this.address, this.port)
    }
    return this.verdict
  }

  private logAudit({ audit, allowed }: Verdict, host: string): void {
    const share = this.policy.audits.take()
    if (audit === null || share === null) return
    this.policy.audits.log.info(`egress is matched by an audit, and ${allowed ? "let through" : "refused"}`, {
      egress: formatAddress(this.address, this.port),
      ...(host === "" ? {} : { host }),
      ...auditFields(audit),
      ...share,
    })
  }

  private logRaw(message: string, protocol: RawProtocol, verdict: Verdict): void {
    const id = newErrorId()
    const destination = formatAddress(this.address, this.port)
    const host = this.serverName
    const share = this.policy.denials.take()
    if (share === null) return
    this.policy.denials.log.info(message, {
      ...{ id, protocol, egress: destination },
      ...(host === "" ? {} : { host }),
      ...verdictFields(verdict),
      ...share,
    })
    this.policy.refusals.add({
      ...{ id, timeMs: Date.now(), direction: 1, reason: REFUSAL_EGRESS_DENIED.reason, status: 0 },
      ...{ method: "", authority: host, path: "", clientIp: this.client.address, clientId: "" },
      ...{ destination, endpoint: "", verdict, detail: "" },
    })
  }
}
