// Who the proxy is: a key made in memory, a certificate for it, renewed long before it ends, and the trust anchors that
// peers are checked against. The identity service may be gone for as long as the certificate lasts.
import { readFileSync } from "node:fs"
import type { Call, ControlLinkHandler, Link, OpenLink } from "../control_plane/mod.ts"
import type { Logger } from "../log.ts"
import { callbackTimer, type Timer, type TimerWheel } from "../net/mod.ts"
import { type Certificate, readCertificate } from "./certificate.ts"
import { makeKeyAndRequest, pem } from "./csr.ts"
import { decodeCertified, decodeTrustAnchors, encodeCertify } from "./identity_codec.ts"
import { identityName, provenIdentity, spiffeIdOf, type TrustDomain } from "./names.ts"

/** Share of a certificate's life after which it is renewed (Linkerd's figure). */
export const RENEW_AT = 0.7

/** Share of that time by which renewals come earlier at random, so that a mesh does not renew in step. */
export const RENEW_JITTER = 0.1

/** First pause after a certificate could not be had. */
export const CERTIFY_RETRY_MIN_MS = 200

/** Longest pause between attempts. */
export const CERTIFY_RETRY_MAX_MS = 10_000

/** Pauses vary by this share either way. */
export const CERTIFY_RETRY_JITTER = 0.5

/** How long connections to the mesh wait for the first certificate; what then, `outbound-mtls` says. */
export const FIRST_CERTIFICATE_WAIT_MS = 3_000

/** A token is a few kilobytes; what is more is none. */
const TOKEN_BYTES_MAX = 64 * 1024

const CERTIFY_PATH = "/conduit.identity.v1.IdentityService/Certify"
const WATCH_PATH = "/conduit.identity.v1.IdentityService/WatchTrustAnchors"

/** What TLS is made with. Immutable; another object after every renewal and every change of trust anchors. */
export interface Credentials {
  /** PEM; never leaves the process. */
  readonly keyPem: string
  /** PEM. */
  readonly chainPem: string
  readonly certificate: Certificate
  /** PEM. */
  readonly anchorsPem: string
}

/** Parts and settings of an identity. */
export interface IdentityOptions {
  /** `host:port` of the identity service. */
  readonly address: string
  readonly domain: TrustDomain
  readonly namespace: string
  readonly serviceAccount: string
  /** Trust anchors at the start, PEM. */
  readonly trustAnchors: string
  /** Read anew for every certificate. */
  readonly tokenFile: string
  readonly call: Call
  readonly openLink: OpenLink
  readonly timers: TimerWheel
  readonly log: Logger
  /** Uniform, 0 to 1. */
  readonly random: () => number
  /** Milliseconds since 1970. */
  readonly wallClock: () => number
}

/** The proxy's identity. */
export class Identity implements ControlLinkHandler {
  /** DNS name of the identity. */
  readonly name: string
  readonly spiffeId: string
  readonly domain: TrustDomain
  readonly link: Link
  /** Certificates received. */
  refreshes = 0
  /** Attempts at a certificate that failed. */
  refreshErrors = 0
  /** Called after every certificate that was received. */
  onCertified: () => void = () => {}
  /** Called after every change of certificate or trust anchors. */
  onChange: () => void = () => {}
  private readonly options: IdentityOptions
  private readonly timer: Timer
  private readonly patience: Timer
  private held: Credentials | null = null
  private anchors: string
  private failures = 0
  private waiters: (() => void)[] = []
  /** Those who wait without a bound. */
  private patient: (() => void)[] = []
  private waived = false
  private stopped = false

  constructor(options: IdentityOptions) {
    const { domain, namespace, serviceAccount, openLink, address, trustAnchors } = options
    this.options = options
    this.domain = domain
    this.name = identityName(domain, namespace, serviceAccount || "default")
    this.spiffeId = spiffeIdOf(domain, this.name)
    this.anchors = trustAnchors
    this.timer = callbackTimer(() => void this.certify())
    this.patience = callbackTimer(() => this.waive())
    this.link = openLink(this, { name: "identity", address, path: WATCH_PATH })
  }

  /** What TLS is made with now; null before the first certificate, and once the last has ended. */
  get credentials(): Credentials | null {
    const { held } = this
    return held !== null && held.certificate.notAfterMs > this.options.wallClock() ? held : null
  }

  /** The last certificate, also one that has ended. */
  get lastCertificate(): Certificate | null {
    return this.held?.certificate ?? null
  }

  /** Trust anchors in force, PEM. */
  get anchorsPem(): string {
    return this.anchors
  }

  /** Asks for the first certificate and watches the trust anchors. */
  start(): void {
    this.options.timers.schedule(this.patience, FIRST_CERTIFICATE_WAIT_MS)
    this.link.start()
    void this.certify()
  }

  /** Asks for nothing more. */
  stop(): void {
    this.stopped = true
    this.link.stop()
    this.options.timers.cancel(this.timer)
    this.options.timers.cancel(this.patience)
  }

  /**
   * Calls back once there is a certificate, at once if there is.
   *
   * @param bounded  call back without one, too, once the first was waited for long enough
   */
  whenCertified(callback: () => void, bounded: boolean): void {
    // One that has ended is not waited for again: attempts at another have gone on all along.
    if (this.credentials !== null || (bounded && (this.waived || this.held !== null))) callback()
    else if (bounded) this.waiters.push(callback)
    else this.patient.push(callback)
  }

  // Of the link: trust anchors.

  onOpen(): void {
    this.link.send(new Uint8Array(0), true)
  }

  onMessage(message: Uint8Array): void {
    try {
      this.setAnchors(decodeTrustAnchors(message))
    } catch (error) {
      this.options.log.error("trust anchors that cannot be read were ignored", { error: `${error}` })
    }
  }

  onDown(): void {}

  private setAnchors(anchors: readonly Uint8Array[]): void {
    // None at all would refuse every peer; the service never says so, hence it is a fault.
    if (anchors.length === 0) return
    for (const anchor of anchors) readCertificate(anchor)
    const text = anchors.map(anchor => pem("CERTIFICATE", anchor)).join("")
    if (text === this.anchors) return
    this.anchors = text
    if (this.held !== null) this.held = { ...this.held, anchorsPem: text }
    this.options.log.info("trust anchors changed", { anchors: anchors.length })
    this.onChange()
  }

  /** One attempt at a certificate; the next one is scheduled whatever becomes of it. */
  private async certify(): Promise<void> {
    const { log, timers, random, wallClock } = this.options
    let delayMs: number
    try {
      const { notBeforeMs, notAfterMs } = await this.fetch()
      const life = notAfterMs - notBeforeMs
      delayMs = notBeforeMs + life * RENEW_AT * (1 - RENEW_JITTER * random()) - wallClock()
      this.failures = 0
    } catch (error) {
      this.refreshErrors++
      const pause = Math.min(CERTIFY_RETRY_MAX_MS, CERTIFY_RETRY_MIN_MS * 2 ** Math.min(this.failures, 16))
      delayMs = pause * (1 + CERTIFY_RETRY_JITTER * (2 * random() - 1))
      this.failures++
      const left = this.held === null ? 0 : this.held.certificate.notAfterMs - wallClock()
      log.warn("no certificate could be had, trying again", {
        address: this.options.address,
        reason: error instanceof Error ? error.message : String(error),
        ...(this.held === null ? {} : { certificate_ends_in_s: Math.round(left / 1000) }),
      })
    }
    if (!this.stopped) timers.schedule(this.timer, Math.max(CERTIFY_RETRY_MIN_MS, delayMs))
  }

  private async fetch(): Promise<Certificate> {
    const { address, call, tokenFile, domain, wallClock, log } = this.options
    const token = readToken(tokenFile)
    const { keyPem, publicKey, csr } = await makeKeyAndRequest()
    const answer = await call({ name: "identity", address, path: CERTIFY_PATH }, encodeCertify(token, csr))
    const { chain, trustAnchors } = decodeCertified(answer)
    const [own] = chain
    if (own === undefined) throw new Error("the identity service answered without a certificate")
    const certificate = readCertificate(own)
    if (Buffer.compare(certificate.publicKey, publicKey) !== 0) {
      throw new Error("the identity service certified another key than ours")
    }
    const proven = provenIdentity(domain, certificate)
    if (proven?.dnsName !== this.name) {
      throw new Error(`the certificate names ${proven?.spiffeId ?? "no identity"}, not ${this.spiffeId}`)
    }
    if (certificate.notAfterMs <= wallClock()) throw new Error("the certificate has ended already")
    const chainPem = chain.map(one => pem("CERTIFICATE", one)).join("")
    this.refreshes++
    this.onCertified()
    this.held = { keyPem, chainPem, certificate, anchorsPem: this.anchors }
    log.info("certified", {
      identity: this.name,
      serial: certificate.serialNumber,
      not_after: new Date(certificate.notAfterMs).toISOString(),
    })
    this.setAnchors(trustAnchors)
    this.onChange()
    const waiters = [...this.waiters, ...this.patient]
    this.waiters = []
    this.patient = []
    for (const waiter of waiters) waiter()
    return certificate
  }

  private waive(): void {
    if (this.held !== null) return
    this.waived = true
    const { waiters } = this
    this.waiters = []
    for (const waiter of waiters) waiter()
  }

  /** Public data for `GET /identity`, JSON. */
  describe(): string {
    const certificate = this.lastCertificate
    const time = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString())
    return `${JSON.stringify({
      identity: this.name,
      spiffeId: this.spiffeId,
      serialNumber: certificate?.serialNumber ?? null,
      issuer: certificate?.issuer ?? null,
      notBefore: time(certificate?.notBeforeMs),
      notAfter: time(certificate?.notAfterMs),
      trustAnchors: this.anchors.split("-----BEGIN CERTIFICATE-----").length - 1,
      chainPem: this.held?.chainPem ?? "",
    })}\n`
  }
}

function readToken(file: string): string {
  let token: string
  try {
    token = readFileSync(file, "utf8").trim()
  } catch (error) {
    const { code } = error as { readonly code?: string }
    throw new Error(`the token in ${file} could not be read: ${code ?? "unknown error"}`)
  }
  if (token === "" || token.length > TOKEN_BYTES_MAX) throw new Error(`${file} holds no token`)
  return token
}
