// What the HTTP engines ask before a request goes to an endpoint, and again when the rules have changed. policy/ answers
// for the inbound side; the outbound side has none.
import type { Verdict } from "../../protos/authorization/mod.ts"
import type { LogFields } from "../log.ts"
import type { Refusal } from "./refusal.ts"
import type { RequestView } from "./request_view.ts"

/** More of a refusal than its reason. */
export interface GuardAnswer {
  /** Fields of the answer, names in lower case. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  /** What happened, for people. */
  readonly detail: string
}

/** Guards the requests of one connection. */
export interface RequestGuard {
  /** Decides on a request, once, and counts it. Null lets it through. */
  refuse(request: RequestView): Refusal | null
  /** The answer to a request that runs and may not go on. */
  readonly denial: Refusal
  /** Whether a request that was let through may go on; counts and logs it if not. */
  stillAllows(request: RequestView): boolean
  /** DNS name that the client proved; empty for none. */
  readonly clientId: string
  /** What decided on the request refused last; null before one was. */
  readonly refused: Verdict | null
  /** What `refuse` adds to its answer and to what is told of it; null for nothing. */
  readonly answer: GuardAnswer | null
  /** What the log says of the request refused last; null where a flood of them has used up the log's share. */
  refusedFields(): LogFields | null
}
