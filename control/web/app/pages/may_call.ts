// What policies say of a call that nobody makes, as far as it does not depend on what the call asks for.
import type { WorkloadPolicies } from "../../../../protos/mod.ts"
import type { Workload } from "../mesh/mesh.ts"

/** `depends`: policies name who may do what; only a call that is explained tells. `unknown`: nothing is known of them. */
export type MayCall = "may" | "denied" | "depends" | "unknown"

/** Whether one may call another. @param policies  what holds on the called one */
export function mayCall(caller: Workload, policies: WorkloadPolicies | undefined): MayCall {
  if (policies === undefined) return "unknown"
  const decides = policies.policies.some(
    ({ kind, action }) =>
      (kind === "" || kind === "AuthorizationPolicy") && (action === "Allow" || action === "Deny"),
  )
  if (decides) return "depends"
  switch (policies.defaultPolicy) {
    case "all-unauthenticated":
    case "cluster-unauthenticated":
    case "audit":
      return "may"
    case "all-authenticated":
    case "cluster-authenticated":
      // Pods of it that have no proxy prove nothing.
      return caller.meshed === 0 ? "denied" : caller.meshed < caller.total ? "depends" : "may"
    case "deny":
      return "denied"
    default:
      return "unknown"
  }
}
