// The public face of protos/authorization: what a compiled policy means, said once. The proxy enforces by it, the
// control plane predicts by it. Plain data in, no protobuf runtime.
export {
  type Explanation,
  explain,
  type FailedClause,
  type PolicyExplanation,
  type RequestFacts,
  type RuleExplanation,
} from "./explain.ts"
export { contains, type Network, parseIp, parseNetwork } from "./network.ts"
export { PathReading, readPattern } from "./normal_path.ts"
export { type AskMatch, isOpen } from "./ask_rules.ts"
export { type ConnectionPolicy, PolicySet } from "./policy_set.ts"
export type { PolicyClient } from "./source_match.ts"
export type { AuditMatch, Cause, Verdict } from "./verdict.ts"
export {
  ACTION_ALLOW,
  ACTION_ASK,
  ACTION_AUDIT,
  ACTION_DENY,
  DEFAULT_CLUSTER_NETWORKS,
  DEFAULT_POLICY_NAMES,
  defaultPolicyNumber,
  type Operation,
  type PluginQuestion,
  type Policy,
  type Probe,
  type Rule,
  type Source,
  type WorkloadPolicy,
  type WorkloadSource,
} from "./workload_policy.ts"
