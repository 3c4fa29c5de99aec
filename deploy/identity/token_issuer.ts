// Service-account tokens as a Kubernetes API server issues them (kubernetes.io: "Managing Service Accounts", bound
// tokens): ES256 JWTs of a key that this process made and keeps in memory.
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto"

/** Who a token is for. */
export interface TokenClaims {
  readonly namespace: string
  readonly serviceAccount: string
  readonly pod: string
  readonly podUid: string
  readonly audience: string
  /** Seconds that it holds. */
  readonly lifetimeS: number
}

/** Issues tokens, and tells the public key that they are checked by. */
export class TokenIssuer {
  /** `iss` of its tokens. */
  readonly issuer: string
  /** JWKS (RFC 7517) with its public key, JSON. */
  readonly jwks: string
  readonly #key: KeyObject
  readonly #keyId: string
  readonly #nowMs: () => number

  /** @param nowMs  wall clock, milliseconds since 1970 */
  constructor(issuer: string, nowMs: () => number) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
    const spki = publicKey.export({ format: "der", type: "spki" })
    this.issuer = issuer
    this.#key = privateKey
    this.#nowMs = nowMs
    // As Kubernetes names keys: by a digest of the public one.
    this.#keyId = createHash("sha256").update(new Uint8Array(spki)).digest("base64url")
    const { kty, crv, x, y } = publicKey.export({ format: "jwk" })
    this.jwks = JSON.stringify({ keys: [{ use: "sig", alg: "ES256", kid: this.#keyId, kty, crv, x, y }] })
  }

  /** A new token. */
  issue(claims: TokenClaims): string {
    const { namespace, serviceAccount, pod, podUid, audience, lifetimeS } = claims
    const now = Math.floor(this.#nowMs() / 1000)
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
    const body = `${part({ alg: "ES256", kid: this.#keyId })}.${part({
      aud: [audience],
      exp: now + lifetimeS,
      iat: now,
      iss: this.issuer,
      jti: crypto.randomUUID(),
      "kubernetes.io": {
        namespace,
        pod: { name: pod, uid: podUid },
        serviceaccount: { name: serviceAccount },
      },
      nbf: now,
      sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
    })}`
    const signature = sign("sha256", Buffer.from(body), { key: this.#key, dsaEncoding: "ieee-p1363" })
    return `${body}.${signature.toString("base64url")}`
  }
}
