// The webhook's certificate while the process lives: self-signed, its key in this memory only, made known to API servers
// before it is served, and followed by the next one at 70 % of its life.
import { createSecureContext, type SecureContext } from "node:tls"
import type { ServerCertificatePem } from "../../deploy/identity/mod.ts"
import type { Log } from "../log.ts"
import { RENEW_AT, RENEW_JITTER } from "../tls/mod.ts"

/** Life of a certificate: as long as those of the mesh. */
export const CERTIFICATE_LIFETIME_MS = 24 * 3_600_000
/** How often an injector looks whether API servers are still told of its certificate: someone may replace the object. */
export const BUNDLE_LOOK_MS = 5_000
/** From the change of the object to the first use: every API server has seen it by then, which takes it milliseconds. */
export const SETTLE_MS = 4_000

/** What a certificate needs. */
export interface ServingCertificateOptions {
  /** Makes one that ends after `lifetimeMs`. */
  readonly make: (nowMs: number) => Promise<ServerCertificatePem>
  /** Has API servers trust these, PEM. @throws Error with a sentence */
  readonly publish: (own: readonly string[]) => Promise<void>
  readonly lifetimeMs: number
  readonly log: Log
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: () => number
  /** 0 to 1. */
  readonly random: () => number
}

interface Held extends ServerCertificatePem {
  readonly endMs: number
  /** When API servers were told; null before. */
  publishedMs: number | null
}

/** A certificate that renews itself. */
export class ServingCertificate {
  readonly #options: ServingCertificateOptions
  #serving: (Held & { readonly context: SecureContext; readonly renewMs: number }) | null = null
  #next: Held | null = null
  #problem = "it is not made yet"
  #timer: ReturnType<typeof setTimeout> | null = null
  #closed = false
  /** Looks that failed, for /metrics. */
  failures = 0

  constructor(options: ServingCertificateOptions) {
    this.#options = options
  }

  /** Looks at once, and every BUNDLE_LOOK_MS until `close`. */
  start(): void {
    const again = (): void => {
      if (!this.#closed) this.#timer = setTimeout(() => void this.look().then(again), BUNDLE_LOOK_MS)
    }
    void this.look().then(again)
  }

  /** Ends it. */
  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  /** TLS context of the moment; null while there is none in force. */
  get context(): SecureContext | null {
    const serving = this.#serving
    return serving !== null && serving.endMs > this.#options.nowMs() ? serving.context : null
  }

  /** End of the certificate that is served, milliseconds since 1970; 0 while there is none. */
  get endMs(): number {
    return this.#serving?.endMs ?? 0
  }

  /** Empty when API servers know the certificate that is served, otherwise what is awaited. */
  notReady(): string {
    return this.context === null
      ? `API servers do not trust the webhook's certificate yet: ${this.#problem}`
      : ""
  }

  /** One look: makes what is due, tells API servers, and serves what they have known for SETTLE_MS. Never fails. */
  async look(): Promise<void> {
    const { make, publish, nowMs, lifetimeMs, log } = this.#options
    try {
      const now = nowMs()
      if (this.#next !== null && this.#next.endMs <= now) this.#next = null
      if (this.#next === null && now >= (this.#serving?.renewMs ?? 0))
        this.#next = { ...(await make(now)), endMs: now + lifetimeMs, publishedMs: null }
      const held = [this.#serving, this.#next].filter(one => one !== null)
      await publish(held.map(one => one.certificate))
      if (this.#next !== null) this.#promote(this.#next)
      this.#problem = "they were told a moment ago"
    } catch (error) {
      this.failures++
      const reason = error instanceof Error ? error.message : String(error)
      // The same sentence every few seconds tells nobody anything new.
      if (reason !== this.#problem)
        log.warn(`cannot tell API servers of the webhook's certificate: ${reason}`)
      this.#problem = reason
    }
  }

  #promote(next: Held): void {
    const { nowMs, lifetimeMs, random, log } = this.#options
    const now = nowMs()
    next.publishedMs ??= now
    if (now - next.publishedMs < SETTLE_MS) return
    const { certificate, key, endMs } = next
    const context = createSecureContext({ cert: certificate, key, minVersion: "TLSv1.3" })
    const madeMs = endMs - lifetimeMs
    const renewMs = madeMs + lifetimeMs * (RENEW_AT - RENEW_JITTER * random())
    this.#serving = { ...next, context, renewMs }
    this.#next = null
    log.info("the webhook serves a new certificate", { until: new Date(endMs).toISOString() })
  }
}
