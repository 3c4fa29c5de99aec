// Who a service-account token was issued to. One interface, so that what issued it may also be the one who is asked
// (kubernetes.io: TokenReview).
import type { Workload } from "../tls/mod.ts"
import { Refusal } from "./refusal.ts"

/** Audience that tokens for us bear (the contract with the outside). */
export const IDENTITY_AUDIENCE = "identity.conduit.io"
/** Longest token that is looked at: Kubernetes' own have about 1.2 KB. */
export const MAX_TOKEN_LENGTH = 8 * 1024

/** Refuses what cannot be a token before anybody is asked. @throws Refusal `token` */
export function checkLength(token: string): void {
  if (token === "") throw new Refusal("token", "a token is missing")
  if (token.length > MAX_TOKEN_LENGTH)
    throw new Refusal("token", `a token has at most ${MAX_TOKEN_LENGTH} characters, not ${token.length}`)
}

/** Checks tokens. */
export interface TokenReviewer {
  /**
   * Who holds the token.
   *
   * @throws Refusal `token` when it does not hold, `unavailable` when that cannot be said now
   */
  review(token: string): Promise<Workload>
}
