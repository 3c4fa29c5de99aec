// Why a decision is what it is: each policy of the pod, and of each rule the clause that failed. For people, who ask
// rarely; written for clarity, and held to the fast evaluator by a property test.
import { PathReading } from "./normal_path.ts"
import { PolicySet } from "./policy_set.ts"
import { isKnownAction, isStrict, twinOf } from "./request_rules.ts"
import { ClientFacts, type PolicyClient, Sources } from "./source_match.ts"
import type { Verdict } from "./verdict.ts"
import type { Operation, Rule, WorkloadPolicy } from "./workload_policy.ts"

/** A request that is asked about. */
export interface RequestFacts {
  readonly method: string
  /** Path and query as sent. */
  readonly target: string
}

/** The first clause of a rule that a call does not meet; empty where it meets all. */
export type FailedClause = "" | "action" | "port" | "from" | "http" | "methods" | "paths"

/** A rule, and why it does not match. */
export interface RuleExplanation {
  readonly rule: number
  readonly failed: FailedClause
}

/** A policy, and which of its rules match. */
export interface PolicyExplanation {
  readonly namespace: string
  readonly name: string
  /** An `ACTION_` constant, or a number that this version does not know. */
  readonly action: number
  /** It targets the port. */
  readonly targetsPort: boolean
  /** One of its rules matches. */
  readonly matched: boolean
  readonly rules: readonly RuleExplanation[]
}

/** A decision with its reasons. */
export interface Explanation {
  readonly verdict: Verdict
  /** Normal form of the path; empty for a connection, or where the path can be read in different ways. */
  readonly path: string
  readonly policies: readonly PolicyExplanation[]
}

/**
 * Explains what a policy says of a call.
 *
 * @param request  null for a connection that is not HTTP
 */
export function explain(
  policy: WorkloadPolicy,
  client: PolicyClient,
  port: number,
  request: RequestFacts | null,
): Explanation {
  const facts = new ClientFacts(client, policy.trustDomain)
  const connection = new PolicySet(policy).connection(client, port)
  const reading = new PathReading()
  if (request !== null) reading.read(request.target)
  const policies = policy.policies.map(({ namespace, name, action, ports, allPorts, rules }) => {
    const targetsPort = allPorts || ports.includes(port)
    const explained = rules.map((rule, index): RuleExplanation => {
      if (!isKnownAction(action)) return { rule: index, failed: "action" }
      if (!targetsPort) return { rule: index, failed: "port" }
      return { rule: index, failed: failedClause(rule, action, facts, request, reading.path) }
    })
    const matched = explained.some(rule => rule.failed === "")
    return { namespace, name, action, targetsPort, matched, rules: explained }
  })
  const verdict = request === null ? connection.raw : connection.request(request.method, request.target)
  return { verdict, path: reading.path, policies }
}

function failedClause(
  rule: Rule,
  action: number,
  client: ClientFacts,
  request: RequestFacts | null,
  path: string,
): FailedClause {
  if (!new Sources(rule.from, isStrict(action)).match(client)) return "from"
  if (rule.to.length === 0) return ""
  if (request === null) return isStrict(action) ? "" : "http"
  const byMethod = rule.to.filter(operation => hasMethod(operation, action, request.method))
  if (byMethod.length === 0) return "methods"
  return byMethod.some(operation => hasPath(operation, action, path)) ? "" : "paths"
}

function hasMethod({ methods }: Operation, action: number, method: string): boolean {
  return methods.length === 0 || methods.includes(isStrict(action) ? method.toUpperCase() : method)
}

function hasPath({ paths }: Operation, action: number, path: string): boolean {
  return (
    paths.length === 0 ||
    paths.some(
      pattern =>
        (pattern.endsWith("*") ? path.startsWith(pattern.slice(0, -1)) : path === pattern) ||
        (isStrict(action) && path === twinOf(pattern) && path !== ""),
    )
  )
}
