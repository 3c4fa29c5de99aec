// Asks the API server whose a token is (TokenReview) and who may do what (SubjectAccessReview), and remembers its answers
// for moments: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
import { createHash } from "node:crypto"
import type { KubeApi } from "../../deploy/kubernetes/mod.ts"

/** An answer is remembered this long: a storm of one asker costs one review, and a revoked right ends soon. */
export const REVIEW_TTL_MS = 10_000
/** Most answers that are remembered; the oldest goes. */
export const MAX_REVIEWS = 4096

/** The service account that a token is of; or why the token does not hold. */
export type TokenVerdict =
  | { readonly holds: true; readonly namespace: string; readonly serviceAccount: string }
  | { readonly holds: false; readonly why: string }

/** What someone wants to do, as RBAC rules write it: to a resource, or at a path that is none (`nonResourceURLs`). */
export type Access = Wish & (ResourceAccess | { readonly path: string })

interface Wish {
  readonly user: string
  readonly groups: readonly string[]
  readonly verb: string
}

interface ResourceAccess {
  /** API group; empty for the core group. */
  readonly group: string
  readonly resource: string
  /** `tap` in `pods/tap`; empty for none. */
  readonly subresource: string
  /** Empty for all namespaces. */
  readonly namespace: string
  /** Empty for all objects. */
  readonly name: string
}

/** Whether that may be done; `why` is the API server's reason, possibly empty. */
export interface AccessVerdict {
  readonly allowed: boolean
  readonly why: string
}

const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/

/** Reviews of one API server. */
export class Reviews {
  private readonly api: KubeApi
  private readonly nowMs: () => number
  private readonly tokens = new Map<string, Remembered<TokenVerdict>>()
  private readonly accesses = new Map<string, Remembered<AccessVerdict>>()

  /** @param nowMs  monotonic clock */
  constructor(api: KubeApi, nowMs: () => number) {
    this.api = api
    this.nowMs = nowMs
  }

  /**
   * Whose a token is.
   *
   * @throws KubeError when the API server cannot be asked
   */
  token(token: string, audience: string): Promise<TokenVerdict> {
    // The token itself is not kept.
    const key = createHash("sha256").update(`${audience}\n${token}`).digest("base64")
    return this.remembered(this.tokens, key, async () => {
      const status = await this.review("authentication.k8s.io/v1", "TokenReview", "tokenreviews", {
        token,
        audiences: [audience],
      })
      return tokenVerdict(status, audience)
    })
  }

  /**
   * Whether someone may do something.
   *
   * @throws KubeError when the API server cannot be asked
   */
  access({ user, groups, verb, ...attributes }: Access): Promise<AccessVerdict> {
    const field = "path" in attributes ? "nonResourceAttributes" : "resourceAttributes"
    const key = JSON.stringify([user, groups, verb, field, Object.values(attributes)])
    return this.remembered(this.accesses, key, async () => {
      const status = await this.review(
        "authorization.k8s.io/v1",
        "SubjectAccessReview",
        "subjectaccessreviews",
        {
          user,
          groups,
          [field]: { verb, ...attributes },
        },
      )
      const { allowed, denied, reason } = status
      return { allowed: allowed === true && denied !== true, why: typeof reason === "string" ? reason : "" }
    })
  }

  private async review(apiVersion: string, kind: string, plural: string, spec: object) {
    const answer = (await this.api.call({
      method: "POST",
      path: `/apis/${apiVersion}/${plural}`,
      body: { apiVersion, kind, spec },
    })) as { status?: Record<string, unknown> } | undefined
    return answer?.status ?? {}
  }

  /** Who ask for the same at the same time share one question; a failure is not remembered. */
  private remembered<T>(answers: Map<string, Remembered<T>>, key: string, ask: () => Promise<T>): Promise<T> {
    const known = answers.get(key)
    if (known !== undefined && this.nowMs() < known.untilMs) return known.answer
    answers.delete(key)
    const answer = ask()
    answers.set(key, { answer, untilMs: this.nowMs() + REVIEW_TTL_MS })
    if (answers.size > MAX_REVIEWS) {
      const [oldest] = answers.keys()
      if (oldest !== undefined) answers.delete(oldest)
    }
    answer.catch(() => {
      if (answers.get(key)?.answer === answer) answers.delete(key)
    })
    return answer
  }
}

interface Remembered<T> {
  readonly answer: Promise<T>
  readonly untilMs: number
}

function tokenVerdict(status: Record<string, unknown>, audience: string): TokenVerdict {
  const { authenticated, audiences, user, error } = status
  if (authenticated !== true) {
    const why = typeof error === "string" && error !== "" ? error : "the API server does not accept the token"
    return { holds: false, why }
  }
  // An API server that knows no audiences says none: it would take any token.
  if (!Array.isArray(audiences) || !audiences.includes(audience)) {
    return { holds: false, why: `the token is not for audience ${audience}` }
  }
  const name = (user as { username?: unknown } | undefined)?.username
  const [, namespace, serviceAccount] = SERVICE_ACCOUNT.exec(typeof name === "string" ? name : "") ?? []
  if (namespace === undefined || serviceAccount === undefined)
    return { holds: false, why: "the token is no service account's" }
  return { holds: true, namespace, serviceAccount }
}
