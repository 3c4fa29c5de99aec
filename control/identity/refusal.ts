// Why a certificate is not signed: a gRPC status, a sentence without secrets, and a short reason for /metrics.
import { Code, ConnectError } from "@connectrpc/connect"

/** Reasons, as /metrics counts them, with the status that a caller gets. */
export const REFUSALS = {
  request: Code.InvalidArgument,
  names: Code.InvalidArgument,
  token: Code.Unauthenticated,
  mesh: Code.PermissionDenied,
  plugin: Code.PermissionDenied,
  plugin_away: Code.Unavailable,
  identity_rate: Code.ResourceExhausted,
  total_rate: Code.ResourceExhausted,
  queue: Code.ResourceExhausted,
  unavailable: Code.Unavailable,
} as const

/** A reason in short. */
export type RefusalReason = keyof typeof REFUSALS

/** A request that is not signed. The message is one sentence for a person. */
export class Refusal extends ConnectError {
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, message: string) {
    super(message, REFUSALS[reason])
    this.reason = reason
  }
}
