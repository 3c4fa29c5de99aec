// The identity service on its port: conduit.identity.v1 over TLS. Callers have no certificate yet, so none is asked
// of them; there is no plaintext, since they send tokens.
import type { ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { identityV1 } from "../../protos/mod.ts"
import type { IdentityVeto } from "../plugins/mod.ts"
import { type KeepaliveOptions, type Listening, listen, type TlsOptions } from "../serve/mod.ts"
import { type Certified, type MeshNames, spiffeId, type Workload, workloadDnsName } from "../tls/mod.ts"
import type { Authority } from "./authority.ts"
import { checkRequest, MAX_CSR_BYTES } from "./certificate_request.ts"
import type { SigningLimits } from "./rate_limit.ts"
import { REFUSALS, Refusal, type RefusalReason } from "./refusal.ts"
import { MAX_TOKEN_LENGTH, type TokenReviewer } from "./token_reviewer.ts"

/** Largest message that is read: a token and a CSR at their largest. */
export const MAX_CERTIFY_BYTES = MAX_TOKEN_LENGTH + MAX_CSR_BYTES + 1024

/** What signs. */
export interface CertifierParts {
  readonly authority: Authority
  readonly reviewer: TokenReviewer
  readonly limits: SigningLimits
  readonly names: MeshNames
  /** Has a say before a key is signed; null where nobody objects. Default: nobody has. */
  readonly veto?: (workload: Workload & { readonly spiffeId: string }) => Promise<IdentityVeto | null>
}

/** Proves workloads and signs their keys, within limits; counts what it did. */
export class Certifier {
  readonly #parts: CertifierParts
  /** Certificates signed. */
  issued = 0
  /** Requests refused, by reason. */
  readonly refused = Object.fromEntries(Object.keys(REFUSALS).map(reason => [reason, 0])) as Record<
    RefusalReason,
    number
  >

  constructor(parts: CertifierParts) {
    this.#parts = parts
  }

  /** Has a key signed. @throws Refusal */
  async certify(token: string, csr: Uint8Array): Promise<Certified> {
    const { authority, reviewer, limits, names } = this.#parts
    try {
      return await limits.inTurn(async () => {
        const workload = await reviewer.review(token)
        const own = { spiffeId: spiffeId(workload, names), dnsName: workloadDnsName(workload, names) }
        const key = await checkRequest(csr, own)
        limits.take(own.spiffeId)
        const veto = (await this.#parts.veto?.({ ...workload, spiffeId: own.spiffeId })) ?? null
        if (veto !== null) throw new Refusal(veto.unavailable ? "plugin_away" : "plugin", veto.message)
        const certified = await authority.sign(key, own)
        this.issued++
        return certified
      })
    } catch (error) {
      if (error instanceof Refusal) this.refused[error.reason]++
      throw error
    }
  }
}

/** Tells watchers of new trust anchors. */
export class AnchorBell {
  readonly #waiting = new Set<() => void>()
  #rung = 0

  /** Anchors have changed. */
  ring(): void {
    this.#rung++
    for (const wake of [...this.#waiting]) wake()
  }

  /** Number of changes so far. */
  get rung(): number {
    return this.#rung
  }

  /** Those who wait for the next change. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Resolves once there have been more changes than `seen`, or the signal aborts. */
  heard(seen: number, signal: AbortSignal): Promise<void> {
    if (this.#rung > seen || signal.aborted) return Promise.resolve()
    return new Promise(resolve => {
      const wake = (): void => {
        this.#waiting.delete(wake)
        signal.removeEventListener("abort", wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal.addEventListener("abort", wake)
    })
  }
}

/** How the service is served. */
export interface IdentityOptions {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  readonly authority: Authority
  readonly certifier: Certifier
  readonly bell: AnchorBell
  readonly tls: TlsOptions
  readonly keepalive?: KeepaliveOptions
}

/**
 * Serves the identity API.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export function serveIdentity(options: IdentityOptions): Promise<Listening> {
  const { host, port, authority, certifier, bell, tls, keepalive } = options
  async function* watch(signal: AbortSignal) {
    while (!signal.aborted) {
      const seen = bell.rung
      const trustAnchors = authority.anchorsDer()
      if (trustAnchors.length > 0) yield { trustAnchors }
      await bell.heard(seen, signal)
    }
  }
  const routes = (router: ConnectRouter): void => {
    router.service(identityV1.IdentityService, {
      certify: async ({ token, csr }) => {
        const { chain, notBeforeMs, notAfterMs, trustAnchors } = await certifier.certify(token, csr)
        return {
          chain: [...chain],
          notBeforeMs: BigInt(notBeforeMs),
          notAfterMs: BigInt(notAfterMs),
          trustAnchors: [...trustAnchors],
        }
      },
      watchTrustAnchors: (_request, { signal }) => watch(signal),
    })
  }
  const onRequest = connectNodeAdapter({ routes, readMaxBytes: MAX_CERTIFY_BYTES, acceptCompression: [] })
  return listen({ host, port, onRequest, tls, ...(keepalive === undefined ? {} : { keepalive }) })
}
