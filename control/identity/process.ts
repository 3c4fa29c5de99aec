// The identity service put together: files followed, authority, reviewer, limits, and its figures.
import { join } from "node:path"
import type { JSONWebKeySet } from "jose"
import { endMs, MAX_PEM_BYTES } from "../../deploy/identity/mod.ts"
import type { Reviews } from "../kubernetes/mod.ts"
import type { Log } from "../log.ts"
import type { Metric } from "../serve/mod.ts"
import type { Certify, MeshNames } from "../tls/mod.ts"
import { Authority } from "./authority.ts"
import { jwksReviewer, parseJwks } from "./jwks_reviewer.ts"
import { kubernetesReviewer } from "./kubernetes_reviewer.ts"
import { SigningLimits } from "./rate_limit.ts"
import { AnchorBell, Certifier, type CertifierParts } from "./service.ts"
import type { TokenReviewer } from "./token_reviewer.ts"
import { follow, textOf } from "./watched_files.ts"

/** Settings of the service. */
export interface IdentitySettings {
  /** Folder with `tls.crt` and `tls.key`. */
  readonly issuerFolder: string
  /** PEM bundle. */
  readonly trustAnchorsFile: string
  /** The public keys of who issues tokens, and its `iss`; null where the API server is asked. */
  readonly tokenKeys: { readonly jwksFile: string; readonly issuer: string } | null
  readonly lifetimeMs: number
  readonly clockSkewMs: number
}

/** The parts while they run. */
export interface IdentityProcess {
  readonly authority: Authority
  readonly certifier: Certifier
  readonly bell: AnchorBell
  /** For this process's own certificate. */
  readonly certify: Certify
  readonly metrics: () => readonly Metric[]
  readonly notReady: () => string
  stop(): void
}

/**
 * Starts to follow the files.
 *
 * @param reviews  of the API server; used where the settings have no keys of tokens
 * @param veto  has a say before a key is signed
 */
export function startIdentity(
  settings: IdentitySettings,
  names: MeshNames,
  log: Log,
  onAnchors: (anchors: readonly Uint8Array[]) => void,
  reviews: Reviews | null,
  veto?: CertifierParts["veto"],
): IdentityProcess {
  const { issuerFolder, trustAnchorsFile, tokenKeys, lifetimeMs, clockSkewMs } = settings
  const bell = new AnchorBell()
  const nowMs = Date.now
  const authority: Authority = new Authority({
    lifetimeMs,
    clockSkewMs,
    log,
    nowMs,
    onAnchors: () => {
      bell.ring()
      onAnchors(authority.anchorsDer())
    },
  })
  const read = (name: string) => textOf(join(issuerFolder, name), MAX_PEM_BYTES)
  const stop = follow(
    () => {
      const [certificate, key] = [read("tls.crt"), read("tls.key")]
      const bad = [certificate, key].find(one => one instanceof Error)
      const issuer = bad ?? { certificate: String(certificate), key: String(key) }
      return {
        anchors: textOf(trustAnchorsFile, MAX_PEM_BYTES),
        issuer: issuer as Error | { certificate: string; key: string },
      }
    },
    text => authority.load(text),
    () => authority.sweep(),
  )
  const tokens = tokenKeys === null ? byApi(reviews, log) : byKeys(tokenKeys, log)
  const limits = new SigningLimits(() => performance.now())
  const certifier = new Certifier({
    ...{ authority, reviewer: tokens.reviewer, limits, names },
    ...(veto === undefined ? {} : { veto }),
  })
  return {
    authority,
    certifier,
    bell,
    certify: (token, csr) => certifier.certify(token, csr),
    notReady: () => authority.notReady() || tokens.notReady(),
    metrics: () => metricsOf(authority, certifier, limits, bell, tokens.failedLoads()),
    stop: () => {
      stop()
      tokens.stop()
    },
  }
}

/** How tokens are checked, and what that needs. */
interface Tokens {
  readonly reviewer: TokenReviewer
  readonly notReady: () => string
  /** Files of keys that could not be used. */
  readonly failedLoads: () => number
  readonly stop: () => void
}

function byApi(reviews: Reviews | null, log: Log): Tokens {
  if (reviews === null) throw new Error("identity: neither an API server nor keys to check tokens with")
  return {
    reviewer: kubernetesReviewer(reviews, log),
    notReady: () => "",
    failedLoads: () => 0,
    stop: () => {},
  }
}

function byKeys({ jwksFile, issuer }: { jwksFile: string; issuer: string }, log: Log): Tokens {
  let keys: JSONWebKeySet | null = null
  let failed = 0
  const stop = follow(
    () => textOf(jwksFile, MAX_PEM_BYTES),
    text => {
      try {
        if (text instanceof Error) throw text
        keys = parseJwks(text)
      } catch (error) {
        failed++
        const reason = error instanceof Error ? error.message : String(error)
        log.warn(
          `the token issuer's keys in ${jwksFile} cannot be used: ${reason}; those before stay in force`,
        )
      }
    },
  )
  return {
    reviewer: jwksReviewer({ issuer, keys: () => keys, nowMs: Date.now }),
    notReady: () => (keys === null ? "the token issuer's keys are not read yet" : ""),
    failedLoads: () => failed,
    stop,
  }
}

function metricsOf(
  authority: Authority,
  certifier: Certifier,
  limits: SigningLimits,
  bell: AnchorBell,
  failedKeys: number,
): Metric[] {
  const ends = authority.anchors.map(endMs)
  return [
    { name: "identity_issued_total", help: "Certificates signed.", type: "counter", value: certifier.issued },
    ...Object.entries(certifier.refused).map(([reason, value]) => ({
      name: "identity_refused_total",
      help: "Requests refused, by reason.",
      type: "counter" as const,
      value,
      labels: { reason },
    })),
    {
      name: "identity_waiting",
      help: "Requests that wait to be signed.",
      type: "gauge",
      value: limits.waiting,
    },
    {
      name: "identity_anchor_watchers",
      help: "Proxies and services that follow the trust anchors.",
      type: "gauge",
      value: bell.waiting,
    },
    {
      name: "identity_issuer_expiration_timestamp_seconds",
      help: "End of the issuer or its anchor; 0 without one.",
      type: "gauge",
      value: authority.issuerEndMs / 1000,
    },
    {
      name: "identity_trust_anchor_expiration_timestamp_seconds",
      help: "End of the trust anchor that ends first; 0 without one.",
      type: "gauge",
      value: ends.length === 0 ? 0 : Math.min(...ends) / 1000,
    },
    { name: "identity_trust_anchors", help: "Trust anchors in force.", type: "gauge", value: ends.length },
    {
      name: "identity_retained_trust_anchors",
      help: "Removed trust anchors in force until their last certificate has ended.",
      type: "gauge",
      value: authority.retainedCount,
    },
    {
      name: "identity_reload_failures_total",
      help: "Loads of issuer, trust anchors or token keys that were not taken whole.",
      type: "counter",
      value: authority.failedLoads + failedKeys,
    },
  ]
}
