// Decides what the pod may call outside of the cluster (EgressPolicy), by host, address and port. Deny beats Allow; once a
// policy allows something, what none allows is refused; without one everything passes. Pure.
import { contains, type Network, parseIp, parseNetwork } from "./network.ts"
import type { Verdict } from "./verdict.ts"

/** Lets through; one of `conduit.policy.v1.EgressAction`. */
export const EGRESS_ALLOW = 1
/** Refuses, whatever else allows it. */
export const EGRESS_DENY = 2
/** Counts and logs. */
export const EGRESS_AUDIT = 3

/** Destinations; an empty list means any. */
export interface EgressRuleConfig {
  /** In lower case; `*.suffix`, `*`. */
  readonly hosts: readonly string[]
  /** CIDR. */
  readonly networks: readonly string[]
  readonly ports: readonly number[]
}

/** A policy, as the control plane sends it. */
export interface EgressPolicyConfig {
  readonly namespace: string
  readonly name: string
  /** An EGRESS_ constant; any other number holds as an Allow that matches nothing. */
  readonly action: number
  readonly rules: readonly EgressRuleConfig[]
}

class Rule {
  private readonly exact: ReadonlySet<string>
  /** Each with the dot at its begin. */
  private readonly suffixes: readonly string[]
  private readonly anyName: boolean
  private readonly anyHost: boolean
  private readonly networks: readonly Network[] | null
  private readonly ports: ReadonlySet<number> | null

  constructor({ hosts, networks, ports }: EgressRuleConfig) {
    this.anyHost = hosts.length === 0
    this.anyName = hosts.includes("*")
    this.exact = new Set(hosts)
    this.suffixes = hosts.filter(host => host.startsWith("*.")).map(host => host.slice(1))
    // One that cannot be read matches no address.
    const read = networks.map(parseNetwork).filter(one => typeof one !== "string")
    this.networks = networks.length === 0 ? null : read
    this.ports = ports.length === 0 ? null : new Set(ports)
  }

  /** @param host  in lower case, "" for one that nobody named */
  matches(host: string, address: Uint8Array | null, port: number): boolean {
    if (this.ports !== null && !this.ports.has(port)) return false
    if (
      this.networks !== null &&
      (address === null || !this.networks.some(network => contains(network, address)))
    )
      return false
    if (this.anyHost) return true
    if (host === "") return false
    return this.anyName || this.exact.has(host) || this.suffixes.some(suffix => host.endsWith(suffix))
  }
}

interface Compiled {
  readonly action: number
  readonly rules: readonly { readonly rule: Rule; readonly verdict: Verdict }[]
}

const PASSES: Verdict = {
  ...{ allowed: true, cause: "default", namespace: "", name: "all", rule: -1, detail: "", audit: null },
}
const NOT_ALLOWED: Verdict = {
  ...PASSES,
  ...{ allowed: false, cause: "not-allowed", name: "", detail: "no EgressPolicy allows the destination" },
}

/** The egress policies of a pod. Immutable. */
export class EgressRules {
  private readonly policies: readonly Compiled[]
  private readonly limited: boolean

  constructor(policies: readonly EgressPolicyConfig[]) {
    const isKnown = (action: number): boolean => action >= EGRESS_ALLOW && action <= EGRESS_AUDIT
    this.limited = policies.some(({ action }) => action === EGRESS_ALLOW || !isKnown(action))
    this.policies = policies
      .filter(({ action }) => isKnown(action))
      .map(({ namespace, name, action, rules }) => ({
        action,
        rules: rules.map((config, rule) => ({
          rule: new Rule(config),
          verdict: {
            ...{ allowed: action !== EGRESS_DENY, cause: "policy" as const },
            ...{ namespace, name, rule, detail: "", audit: null },
          },
        })),
      }))
      // Denials are looked at first, audits last.
      .sort((a, b) => ORDER.indexOf(a.action) - ORDER.indexOf(b.action))
  }

  /** Whether there is any policy. */
  get any(): boolean {
    return this.policies.length > 0 || this.limited
  }

  /**
   * What is decided on a destination.
   *
   * @param host  as the client names it (authority without port, SNI), in any case; "" where it names none
   * @param address  text form
   */
  decide(host: string, address: string, port: number): Verdict {
    const name = host.toLowerCase().replace(/\.$/, "")
    const bytes = parseIp(address)
    // An address for a name is no name.
    const named = name === "" || parseIp(name.replace(/^\[|\]$/g, "")) !== null ? "" : name
    let decided: Verdict | null = null
    let audit: Verdict["audit"] = null
    for (const { action, rules } of this.policies) {
      if (decided !== null && action !== EGRESS_AUDIT) continue
      for (const { rule, verdict } of rules) {
        if (!rule.matches(named, bytes, port)) continue
        if (action === EGRESS_AUDIT)
          audit ??= { namespace: verdict.namespace, name: verdict.name, rule: verdict.rule }
        else decided = verdict
        break
      }
    }
    const base = decided ?? (this.limited ? NOT_ALLOWED : PASSES)
    return audit === null ? base : { ...base, audit }
  }
}

const ORDER = [EGRESS_DENY, EGRESS_ALLOW, EGRESS_AUDIT]

/** The host of an authority: without port and brackets. */
export function hostOf(authority: string): string {
  const end = authority.lastIndexOf(":")
  const isPort = end > authority.lastIndexOf("]") && authority.indexOf(":") === end
  return isPort || (end > 0 && authority[end - 1] === "]") ? authority.slice(0, end) : authority
}
