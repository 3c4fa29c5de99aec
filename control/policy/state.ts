// The state of a pod's policies as proxies get it: encoded once, with a version that is a hash of its content, so that
// a restarted control plane gives the same version for the same policies, and pods alike share one.
import { createHash } from "node:crypto"
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import type { WorkloadPolicy } from "../../protos/authorization/mod.ts"
import { policyV1 } from "../../protos/mod.ts"
import type { TopicState } from "../serve/mod.ts"

/** Length of a version in hex digits: 64 bits tell any two states apart. */
const VERSION_DIGITS = 16

/** The state of some policies. */
export function policyState(
  policy: WorkloadPolicy,
  traffic: Partial<Pick<policyV1.WorkloadPolicy, "rateLimits" | "egress">> = {},
): TopicState {
  // `create` reads its argument only; its type leaves out `readonly`.
  const init = policy as unknown as MessageInitShape<typeof policyV1.WorkloadPolicySchema>
  const message = Object.assign(create(policyV1.WorkloadPolicySchema, init), traffic)
  const bytes = toBinary(policyV1.WorkloadPolicySchema, message)
  const version = createHash("sha256").update(bytes).digest("hex").slice(0, VERSION_DIGITS)
  return { version, full: response(version, message) }
}

/** The answer to a proxy that holds this state already. */
export function unchangedState({ version }: TopicState): Uint8Array {
  return response(version)
}

function response(version: string, policy?: policyV1.WorkloadPolicy): Uint8Array {
  const message = create(policyV1.WatchResponseSchema, {
    version,
    ...(policy === undefined ? {} : { policy }),
  })
  return toBinary(policyV1.WatchResponseSchema, message)
}
