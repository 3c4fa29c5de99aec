// What policies say of one call, with what led there: the decision code of the proxies, asked by those who predict and
// explain.
import {
  ACTION_ALLOW,
  type AskMatch,
  explain,
  type FailedClause,
  type PolicyClient,
  PolicySet,
  type RequestFacts,
  type Verdict,
  type WorkloadPolicy,
} from "../../protos/authorization/mod.ts"

/** What a rule lacks that does not match, to stand behind the policy's name. */
export const CLAUSES: Readonly<Record<FailedClause, string>> = {
  "": "matches",
  action: "has an action that is not known",
  port: "is for other ports",
  from: "has no rule for this caller",
  http: "has rules about requests only",
  methods: "has no rule for this method",
  paths: "has no rule for this path",
}

/** Clauses in the order in which a rule is read: the later one fails, the nearer the rule came. */
const NEARNESS: readonly FailedClause[] = ["action", "port", "from", "http", "methods", "paths"]

/** A policy with action Allow that targets the port and does not allow the call. */
export interface NearMiss {
  readonly namespace: string
  readonly name: string
  /** The rule that came nearest; -1 for a policy without rules. */
  readonly rule: number
  /** What that one lacks. */
  readonly failed: FailedClause
}

/** A decision with what led to it. */
export interface Judgement {
  readonly verdict: Verdict
  /** Where none of the policies allows it: those that could have. */
  readonly misses: readonly NearMiss[]
  /** What plugins are asked about it, whose answer may change the verdict. */
  readonly asks: readonly AskMatch[]
}

/**
 * Decides about a call.
 *
 * @param set  compiled from `policy`, where it is at hand already
 * @param request  null for a connection that is not HTTP
 */
export function judge(
  policy: WorkloadPolicy,
  client: PolicyClient,
  port: number,
  request: RequestFacts | null,
  set: PolicySet = new PolicySet(policy),
): Judgement {
  const rules = set.connection(client, port)
  const verdict = request === null ? rules.raw : rules.request(request.method, request.target)
  const asks = request === null ? [] : rules.questions(request.method, request.target, verdict)
  if (verdict.cause !== "not-allowed") return { verdict, misses: [], asks }
  const { policies } = explain(policy, client, port, request)
  const misses = policies
    .filter(one => one.action === ACTION_ALLOW && one.targetsPort)
    .map(({ namespace, name, rules: tried }): NearMiss => {
      let nearest = { rule: -1, failed: "from" as FailedClause }
      for (const one of tried) {
        if (nearest.rule < 0 || NEARNESS.indexOf(one.failed) > NEARNESS.indexOf(nearest.failed)) nearest = one
      }
      return { namespace, name, ...nearest }
    })
  return { verdict, misses, asks }
}
