// The face of deploy/policy: our policies as people write them, and every way to get one wrong.
export {
  type AskedPlugin,
  type AuthorizationPolicy,
  MAX_ASKED_HEADERS,
  MAX_POLICY_RULES,
  MAX_POLICY_VALUES,
  type PlacedSource,
  POLICY_ACTIONS,
  POLICY_API_VERSION,
  POLICY_FIELDS,
  POLICY_GROUP,
  POLICY_KIND,
  type PolicyComplaint,
  type PolicyFieldPath,
  type PolicyOperation,
  type PolicyRule,
  type PolicySource,
  TARGET_KINDS,
  type TargetKind,
  type TargetPort,
} from "./authorization_policy.ts"
export { learnedYaml } from "./learned_yaml.ts"
export {
  EGRESS_ACTIONS,
  EGRESS_FIELDS,
  EGRESS_KIND,
  type EgressPolicy,
  type EgressRule,
  readEgressPolicy,
} from "./egress_policy.ts"
export { POLICY_KINDS, type PolicyKind, readAnyPolicy } from "./policy_kinds.ts"
export {
  type DeclaredPort,
  dottedField,
  type Mapping,
  type PolicyHead,
  PolicyReader,
  portComplaints,
  show,
} from "./policy_reader.ts"
export {
  LIMIT_KEYS,
  type LimitKey,
  MAX_LIMIT_REQUESTS,
  MAX_RATE_LIMITS,
  RATE_LIMIT_FIELDS,
  RATE_LIMIT_KIND,
  type RateLimit,
  type RateLimitPolicy,
  readRateLimitPolicy,
} from "./rate_limit_policy.ts"
export { type ReadPolicy, readAuthorizationPolicy } from "./read_policy.ts"
