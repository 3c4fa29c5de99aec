// The step `policy` of a call that leaves the cluster: what the caller's own proxy decides about it, by its own decision code.
import { EGRESS_ALLOW, EgressRules } from "../../protos/authorization/mod.ts"
import { canonicalIp, type PodRecord } from "../cluster/mod.ts"
import { compileTraffic } from "../policy/mod.ts"
import type { Chain, Place } from "./chain.ts"
import type { World } from "./question.ts"
import type { Bypass } from "./way.ts"

/** A call to what is outside. */
export interface LeavingCall {
  readonly world: World
  /** Who calls; null for what is outside itself. */
  readonly pod: PodRecord | null
  readonly host: string
  readonly dialled: number
  /** Nobody looks into it. */
  readonly raw: boolean
  /** Whether the first bytes tell which host is meant. */
  readonly named: boolean
  readonly bypass: Bypass | null
}

/** Decides whether the call leaves. */
export function egressStep(
  chain: Chain,
  { world, pod, host, dialled, raw, named, bypass }: LeavingCall,
): void {
  const held = pod === null ? [] : compileTraffic(world.store, pod).egress
  const [first] = held
  if (first === undefined) {
    chain.say("policy", "none", {
      decision:
        "nobody decides: policies are enforced where a call arrives, and no EgressPolicy holds on the caller",
    })
    return
  }
  if (bypass !== null) {
    chain.say("policy", "warn", {
      decision: "nobody decides, and there are policies",
      reason: `${bypass.reason}, so that EgressPolicy ${first.namespace}/${first.name} is not enforced`,
      object: egressPlace(first.namespace, first.name, ""),
      change: bypass.change,
    })
    return
  }
  const ip = canonicalIp(host)
  const verdict = new EgressRules(held).decide(named && ip === null ? host : "", ip ?? "", dialled)
  const byAddress = ip === null && held.some(({ rules }) => rules.some(({ networks }) => networks.length > 0))
  const details = [
    ...(byAddress ? [`rules with networks are not looked at: the address of ${host} is not known here`] : []),
    ...(named || ip !== null
      ? []
      : ["what is sent does not tell which host is meant: rules with hosts do not hold"]),
  ]
  const where = `${host}:${dialled}`
  if (verdict.allowed) {
    const { audit } = verdict
    const by = verdict.cause === "policy" ? verdict : audit
    chain.say("policy", audit === null ? "ok" : "warn", {
      decision:
        verdict.cause === "policy"
          ? `allowed by EgressPolicy ${verdict.namespace}/${verdict.name}`
          : "allowed: no EgressPolicy with action Allow holds on the caller",
      reason: audit === null ? "" : `it is audited by EgressPolicy ${audit.namespace}/${audit.name}`,
      object: by === null ? null : egressPlace(by.namespace, by.name, `spec.rules[${by.rule}]`),
      details,
    })
    return
  }
  const allows = held.find(({ action }) => Number(action) === EGRESS_ALLOW) ?? first
  const denied = verdict.cause === "policy"
  const { namespace, name } = denied ? verdict : allows
  const policy = `EgressPolicy ${namespace}/${name}`
  const by = denied ? policy : `${policy}, which does not allow it`
  chain.end(
    "policy",
    {
      decision: `denied by ${by}`,
      reason: denied
        ? `spec.rules[${verdict.rule}] matches ${where}`
        : `once an EgressPolicy allows something, what none allows is refused, and none allows ${where}`,
      object: egressPlace(namespace, name, denied ? `spec.rules[${verdict.rule}]` : "spec.rules"),
      details,
      change: denied
        ? "take this rule out, or narrow it: Deny beats every Allow"
        : `a rule in ${policy} with ${ip === null && named ? `hosts: [${host}]` : `networks: [${ip ?? "the address"}/${ip?.includes(":") === true ? 128 : 32}]`} and ports: [${dialled}]`,
    },
    {
      status: raw ? 0 : 403,
      error: "egress-denied",
      what: raw ? `the connection is closed: denied by ${by}` : `403 egress-denied: denied by ${by}`,
    },
  )
}

function egressPlace(namespace: string, name: string, field: string): Place {
  return { kind: "EgressPolicy", namespace, name, field }
}
