// The kinds of our policies, one table: what each is called in paths of the API server, and who reads it.
import { POLICY_KIND, type PolicyComplaint } from "./authorization_policy.ts"
import { EGRESS_KIND, readEgressPolicy } from "./egress_policy.ts"
import type { PolicyHead } from "./policy_reader.ts"
import { RATE_LIMIT_KIND, readRateLimitPolicy } from "./rate_limit_policy.ts"
import { readAuthorizationPolicy } from "./read_policy.ts"

/** Kinds by their names in paths and in RBAC rules. */
export const POLICY_KINDS = {
  [POLICY_KIND]: "authorizationpolicies",
  [EGRESS_KIND]: "egresspolicies",
  [RATE_LIMIT_KIND]: "ratelimitpolicies",
} as const

/** A kind of `POLICY_KINDS`. */
export type PolicyKind = keyof typeof POLICY_KINDS

const READERS: Readonly<
  Record<
    PolicyKind,
    (
      raw: unknown,
      defaultNamespace?: string,
    ) => { readonly policy: PolicyHead | null; readonly complaints: readonly PolicyComplaint[] }
  >
> = {
  [POLICY_KIND]: readAuthorizationPolicy,
  [EGRESS_KIND]: readEgressPolicy,
  [RATE_LIMIT_KIND]: readRateLimitPolicy,
}

/**
 * What all policies have of an object, and what is wrong with it; null for an object of no kind of ours.
 *
 * @param defaultNamespace  namespace of an object that names none
 */
export function readAnyPolicy(
  raw: unknown,
  defaultNamespace?: string,
): { readonly policy: PolicyHead | null; readonly complaints: readonly PolicyComplaint[] } | null {
  const { kind } = (raw ?? {}) as { readonly kind?: unknown }
  if (typeof kind !== "string" || !Object.hasOwn(READERS, kind)) return null
  return READERS[kind as PolicyKind](raw, defaultNamespace)
}
