// A control-plane process's own certificate: asked for like any workload's, renewed at 70 % of its life, and
// offered as the TLS context of the moment. The key never leaves the process's memory.
import { createPrivateKey } from "node:crypto"
import { readFileSync } from "node:fs"
import { createSecureContext, type SecureContext } from "node:tls"
import { derToPem, x509 } from "../../deploy/identity/mod.ts"
import type { Log } from "../log.ts"

/** Share of a certificate's life after which it is renewed (the contract with the outside). */
export const RENEW_AT = 0.7
/** Renewals are spread over this share of the life, so that a mesh that was restarted does not ask as one. */
export const RENEW_JITTER = 0.05
/** First wait after a failed attempt; doubles up to MAX_RETRY_MS. */
export const MIN_RETRY_MS = 250
/** Longest wait between attempts. */
export const MAX_RETRY_MS = 10_000

/** A signed certificate with the anchors in force. */
export interface Certified {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** DER. */
  readonly trustAnchors: readonly Uint8Array[]
}

/** Has a CSR signed. @throws Error with a sentence */
export type Certify = (token: string, csr: Uint8Array) => Promise<Certified>

/** What a certificate needs. */
export interface OwnCertificateOptions {
  readonly certify: Certify
  /** File of the projected service-account token, read for each attempt: the kubelet renews it. */
  readonly tokenFile: string
  readonly log: Log
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: () => number
  /** 0 to 1. */
  readonly random: () => number
  /** Calls back once after so many milliseconds. @returns takes it back */
  readonly after: (ms: number, call: () => void) => () => void
}

/** What is in force. */
interface Current {
  readonly certified: Certified
  readonly keyPem: string
  readonly chainPem: string
  readonly anchorsPem: readonly string[]
  readonly context: SecureContext
}

/** The certificate while the process lives. */
export class OwnCertificate {
  readonly #options: OwnCertificateOptions
  #current: Current | null = null
  #cancel: () => void = () => {}
  #retryMs = MIN_RETRY_MS
  #closed = false
  /** Renewals that failed, for /metrics. */
  failures = 0
  /** Grows by one with every change, so that clients know to connect anew. */
  version = 0

  constructor(options: OwnCertificateOptions) {
    this.#options = options
  }

  /** Asks for a certificate, and goes on until `close`. */
  start(): void {
    void this.#renew()
  }

  /** Takes no more certificates. */
  close(): void {
    this.#closed = true
    this.#cancel()
  }

  /** Empty while there is a certificate that has not ended, otherwise a sentence that says what is awaited. */
  notReady(): string {
    return this.context === null ? "no certificate from the identity service yet" : ""
  }

  /** End of the certificate, milliseconds since 1970; 0 while there is none. */
  get notAfterMs(): number {
    return this.#current?.certified.notAfterMs ?? 0
  }

  /** The certificate with its anchors, also after its end; null before there was one. */
  get certified(): Certified | null {
    return this.#current?.certified ?? null
  }

  /** TLS context of the moment; null while there is none in force. */
  get context(): SecureContext | null {
    return this.#inForce()?.context ?? null
  }

  /** PEM texts for a client of the moment; null while there is none in force. */
  get pem(): { readonly key: string; readonly cert: string; readonly ca: readonly string[] } | null {
    const current = this.#inForce()
    return current === null ? null : { key: current.keyPem, cert: current.chainPem, ca: current.anchorsPem }
  }

  /** Takes trust anchors that changed before the next renewal. @param anchors DER, never empty */
  setTrustAnchors(anchors: readonly Uint8Array[]): void {
    const current = this.#current
    if (current !== null) this.#adopt({ ...current.certified, trustAnchors: anchors }, current.keyPem)
  }

  #inForce(): Current | null {
    const current = this.#current
    return current !== null && current.certified.notAfterMs > this.#options.nowMs() ? current : null
  }

  async #renew(): Promise<void> {
    const { certify, tokenFile, log, nowMs, random, after } = this.#options
    let waitMs: number
    try {
      const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
        "sign",
        "verify",
      ])
      const csr = await x509.Pkcs10CertificateRequestGenerator.create({
        keys: pair,
        signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      })
      const certified = await certify(readFileSync(tokenFile, "utf8").trim(), new Uint8Array(csr.rawData))
      const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", pair.privateKey))
      const pem = createPrivateKey({ key, format: "der", type: "pkcs8" }).export({
        format: "pem",
        type: "pkcs8",
      })
      if (this.#closed) return
      this.#adopt(certified, pem.toString())
      this.#retryMs = MIN_RETRY_MS
      const lifeMs = certified.notAfterMs - nowMs()
      // Of an issuer that ends in a moment certificates do too: they are not asked for in a loop.
      waitMs = Math.max(MIN_RETRY_MS, lifeMs * (RENEW_AT - RENEW_JITTER * random()))
      log.info("certificate of this process renewed", { until: new Date(certified.notAfterMs).toISOString() })
    } catch (error) {
      this.failures++
      waitMs = this.#retryMs * (0.5 + random() / 2)
      this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
      const reason = error instanceof Error ? error.message : String(error)
      log.warn(`no new certificate for this process: ${reason}; trying again`, { waitMs: Math.round(waitMs) })
    }
    // A timer of more than 2^31 ms would fire at once.
    if (!this.#closed) this.#cancel = after(Math.min(waitMs, 2 ** 31 - 1), () => void this.#renew())
  }

  #adopt(certified: Certified, keyPem: string): void {
    const chainPem = certified.chain.map(derToPem).join("")
    const anchorsPem = certified.trustAnchors.map(derToPem)
    const context = createSecureContext({
      key: keyPem,
      cert: chainPem,
      ca: [...anchorsPem],
      minVersion: "TLSv1.3",
      maxVersion: "TLSv1.3",
    })
    this.#current = { certified, keyPem, chainPem, anchorsPem, context }
    this.version++
  }
}
