// Reviews tokens by asking the API server that issued them (kubernetes.io: TokenReview).
import type { Reviews } from "../kubernetes/mod.ts"
import type { Log } from "../log.ts"
import { isWorkload } from "../tls/mod.ts"
import { Refusal } from "./refusal.ts"
import { checkLength, IDENTITY_AUDIENCE, type TokenReviewer } from "./token_reviewer.ts"

/** Longest reason of the API server's that a caller is told. */
export const MAX_REASON_LENGTH = 300

/** A reviewer by the API server. What keeps it from answering is logged, once for each new reason. */
export function kubernetesReviewer(reviews: Pick<Reviews, "token">, log: Log): TokenReviewer {
  let complaint = ""
  return {
    async review(token) {
      checkLength(token)
      const verdict = await reviews.token(token, IDENTITY_AUDIENCE).catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error)
        if (reason !== complaint) log.warn(`the API server cannot be asked whose a token is: ${reason}`)
        complaint = reason
        // The reason is about us and the API server, and none of a caller's business.
        throw new Refusal("unavailable", "the API server cannot be asked whose the token is; try again later")
      })
      complaint = ""
      if (!verdict.holds) throw new Refusal("token", verdict.why.slice(0, MAX_REASON_LENGTH))
      const { namespace, serviceAccount } = verdict
      if (!isWorkload({ namespace, serviceAccount }))
        throw new Refusal("token", "the token names what cannot be a service account")
      return { namespace, serviceAccount }
    },
  }
}
