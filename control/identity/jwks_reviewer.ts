// Reviews tokens as a relying party of their issuer (RFC 7519, RFC 8725; kubernetes.io: "Service account token
// volume projection"): by the issuer's public keys, which a file holds (RFC 7517).
import { createLocalJWKSet, errors, type JSONWebKeySet, jwtVerify } from "jose"
import { isWorkload, type Workload } from "../tls/mod.ts"
import { Refusal } from "./refusal.ts"
import { checkLength, IDENTITY_AUDIENCE, type TokenReviewer } from "./token_reviewer.ts"

/** Clocks of issuer and ours may differ by this. */
export const TOKEN_LEEWAY_S = 10
/** The only algorithm: asymmetric, so that no public key is ever taken for a shared secret (RFC 8725 section 3.1). */
export const TOKEN_ALGORITHM = "ES256"
/** Most keys of a set: an issuer has one or two. */
export const MAX_JWKS_KEYS = 16

/** What tokens are checked against. */
export interface JwksReviewerOptions {
  /** `iss` of every token. */
  readonly issuer: string
  /** Keys of the moment; null while there are none. */
  readonly keys: () => JSONWebKeySet | null
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: () => number
}

/** Keys out of a file. @throws Error with what is wrong, to follow the name of the file */
export function parseJwks(text: string): JSONWebKeySet {
  let set: Partial<JSONWebKeySet>
  try {
    set = JSON.parse(text) as Partial<JSONWebKeySet>
  } catch {
    throw new Error("is no JSON")
  }
  const { keys } = set
  if (!Array.isArray(keys) || keys.length === 0) throw new Error("has no keys")
  if (keys.length > MAX_JWKS_KEYS) throw new Error(`has ${keys.length} keys, more than ${MAX_JWKS_KEYS}`)
  if (keys.some(key => "d" in key || "k" in key))
    throw new Error("holds private keys: only public ones belong here")
  if (!keys.some(key => key.kty === "EC" && key.crv === "P-256")) throw new Error("has no ECDSA P-256 key")
  return { keys }
}

/** A reviewer by public keys. */
export function jwksReviewer({ issuer, keys, nowMs }: JwksReviewerOptions): TokenReviewer {
  // It imports each key once; a new set gets a new one.
  let known: { readonly set: JSONWebKeySet; readonly find: ReturnType<typeof createLocalJWKSet> } | null =
    null
  return {
    async review(token) {
      checkLength(token)
      const set = keys()
      if (set === null)
        throw new Refusal("unavailable", "the token issuer's keys are not known; try again later")
      if (known?.set !== set) known = { set, find: createLocalJWKSet(set) }
      try {
        const { payload } = await jwtVerify(token, known.find, {
          algorithms: [TOKEN_ALGORITHM],
          issuer,
          audience: IDENTITY_AUDIENCE,
          clockTolerance: TOKEN_LEEWAY_S,
          currentDate: new Date(nowMs()),
          requiredClaims: ["exp", "iat", "sub", "kubernetes.io"],
        })
        return workloadOf(payload.sub ?? "", payload["kubernetes.io"])
      } catch (error) {
        if (error instanceof Refusal) throw error
        throw new Refusal("token", sentence(error))
      }
    },
  }
}

function workloadOf(subject: string, claims: unknown): Workload {
  const { namespace, serviceaccount } = (claims ?? {}) as {
    namespace?: unknown
    serviceaccount?: { name?: unknown } | null
  }
  const name = serviceaccount?.name
  if (typeof namespace !== "string" || typeof name !== "string")
    throw new Refusal("token", "the token names no service account in its kubernetes.io claims")
  const workload = { namespace, serviceAccount: name }
  if (!isWorkload(workload)) throw new Refusal("token", "the token names what cannot be a service account")
  if (subject !== `system:serviceaccount:${namespace}:${name}`)
    throw new Refusal("token", "the token's subject and its kubernetes.io claims name different accounts")
  return workload
}

/** What does not hold, without a byte of the token. */
function sentence(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "the token has expired"
  if (error instanceof errors.JWTClaimValidationFailed)
    return `the token's claim "${error.claim}" does not hold`
  if (error instanceof errors.JOSEAlgNotAllowed) return `the token is not signed with ${TOKEN_ALGORITHM}`
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWSSignatureVerificationFailed)
    return "the token is not signed by this cluster's issuer"
  return "the token cannot be read"
}
