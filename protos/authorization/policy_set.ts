// Decides. First by what a connection shows (port, address, identity), once; then by what each request shows.
import { type AskMatch, AskRules, isOpen } from "./ask_rules.ts"
import { contains, type Network, parseNetwork } from "./network.ts"
import { PathReading } from "./normal_path.ts"
import { Clause, isKnownAction, isStrict, RequestRules } from "./request_rules.ts"
import { ClientFacts, type PolicyClient, Sources } from "./source_match.ts"
import { type AuditMatch, Outcome, outcome, type Verdict } from "./verdict.ts"
import {
  ACTION_ALLOW,
  ACTION_ASK,
  ACTION_AUDIT,
  ACTION_DENY,
  DEFAULT_POLICY_NAMES,
  type Operation,
  type PluginQuestion,
  type Policy,
  type WorkloadPolicy,
} from "./workload_policy.ts"

/** Ports remembered with the policies that target them; a scan of all ports must not fill the memory. */
export const MAX_PORTS_KEPT = 256

/** Clients remembered per port: the pods that call one; beyond it they are looked at anew. */
export const MAX_CLIENTS_KEPT = 4096

/** Kinds of clients per port whose rules are kept indexed, up to some 200 KB each with a thousand rules. */
export const MAX_KINDS_KEPT = 64

/** What the health service of gRPC is asked (grpc.io, "GRPC Health Checking Protocol"). */
const GRPC_HEALTH_PATH = "/grpc.health.v1.Health/Check"

const NOT_ALLOWED = outcome(false, "not-allowed")
const PROBE = outcome(true, "probe", "probe").verdict
const DEFAULT_AUDIT: AuditMatch = { namespace: "", name: "audit", rule: -1 }
const NO_PROBES: ReadonlySet<string> = new Set()
const NO_ASKS: readonly AskRules[] = []
const NO_QUESTIONS: readonly AskMatch[] = []

interface CompiledRule {
  readonly action: number
  readonly sources: Sources
  readonly to: readonly Operation[]
  readonly clause: Clause
  /** For a connection within which what the rule denies could be hidden. */
  readonly hidden: Outcome
}

interface CompiledPolicy {
  readonly ports: ReadonlySet<number> | null
  readonly allows: boolean
  readonly readsPaths: boolean
  /** Null for a policy that decides by itself. */
  readonly ask: PluginQuestion | null
  readonly rules: readonly CompiledRule[]
}

/** All policies of a pod, ready to decide. Immutable; a new state is a new set. */
export class PolicySet {
  /** Whether any policy has a plugin asked. */
  readonly asks: boolean
  private readonly policy: WorkloadPolicy
  private readonly policies: readonly CompiledPolicy[]
  private readonly clusterNetworks: readonly Network[]
  private readonly ports = new Map<number, PortPolicies>()

  constructor(policy: WorkloadPolicy) {
    this.policy = policy
    let order = 0
    this.policies = policy.policies.map(one => ({
      ports: one.allPorts ? null : new Set(one.ports),
      // What this version does not know may have been meant to allow little: it allows nothing.
      allows: one.action === ACTION_ALLOW || !isKnown(one),
      readsPaths: one.action !== ACTION_AUDIT && one.rules.some(rule => rule.to.some(readsPaths)),
      ask: one.action === ACTION_ASK ? (one.ask ?? null) : null,
      rules: !isKnown(one)
        ? []
        : one.rules.map((rule, index) => ({
            action: one.action,
            sources: new Sources(rule.from, isStrict(one.action)),
            to: rule.to,
            clause: new Clause(order++, !isStrict(one.action), one.namespace, one.name, index),
            hidden: new Outcome({
              allowed: false,
              cause: "hidden-requests",
              namespace: one.namespace,
              name: one.name,
              rule: index,
              detail: `the connection is not HTTP, and requests ${one.action === ACTION_ASK ? "about which the policy has a plugin asked" : "that the policy denies"} could be within`,
              audit: null,
            }),
          })),
    }))
    this.asks = this.policies.some(({ ask }) => ask !== null)
    this.clusterNetworks = policy.clusterNetworks.map(parseNetwork).filter(one => typeof one !== "string")
  }

  /** What holds for a client's connections to a port. */
  connection(client: PolicyClient, port: number): ConnectionPolicy {
    let found = this.ports.get(port)
    if (found === undefined) {
      if (this.ports.size >= MAX_PORTS_KEPT) this.ports.clear()
      found = new PortPolicies(
        this.policies.filter(policy => policy.ports === null || policy.ports.has(port)),
        probePaths(this.policy, port),
        this.policy.probes.some(probe => probe.grpc && probe.port === port),
      )
      this.ports.set(port, found)
    }
    const key = `${client.spiffeId} ${client.address}`
    const known = found.byClient.get(key)
    if (known !== undefined) return known
    const facts = new ClientFacts(client, this.policy.trustDomain)
    const decided = found.ofKind(facts, this.defaultFor(facts))
    if (found.byClient.size >= MAX_CLIENTS_KEPT) found.byClient.clear()
    found.byClient.set(key, decided)
    return decided
  }

  private defaultFor(client: ClientFacts): Default {
    const number = this.policy.defaultPolicy
    const name = DEFAULT_POLICY_NAMES[number]
    if (name === "all-unauthenticated") return ALLOWED[number] as Default
    if (name === "audit") return (client.meshed ? ALLOWED : AUDITED)[number] as Default
    const { address } = client
    const isCluster = address !== null && this.clusterNetworks.some(network => contains(network, address))
    const allowed =
      (name === "all-authenticated" && client.meshed) ||
      (name === "cluster-unauthenticated" && isCluster) ||
      (name === "cluster-authenticated" && isCluster && client.meshed)
    // A number of a newer version, too, is denied.
    return (allowed ? ALLOWED[number] : DENIED[number]) ?? DENY
  }
}

interface Default {
  readonly outcome: Outcome
  readonly audit: AuditMatch | null
}

/** What each default policy comes to, by its number; one object each, so that kinds of clients can be told by it. */
const ALLOWED: readonly Default[] = DEFAULT_POLICY_NAMES.map(name => ({
  outcome: outcome(true, "default", name),
  audit: null,
}))
const AUDITED: readonly Default[] = ALLOWED.map(one => ({ ...one, audit: DEFAULT_AUDIT }))
const DENIED: readonly Default[] = DEFAULT_POLICY_NAMES.map(name => ({
  outcome: outcome(false, "default", name),
  audit: null,
}))
const DENY: Default = DENIED[5] as Default

/** What targets one port, and what it means for each kind of client. */
class PortPolicies {
  readonly byClient = new Map<string, ConnectionPolicy>()
  private readonly byKind = new Map<string, ConnectionPolicy>()
  private readonly rules: readonly CompiledRule[]
  private readonly asking: readonly CompiledPolicy[]
  private readonly targeted: boolean
  private readonly readsPaths: boolean
  private readonly probes: ReadonlySet<string>
  private readonly grpcProbe: boolean

  constructor(policies: readonly CompiledPolicy[], probes: ReadonlySet<string>, grpcProbe: boolean) {
    this.rules = policies.flatMap(policy => (policy.ask === null ? policy.rules : []))
    this.asking = policies.filter(policy => policy.ask !== null)
    this.targeted = policies.some(policy => policy.allows)
    this.readsPaths = policies.some(policy => policy.readsPaths)
    this.probes = probes
    this.grpcProbe = grpcProbe
  }

  /** Clients that the same rules mean share one object. */
  ofKind(client: ClientFacts, byDefault: Default): ConnectionPolicy {
    const rules = this.rules.filter(rule => rule.sources.match(client))
    const asked = this.asking
      .map(policy => ({ ...policy, rules: policy.rules.filter(rule => rule.sources.match(client)) }))
      .filter(policy => policy.rules.length > 0)
    const orders = [...rules, ...asked.flatMap(policy => policy.rules)].map(rule => rule.clause.order)
    const fallback = this.targeted ? { outcome: NOT_ALLOWED, audit: null } : byDefault
    const { allowed } = fallback.outcome.verdict
    const kind = `${allowed} ${fallback.audit !== null} ${orders.join(" ")}`
    let known = this.byKind.get(kind)
    if (known === undefined) {
      if (this.byKind.size >= MAX_KINDS_KEPT) this.byKind.clear()
      const { readsPaths: reads, probes, grpcProbe } = this
      known = new ConnectionPolicy(rules, fallback, { readsPaths: reads, probes, grpcProbe }, asked)
      this.byKind.set(kind, known)
    }
    return known
  }
}

/** What holds for a client's connections to a port: decided as far as it can be before a request is seen. */
export class ConnectionPolicy {
  /** The verdict on a connection of which nothing is known but that it is not HTTP. */
  readonly raw: Verdict
  /** The verdict on every request where none depends on what it asks for; null where it does. */
  readonly always: Verdict | null
  /** Policies that have a plugin asked; empty for nearly all. */
  private readonly asking: readonly AskRules[]
  private readonly fallback: Default
  private readonly requests = new RequestRules()
  private readonly readsPaths: boolean
  private readonly probes: ReadonlySet<string>
  private readonly grpcProbe: boolean
  private readonly reading = new PathReading()

  /** For `PolicySet` only. */
  constructor(
    rules: readonly CompiledRule[],
    fallback: Default,
    port: {
      readonly readsPaths: boolean
      readonly probes: ReadonlySet<string>
      readonly grpcProbe: boolean
    },
    asked: readonly CompiledPolicy[],
  ) {
    this.fallback = fallback
    this.readsPaths = port.readsPaths
    this.probes = port.probes
    this.grpcProbe = port.grpcProbe
    for (const { action, to, clause } of rules) this.requests.add(action, to, clause)
    this.requests.finish()
    this.asking =
      asked.length === 0
        ? NO_ASKS
        : // Filtered by it.
          asked.map(policy => new AskRules(policy.ask as PluginQuestion, policy.rules))
    this.raw = this.decideRaw(rules, asked)
    const same =
      !this.asks && !this.readsPaths && rules.every(rule => rule.to.length === 0)
        ? this.decide("GET", "*")
        : null
    const probed = this.grpcProbe || this.probes.size > 0
    this.always = same !== null && probed && (!same.allowed || same.audit !== null) ? null : same
  }

  /**
   * The verdict on a request. Neither throws nor allocates for paths as nearly all are sent.
   *
   * @param method  as sent
   * @param target  path and query as sent, one character a byte
   */
  request(method: string, target: string): Verdict {
    if (this.always !== null) return this.always
    const { reading } = this
    reading.read(target)
    const { path, literal, fault } = reading
    if (fault !== "") {
      // Without rules about paths, the path makes no difference.
      return this.readsPaths ? ambiguous(fault) : this.decide(method, "*")
    }
    if (this.asksAsProbe(method, literal)) return PROBE
    const verdict = this.decide(method, path)
    if (path === literal || !this.readsPaths || !verdict.allowed) return verdict
    // Servers that resolve such segments and those that do not must both be guarded.
    if (this.decide(method, literal).allowed) return verdict
    return ambiguous("it has dot segments or empty ones, and the rules differ with and without them")
  }

  /** Whether a plugin may have to be asked about requests. */
  get asks(): boolean {
    return this.asking.length > 0
  }

  /**
   * What plugins have to be asked about a request before it is let through, or because nothing else allows it.
   *
   * @param verdict  what `request` says of it
   */
  questions(method: string, target: string, verdict: Verdict): readonly AskMatch[] {
    if (this.asking.length === 0 || !isOpen(verdict)) return NO_QUESTIONS
    const { reading } = this
    reading.read(target)
    const path = reading.fault === "" ? reading.path : "*"
    const literal = reading.fault === "" ? reading.literal : "*"
    const found: AskMatch[] = []
    for (const rules of this.asking) {
      const match = rules.find(method, path) ?? (literal === path ? null : rules.find(method, literal))
      if (match !== null) found.push(match)
    }
    return found
  }

  /** Whether the kubelet asks for this by a probe that the pod declares. */
  isProbe(method: string, target: string): boolean {
    if (this.probes.size === 0 && !this.grpcProbe) return false
    const { reading } = this
    reading.read(target)
    return reading.fault === "" && this.asksAsProbe(method, reading.literal)
  }

  private asksAsProbe(method: string, literal: string): boolean {
    return method === "GET" ? this.probes.has(literal) : this.grpcProbe && isGrpcProbe(method, literal)
  }

  private decide(method: string, path: string): Verdict {
    const rules = this.requests.of(path)
    const audit = rules.audit.find(method)
    const denied = rules.deny.findAnyCase(method)
    if (denied !== null) return denied.with(audit)
    const allowed = rules.allow.find(method)
    return allowed !== null
      ? allowed.with(audit)
      : this.fallback.outcome.with(audit === null ? this.fallback.audit : audit)
  }

  /** A rule with `to` allows nothing that cannot be seen, and denies what could hide it. */
  private decideRaw(rules: readonly CompiledRule[], asked: readonly CompiledPolicy[]): Verdict {
    const audit = rules.find(rule => rule.action === ACTION_AUDIT && rule.to.length === 0)?.clause ?? null
    const denied = rules.find(rule => rule.action === ACTION_DENY)
    if (denied !== undefined) return (denied.to.length === 0 ? denied.clause : denied.hidden).with(audit)
    // Nobody can be asked about requests that are not seen.
    const hiding = asked[0]?.rules[0]
    if (hiding !== undefined) return hiding.hidden.with(audit)
    const allowed = rules.find(rule => rule.action === ACTION_ALLOW && rule.to.length === 0)
    if (allowed !== undefined) return allowed.clause.with(audit)
    return this.fallback.outcome.with(audit === null ? this.fallback.audit : audit)
  }
}

/** Verdicts by what is wrong; a handful. */
const ambiguities = new Map<string, Verdict>()

function ambiguous(fault: string): Verdict {
  let verdict = ambiguities.get(fault)
  if (verdict === undefined) {
    verdict = outcome(false, "ambiguous-path", "", `the path can be read in different ways: ${fault}`).verdict
    ambiguities.set(fault, verdict)
  }
  return verdict
}

/** Whether this version understands what a policy does. */
function isKnown({ action, ask }: Policy): boolean {
  return isKnownAction(action) && (action !== ACTION_ASK || ask !== undefined)
}

function isGrpcProbe(method: string, path: string): boolean {
  return method === "POST" && path === GRPC_HEALTH_PATH
}

function readsPaths(operation: Operation): boolean {
  return operation.paths.some(path => path !== "*")
}

function probePaths(policy: WorkloadPolicy, port: number): ReadonlySet<string> {
  const paths = new Set<string>()
  const reading = new PathReading()
  for (const probe of policy.probes) {
    if (probe.port !== port || probe.grpc || probe.path === "") continue
    reading.read(probe.path.startsWith("/") ? probe.path : `/${probe.path}`)
    if (reading.fault === "") paths.add(reading.literal)
  }
  return paths.size === 0 ? NO_PROBES : paths
}
