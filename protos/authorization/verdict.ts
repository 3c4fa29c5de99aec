// What a decision says. Verdicts are made once per outcome and handed out again: deciding allocates nothing.

/** What decided. */
export type Cause =
  /** A policy's rule: `namespace`, `name` and `rule` name it. */
  | "policy"
  /** No policy with action Allow targets the port, so the default policy holds: `name` is its name. */
  | "default"
  /** Policies with action Allow target the port, and none allows it. */
  | "not-allowed"
  /** A request of the kubelet, as the pod declares it. */
  | "probe"
  /** The path can be read in more than one way, and the port has rules about paths: `detail` says how. */
  | "ambiguous-path"
  /** Requests that the policy `name` denies could be within, unseen: the connection is not HTTP as far as is known. */
  | "hidden-requests"

/** A match of a policy that only counts and logs. */
export interface AuditMatch {
  readonly namespace: string
  /** `audit` with an empty namespace for the default policy of that name. */
  readonly name: string
  /** Index of the rule; -1 for a default policy. */
  readonly rule: number
}

/** A decision. Immutable and shared: the same outcome is the same object. */
export interface Verdict {
  readonly allowed: boolean
  readonly cause: Cause
  /** Namespace of the policy that decided; empty where none did. */
  readonly namespace: string
  /** Name of the policy, or of the default policy. */
  readonly name: string
  /** Index of the rule within the policy; -1 where none decided. */
  readonly rule: number
  /** More for a person; empty where there is no more to say. */
  readonly detail: string
  /** The policy with action Audit that matched, null for none. */
  readonly audit: AuditMatch | null
}

/** What decides, with the verdicts it leads to: one, and one for each audit that it met. */
export class Outcome {
  readonly verdict: Verdict
  private readonly audited = new Map<AuditMatch, Verdict>()

  constructor(verdict: Verdict) {
    this.verdict = verdict
  }

  /** The verdict where an audit matched too. */
  with(audit: AuditMatch | null): Verdict {
    if (audit === null) return this.verdict
    let verdict = this.audited.get(audit)
    if (verdict === undefined) {
      verdict = { ...this.verdict, audit }
      this.audited.set(audit, verdict)
    }
    return verdict
  }
}

/** An outcome that no policy caused. */
export function outcome(allowed: boolean, cause: Cause, name = "", detail = ""): Outcome {
  return new Outcome({ allowed, cause, namespace: "", name, rule: -1, detail, audit: null })
}
