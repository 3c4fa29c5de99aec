// Tells proxies who may call their pods: conduit.policy.v1. Compiles policies, proposed ones too, and finds what is
// wrong with them.
export type { AskPlugin, AuthorizeFacts } from "./ask.ts"
export { ClientPods } from "./client_pods.ts"
export {
  compilePod,
  isTarget,
  POLICY_DEFAULTS,
  type PolicyOptions,
  policiesOf,
  portNumbers,
  spiffeId,
  suppliedBy,
} from "./compile.ts"
export { CLAUSES, type Judgement, judge, type NearMiss } from "./judgement.ts"
export { policyConditions } from "./conditions.ts"
export {
  allPolicyProblems,
  type PolicyProblem,
  type PolicyProblemReason,
  policyProblems,
} from "./problems.ts"
export { type PolicyServer, servePolicy } from "./service.ts"
