// Settings of identity, from the environment: how a process gets its certificate, and what the identity service
// signs with. CONDUIT_TRUST_ANCHORS_FILE turns identity on.
import { DEFAULT_CLOCK_SKEW_MS, DEFAULT_LIFETIME_MS, type IdentitySettings } from "./identity/mod.ts"
import { isTrustDomain, isWorkload, type MeshNames } from "./tls/mod.ts"

/** Where a pod of the control plane finds its token. */
export const DEFAULT_TOKEN_FILE = "/var/run/secrets/conduit.io/identity/token"
/** Shortest life of a certificate: at 70 % of it there must be time to renew. */
export const MIN_LIFETIME_MS = 10_000
/** Longest life of a certificate: it cannot be taken back. */
export const MAX_LIFETIME_MS = 30 * 24 * 3_600_000
/** Largest allowance for clocks that differ. */
export const MAX_CLOCK_SKEW_MS = 3_600_000

/** How a process takes part in the mesh. */
export interface MeshSettings {
  readonly names: MeshNames
  /** PEM bundle of trust anchors, read again for each attempt. */
  readonly trustAnchorsFile: string
  /** Projected token of the process's service account. */
  readonly tokenFile: string
  /** `host:port` of the identity service; empty when it runs in this process. */
  readonly identityAddress: string
  /** Whether services that proxies call refuse plaintext and callers without a certificate. */
  readonly requireTls: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

/** Settings of the mesh, null when identity is off, or a sentence that says what is wrong. */
export function meshSettings(env: Environment): MeshSettings | null | string {
  const trustAnchorsFile = env.CONDUIT_TRUST_ANCHORS_FILE ?? ""
  if (trustAnchorsFile === "") return null
  const trustDomain = env.CONDUIT_TRUST_DOMAIN ?? "cluster.local"
  if (!isTrustDomain(trustDomain))
    return `CONDUIT_TRUST_DOMAIN must be a DNS name such as cluster.local, not "${trustDomain}"`
  const controlNamespace = env.CONDUIT_NAMESPACE ?? "conduit"
  if (!isWorkload({ namespace: controlNamespace, serviceAccount: "conduit-identity" }))
    return `CONDUIT_NAMESPACE must be the name of a namespace, not "${controlNamespace}"`
  const required = env.CONDUIT_REQUIRE_TLS ?? "true"
  if (required !== "true" && required !== "false")
    return `CONDUIT_REQUIRE_TLS must be true or false, not "${required}"`
  return {
    names: { trustDomain, controlNamespace },
    trustAnchorsFile,
    tokenFile: env.CONDUIT_TOKEN_FILE ?? DEFAULT_TOKEN_FILE,
    identityAddress: env.CONDUIT_IDENTITY_ADDR ?? "",
    requireTls: required === "true",
  }
}

/**
 * Settings of the identity service, or a sentence that says what is wrong.
 *
 * @param asksApi  an API server says whose tokens are, so that no keys of theirs are needed
 */
export function identitySettings(
  env: Environment,
  mesh: MeshSettings | null,
  asksApi: boolean,
): IdentitySettings | string {
  if (mesh === null)
    return "identity needs CONDUIT_TRUST_ANCHORS_FILE: a PEM bundle of the certificates that the mesh trusts"
  const issuerFolder = env.CONDUIT_IDENTITY_ISSUER_DIR ?? ""
  if (issuerFolder === "")
    return "identity needs CONDUIT_IDENTITY_ISSUER_DIR: the folder that holds the issuer's tls.crt and tls.key"
  const jwksFile = env.CONDUIT_IDENTITY_JWKS_FILE ?? ""
  const tokenIssuer = env.CONDUIT_IDENTITY_TOKEN_ISSUER ?? ""
  if (!asksApi && (jwksFile === "" || tokenIssuer === ""))
    return (
      "identity needs --kubernetes: the API server to ask whose tokens are; " +
      "or CONDUIT_IDENTITY_JWKS_FILE and CONDUIT_IDENTITY_TOKEN_ISSUER: the public keys of who issues tokens, and its name"
    )
  const lifetimeMs = durationMs(env, "CONDUIT_IDENTITY_ISSUANCE_LIFETIME", DEFAULT_LIFETIME_MS)
  if (typeof lifetimeMs === "string") return lifetimeMs
  if (lifetimeMs < MIN_LIFETIME_MS || lifetimeMs > MAX_LIFETIME_MS)
    return "CONDUIT_IDENTITY_ISSUANCE_LIFETIME must be from 10s to 720h"
  const clockSkewMs = durationMs(env, "CONDUIT_IDENTITY_CLOCK_SKEW_ALLOWANCE", DEFAULT_CLOCK_SKEW_MS)
  if (typeof clockSkewMs === "string") return clockSkewMs
  if (clockSkewMs > MAX_CLOCK_SKEW_MS) return "CONDUIT_IDENTITY_CLOCK_SKEW_ALLOWANCE must be from 0s to 1h"
  return {
    issuerFolder,
    trustAnchorsFile: mesh.trustAnchorsFile,
    tokenKeys: asksApi ? null : { jwksFile, issuer: tokenIssuer },
    lifetimeMs,
    clockSkewMs,
  }
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** A duration such as `20s` from the environment, or a sentence that says what is wrong. */
export function durationMs(env: Environment, name: string, otherwise: number): number | string {
  const text = env[name] ?? ""
  if (text === "") return otherwise
  const match = /^(\d{1,12})(ms|s|m|h)$/.exec(text)
  if (match === null) return `${name} must be a duration such as 24h or 20s, not "${text}"`
  return Number(match[1]) * (UNITS_MS[match[2] ?? ""] ?? 0)
}
