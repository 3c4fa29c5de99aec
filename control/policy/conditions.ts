// What is written into the status of each policy: the condition Accepted, with every fault by its field.
import {
  type AuthorizationPolicy,
  dottedField,
  POLICY_KIND,
  POLICY_KINDS,
  type PolicyComplaint,
  type PolicyKind,
  readAnyPolicy,
} from "../../deploy/policy/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { type ConditionKind, cut, type StatusObject, timed, type WantedCondition } from "../conditions/mod.ts"
import { RESOURCES } from "../kubernetes/mod.ts"
import type { PolicyOptions } from "./compile.ts"
import { type PolicyProblem, policyProblems, trafficProblems } from "./problems.ts"

/** What became of a policy; `False` when anything is wrong with it, with every fault behind its field. */
export type Accepted = Pick<WantedCondition, "status" | "reason" | "message">

/** What became of an object: what makes it unreadable, or else what is wrong with the policy that it is. */
export function acceptedOf(
  complaints: readonly PolicyComplaint[],
  problems: readonly Pick<PolicyProblem, "reason" | "field" | "message">[],
): Accepted {
  if (complaints.length > 0) {
    const faults = complaints.map(({ path, message }) => `${dottedField(path)} ${message}`)
    const rest = "; this version is not in force; the last good one stays, if there was one"
    return { status: "False", reason: "Invalid", message: cut(faults.join("; "), rest) }
  }
  const [first] = problems
  if (first === undefined) return { status: "True", reason: "Accepted", message: "" }
  const faults = problems.map(({ field, message }) => `${field}: ${message}`)
  return { status: "False", reason: first.reason, message: cut(faults.join("; ")) }
}

/** The conditions of policies of all kinds; those of other types are others'. */
export function policyConditions(store: ClusterStore, options: PolicyOptions): ConditionKind[] {
  return RESOURCES.filter(({ kind }) => Object.hasOwn(POLICY_KINDS, kind)).map(resource => ({
    resource,
    list: "conditions",
    lists: (objects, now) => {
      const kind = resource.kind as PolicyKind
      const read = objects.map(object => readAnyPolicy({ ...object, kind }))
      const policies = read.flatMap(one => one?.policy ?? [])
      const found =
        kind === POLICY_KIND
          ? // Its reader is the kind's.
            policyProblems(store, options, policies as AuthorizationPolicy[])
          : trafficProblems(store, kind, policies)
      const problems = Map.groupBy(found, keyOf)
      return objects.map((object, index) => {
        const own = problems.get(keyOf(object.metadata)) ?? []
        return conditionsOf(object, acceptedOf(read[index]?.complaints ?? [], own), now)
      })
    },
  }))
}

function conditionsOf({ metadata, status }: StatusObject, accepted: Accepted, now: string): unknown[] {
  const before = (status?.conditions ?? []) as WantedCondition[]
  const { generation = 0 } = metadata
  const own = timed([{ type: "Accepted", ...accepted, observedGeneration: generation }], before, now)
  return [...before.filter(({ type }) => type !== "Accepted"), ...own]
}

function keyOf({ namespace = "", name }: { readonly namespace?: string; readonly name: string }): string {
  return `${namespace}/${name}`
}
