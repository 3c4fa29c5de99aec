// Issuer and trust anchors in force: takes what is new only when it holds as a whole, keeps an anchor for as long
// as a certificate under it may be in use, and signs.
import type { X509Certificate } from "node:crypto"
import {
  anchorOf,
  endMs,
  type Issuer,
  type IssuerText,
  intermediates,
  parseIssuer,
  parseTrustAnchors,
  whyNoAnchor,
  x509,
} from "../../deploy/identity/mod.ts"
import type { Log } from "../log.ts"
import type { Certified } from "../tls/mod.ts"
import type { CertificateNames } from "./certificate_request.ts"
import { Refusal } from "./refusal.ts"

/** Validity of a certificate (the contract with the outside). */
export const DEFAULT_LIFETIME_MS = 24 * 3_600_000
/** Validity begins this long before now, and ends this long after, for clocks that differ; Linkerd's value. */
export const DEFAULT_CLOCK_SKEW_MS = 20_000
/** Bits of a serial number (CA/Browser Forum asks for 64 or more, RFC 5280 for 20 octets or fewer). */
export const SERIAL_BYTES = 16

/** How certificates are made. */
export interface AuthorityOptions {
  readonly lifetimeMs: number
  readonly clockSkewMs: number
  readonly log: Log
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: () => number
  /** Told when the trust anchors in force have changed. */
  readonly onAnchors?: () => void
}

/** What the files hold; an Error where one could not be read. */
export interface AuthorityText {
  readonly anchors: string | Error
  readonly issuer: IssuerText | Error
}

interface InForce {
  readonly issuer: Issuer
  /** As the file has them. */
  readonly anchors: readonly X509Certificate[]
  readonly anchor: X509Certificate
}

/** The certificate authority of one mesh. */
export class Authority {
  readonly #options: AuthorityOptions
  #inForce: InForce | null = null
  /** Anchors that the file no longer has, while certificates under them may be in use. */
  readonly #retained = new Map<string, X509Certificate>()
  /** End of the last certificate signed under each anchor, by fingerprint. */
  readonly #lastEndMs = new Map<string, number>()
  #complaint = ""
  /** Loads that were not taken whole, for /metrics. */
  failedLoads = 0

  constructor(options: AuthorityOptions) {
    this.#options = options
  }

  /** Empty when it can sign, otherwise a sentence that says what is wrong. */
  notReady(): string {
    if (this.#inForce === null) return this.#complaint || "no issuer and trust anchors are loaded yet"
    return this.issuerEndMs > this.#options.nowMs() ? "" : "the issuer's certificate has expired"
  }

  /** What is wrong with the files as they are now; empty for nothing. */
  get complaint(): string {
    return this.#complaint
  }

  /** End of the issuer or its anchor, whichever ends first, milliseconds since 1970; 0 without one. */
  get issuerEndMs(): number {
    const current = this.#inForce
    return current === null ? 0 : Math.min(current.issuer.notAfterMs, endMs(current.anchor))
  }

  /** Trust anchors in force. */
  get anchors(): readonly X509Certificate[] {
    return [...(this.#inForce?.anchors ?? []), ...this.#retained.values()]
  }

  /** Anchors that are in force although their file no longer has them. */
  get retainedCount(): number {
    return this.#retained.size
  }

  /**
   * Takes what the files hold now. Where the new issuer and the new anchors do not fit each other, one of them may
   * still fit what is in force: the files of two objects do not change at the same moment.
   */
  load(text: AuthorityText): void {
    const now = this.#options.nowMs()
    const before = this.#inForce
    const problems: string[] = []
    const attempt = <T, U>(value: T | Error, parse: (value: T) => U): U | null => {
      try {
        if (value instanceof Error) throw value
        return parse(value)
      } catch (error) {
        problems.push(error instanceof Error ? error.message : String(error))
        return null
      }
    }
    const anchors = attempt(text.anchors, content => parseTrustAnchors(content, now))
    const issuer = attempt(text.issuer, content => parseIssuer(content, now))
    const pairs = [
      [issuer, anchors],
      [before?.issuer ?? null, anchors],
      [issuer, before?.anchors ?? null],
    ] as const
    for (const [index, [signer, trusted]] of pairs.entries()) {
      if (signer === null || trusted === null) continue
      const anchor = anchorOf(signer, trusted)
      if (anchor === null) {
        if (index === 0) problems.push(`tls.crt ${whyNoAnchor(signer, trusted)}`)
        continue
      }
      this.#adopt({ issuer: signer, anchors: trusted, anchor })
      break
    }
    this.#complain(problems.join("; "))
  }

  /** Lets go of retained anchors whose last certificate has ended; to be called now and then. */
  sweep(): void {
    const now = this.#options.nowMs()
    for (const [fingerprint, anchor] of [...this.#retained]) {
      if ((this.#lastEndMs.get(fingerprint) ?? 0) > now && endMs(anchor) > now) continue
      this.#retained.delete(fingerprint)
      this.#lastEndMs.delete(fingerprint)
      this.#options.log.info("a removed trust anchor is no longer in force: its last certificate has ended", {
        anchor: shortName(anchor),
      })
      this.#options.onAnchors?.()
    }
  }

  /**
   * Signs a key.
   *
   * @throws Refusal `unavailable` while there is no issuer that has not ended
   */
  async sign(publicKey: x509.PublicKey, names: CertificateNames): Promise<Certified> {
    const { lifetimeMs, clockSkewMs, nowMs } = this.#options
    const current = this.#inForce
    const now = nowMs()
    const latestMs = this.issuerEndMs
    if (current === null || latestMs <= now)
      throw new Refusal("unavailable", `nothing can be signed now: ${this.notReady()}`)
    const { issuer, anchor } = current
    // X.509 counts in seconds.
    const notBeforeMs = Math.floor((now - clockSkewMs) / 1000) * 1000
    const notAfterMs = Math.floor(Math.min(now + lifetimeMs + clockSkewMs, latestMs) / 1000) * 1000
    // Before it is signed: an anchor that goes meanwhile must know of it.
    const last = this.#lastEndMs.get(anchor.fingerprint256) ?? 0
    this.#lastEndMs.set(anchor.fingerprint256, Math.max(last, notAfterMs))
    const above = new x509.X509Certificate(new Uint8Array(issuer.certificate.raw))
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      issuer: above.subjectName,
      notBefore: new Date(notBeforeMs),
      notAfter: new Date(notAfterMs),
      publicKey,
      signingKey: await signingKey(issuer),
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.serverAuth,
          x509.ExtendedKeyUsage.clientAuth,
        ]),
        await x509.AuthorityKeyIdentifierExtension.create(above),
        // Critical since the subject is empty (RFC 5280 section 4.2.1.6).
        new x509.SubjectAlternativeNameExtension(
          [
            { type: "url", value: names.spiffeId },
            { type: "dns", value: names.dnsName },
          ],
          true,
        ),
      ],
    })
    return {
      chain: [
        new Uint8Array(leaf.rawData),
        ...intermediates(issuer, anchor).map(({ raw }) => new Uint8Array(raw)),
      ],
      notBeforeMs,
      notAfterMs,
      trustAnchors: this.anchorsDer(),
    }
  }

  /** Trust anchors in force, DER. */
  anchorsDer(): Uint8Array[] {
    return this.anchors.map(({ raw }) => new Uint8Array(raw))
  }

  #adopt(next: InForce): void {
    const { log, nowMs } = this.#options
    const before = this.#inForce
    const known = this.anchors.map(({ fingerprint256 }) => fingerprint256).join()
    this.#inForce = next
    const kept = new Set(next.anchors.map(({ fingerprint256 }) => fingerprint256))
    for (const anchor of before?.anchors ?? []) {
      const lastMs = this.#lastEndMs.get(anchor.fingerprint256) ?? 0
      if (kept.has(anchor.fingerprint256) || lastMs <= nowMs()) continue
      this.#retained.set(anchor.fingerprint256, anchor)
      log.warn("a trust anchor was removed while certificates under it may be in use; it stays in force", {
        anchor: shortName(anchor),
        until: new Date(lastMs).toISOString(),
      })
    }
    for (const fingerprint of kept) this.#retained.delete(fingerprint)
    if (before?.issuer.certificate.fingerprint256 !== next.issuer.certificate.fingerprint256) {
      const until = new Date(this.issuerEndMs).toISOString()
      log.info("issuer in force", { issuer: shortName(next.issuer.certificate), until })
    }
    if (known !== this.anchors.map(({ fingerprint256 }) => fingerprint256).join()) {
      log.info("trust anchors in force", { anchors: this.anchors.map(shortName).join(" ") })
      this.#options.onAnchors?.()
    }
  }

  #complain(complaint: string): void {
    if (complaint === this.#complaint) return
    this.#complaint = complaint
    if (complaint === "") return
    this.failedLoads++
    const rest = this.#inForce === null ? "nothing can be signed" : "the last good ones stay in force"
    this.#options.log.warn(`issuer or trust anchors cannot be used: ${complaint}; ${rest}`)
  }
}

const signingKeys = new WeakMap<Issuer, Promise<CryptoKey>>()

function signingKey(issuer: Issuer): Promise<CryptoKey> {
  let key = signingKeys.get(issuer)
  if (key === undefined) {
    const der = new Uint8Array(issuer.key.export({ format: "der", type: "pkcs8" }))
    key = crypto.subtle.importKey("pkcs8", der, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"])
    signingKeys.set(issuer, key)
  }
  return key
}

function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SERIAL_BYTES))
  // Positive and never short (RFC 5280 section 4.1.2.2).
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return Buffer.from(bytes).toString("hex")
}

function shortName(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(":", "").slice(0, 16).toLowerCase()
}
