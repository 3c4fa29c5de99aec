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
  /** What the caller is told beyond what the refusal says, printable ASCII. Absent: nothing. */
  readonly told?: string
}

/** A decision about one request that others have to be asked for. */
export interface HeldDecision {
  /**
   * Calls back once it is there, and never during this call.
   *
   * @param decided  told as `refuse` would have answered, and of what is added to that
   */
  whenDecided(decided: (refusal: Refusal | null, answer: GuardAnswer | null) => void): void
  /** The request is over: nobody waits any more. */
  forget(): void
}

/** Guards the requests of one connection. */
export interface RequestGuard {
  /** Decides on a request, once, and counts it. Null lets it through, unless it is `held`. */
  refuse(request: RequestView): Refusal | null
  /** What the request that `refuse` was asked about last waits for; null for nothing. */
  readonly held: HeldDecision | null
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
