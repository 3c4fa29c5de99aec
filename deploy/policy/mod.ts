// The face of deploy/policy: AuthorizationPolicy as people write it, and every way to get one wrong.
export {
  type AuthorizationPolicy,
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
  type DeclaredPort,
  dottedField,
  portComplaints,
  type ReadPolicy,
  readAuthorizationPolicy,
} from "./read_policy.ts"
