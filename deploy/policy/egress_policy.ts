// EgressPolicy of policy.conduit.io/v1alpha1: what a workload, or a namespace, may call outside of the cluster. Its model,
// and how it is read.
import { parseNetwork } from "../../protos/authorization/mod.ts"
import { MAX_POLICY_RULES, type PolicyComplaint, type PolicyFieldPath } from "./authorization_policy.ts"
import { isForeign, type Mapping, type PolicyHead, PolicyReader, show } from "./policy_reader.ts"

/** Kind of the objects. */
export const EGRESS_KIND = "EgressPolicy"

/** Fields by the mapping that holds them; the custom resource definition has the same. */
export const EGRESS_FIELDS = {
  spec: ["target", "action", "rules"],
  rule: ["hosts", "networks", "ports"],
} as const

/** What a policy may do: no plugin is asked about what is outside. */
export const EGRESS_ACTIONS = ["Allow", "Deny", "Audit"] as const

/** An action of `EGRESS_ACTIONS`. */
export type EgressAction = (typeof EGRESS_ACTIONS)[number]

/** Destinations: any of the hosts, at any of the networks, at any of the ports. Empty lists mean any. */
export interface EgressRule {
  /** In lower case; `*.example.com` for all names below that one, `*` for every name. */
  readonly hosts: readonly string[]
  /** CIDR. */
  readonly networks: readonly string[]
  readonly ports: readonly number[]
}

/** A policy that was understood. Its target has no ports: they would be the target's own. */
export interface EgressPolicy extends PolicyHead {
  readonly action: EgressAction
  readonly rules: readonly EgressRule[]
}

/** What reading an object gave. */
export interface ReadEgress {
  /** Null when there are complaints, or when the object is another project's. */
  readonly policy: EgressPolicy | null
  readonly complaints: readonly PolicyComplaint[]
}

/** A host name, without the dot at its end, or one below `*.`. */
const HOST = /^(\*\.)?[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*$/

/**
 * Reads an object of kind EgressPolicy. One of another project's API group gives neither policy nor complaint.
 *
 * @param defaultNamespace  namespace of an object that names none
 */
export function readEgressPolicy(raw: unknown, defaultNamespace = "default"): ReadEgress {
  const reader = new Reader(defaultNamespace)
  const object = reader.mapping(raw, [])
  if (object === null) return { policy: null, complaints: reader.complaints }
  if (isForeign(object.apiVersion)) return { policy: null, complaints: [] }
  const policy = reader.policy(object)
  return { policy: reader.complaints.length === 0 ? policy : null, complaints: reader.complaints }
}

class Reader extends PolicyReader {
  policy(object: Mapping): EgressPolicy | null {
    const { head, spec } = this.head(object, EGRESS_FIELDS.spec)
    if (spec === null) return null
    if (head !== null && head.target.ports !== null) {
      this.add(
        ["spec", "target", "ports"],
        "counts for nothing here: name the ports that are called in spec.rules",
      )
    }
    const action = this.choice(spec.action, ["spec", "action"], EGRESS_ACTIONS)
    const rules: EgressRule[] = []
    const path = ["spec", "rules"]
    for (const [index, entry] of this.list(spec.rules, path, "a policy needs at least one rule")) {
      const rule = this.rule(entry, [...path, index])
      if (rule !== null) rules.push(rule)
    }
    if (rules.length > MAX_POLICY_RULES) {
      this.add(path, `has ${rules.length} rules, more than ${MAX_POLICY_RULES}; split the policy`)
    }
    return head === null || action === null ? null : { ...head, action, rules }
  }

  private rule(value: unknown, path: PolicyFieldPath): EgressRule | null {
    const entry = this.mapping(value, path, "such as { hosts: [api.example.com], ports: [443] }")
    if (entry === null) return null
    this.known(entry, path, EGRESS_FIELDS.rule)
    if (EGRESS_FIELDS.rule.every(field => entry[field] === undefined)) {
      return this.add(path, "is empty; it needs hosts, networks or ports")
    }
    const hosts: string[] = []
    for (const [index, text] of this.texts(entry.hosts, [...path, "hosts"], true)) {
      const host = text.toLowerCase().replace(/\.$/, "")
      if (host === "*" || (host.length <= 253 && HOST.test(host))) hosts.push(host)
      else {
        const address = /^[0-9.]+$|:/.test(host) ? "; addresses go into networks" : ""
        const takes = 'a host name, one below "*." for all names of that suffix, or "*"'
        this.add([...path, "hosts", index], `must be ${takes}, not ${show(text)}${address}`)
      }
    }
    const networks: string[] = []
    for (const [index, text] of this.texts(entry.networks, [...path, "networks"], true)) {
      const network = parseNetwork(text)
      if (typeof network === "string") this.add([...path, "networks", index], `cannot be used: ${network}`)
      else networks.push(text)
    }
    const ports: number[] = []
    if (entry.ports !== undefined) {
      const at = [...path, "ports"]
      for (const [index, port] of this.list(entry.ports, at, "leave it out for every port")) {
        const number = this.number(port, [...at, index], 1, 65535, null)
        if (number !== null) ports.push(number)
      }
    }
    return { hosts, networks, ports }
  }
}
