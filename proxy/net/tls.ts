// Mutual TLS below a connection: what a handshake is made with, and who decides whether its peer will do. The runtime's
// sockets do the cryptography (RFC 8446); what identities are, net/ does not know.
import type { Socket } from "bun"
import type { Conn } from "./conn.ts"

/** As the runtime takes them; one object serves many connections, so that its keys are read once. */
export interface TlsOptions {
  /** Private key, PEM; left out by a client that has no certificate yet. */
  readonly key?: string
  /** Own certificate and intermediates, PEM. */
  readonly cert?: string
  /** Trust anchors, PEM. */
  readonly ca: string
  /** Name that a client asks for and checks the server's certificate against. */
  readonly serverName?: string
  /** Protocol names as on the wire: each behind its length. */
  readonly ALPNProtocols: Uint8Array
  /** A server asks for a certificate. */
  readonly requestCert: boolean
  readonly rejectUnauthorized: true
  readonly minVersion: number
  readonly maxVersion: number
}

/** TLS 1.3, the only version the mesh speaks. */
export const TLS_1_3 = 0x0304

/** What the peer showed in its handshake, chain already checked against the anchors. */
export interface PeerCertificate {
  /** Subject alternative names in one line: `DNS:a, URI:b`. */
  readonly altNames: string
  /** End of validity, milliseconds since 1970. */
  readonly notAfterMs: number
  /** ALPN protocol agreed upon, "" for none. */
  readonly protocol: string
  /** The session was resumed: chain and validity were checked in an earlier handshake only. */
  readonly resumed: boolean
}

/** Who stands at the other end, proven. */
export interface TlsPeer {
  /** SPIFFE id of the certificate. */
  readonly spiffeId: string
  /** DNS name of the certificate. */
  readonly dnsName: string
  /** ALPN protocol agreed upon. */
  readonly protocol: string
}

/** The terms of one handshake. */
export interface TlsTerms {
  readonly options: TlsOptions
  /** Handshakes that take longer fail with `handshake-timeout`. */
  readonly handshakeTimeoutMs: number
  /** Of a client: ticket of an earlier session, null for none. */
  ticket(): Uint8Array | null
  /** Of a client: the server gave a ticket for the next time. */
  keepTicket(ticket: Uint8Array): void
  /** Whether the peer will do: who it is, or the reason why not, short and stable. */
  judge(certificate: PeerCertificate): TlsPeer | string
  /** A handshake succeeded. */
  succeeded(peer: TlsPeer, resumed: boolean): void
  /** A handshake failed. `reason` is short and stable, for a metric; `detail` is for the log. */
  failed(reason: string, detail: string, conn: Conn): void
}

/** The runtime's socket with what its types leave out. */
export interface TlsSocket extends Socket<Conn> {
  upgradeTLS<Data>(options: never): [raw: Socket<Data>, tls: Socket<Data>]
}

/** ALPN names as on the wire (RFC 7301 section 3.1). */
export function protocolNames(...names: readonly string[]): Uint8Array {
  return Buffer.concat(names.map(name => Buffer.from([name.length, ...Buffer.from(name, "latin1")])))
}

/** What the peer showed, read off the socket after the handshake. */
export function peerCertificate(socket: Socket<Conn>): PeerCertificate {
  const certificate = socket.getPeerCertificate() as Partial<ReturnType<typeof socket.getPeerCertificate>>
  const { alpnProtocol } = socket
  return {
    altNames: certificate.subjectaltname ?? "",
    notAfterMs: Date.parse(certificate.valid_to ?? ""),
    protocol: typeof alpnProtocol === "string" ? alpnProtocol : "",
    resumed: socket.isSessionReused(),
  }
}

/** Reasons by the words that the runtime and its TLS library use; anything else is `handshake`. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/ALTNAME|IP_ADDRESS_MISMATCH|HOSTNAME_MISMATCH/i, "wrong-identity"],
  [/HAS_EXPIRED|NOT_YET_VALID|certificate.expired/i, "expired"],
  [/SELF_SIGNED|UNABLE_TO|UNTRUSTED|INVALID_CA|SIGNATURE_FAILURE|unknown.ca|CERT_/i, "untrusted"],
  [/DID_NOT_RETURN|certificate.required/i, "no-certificate"],
  [/NO_APPLICATION_PROTOCOL/i, "protocol"],
  [/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION/i, "version"],
]

/** Short stable reason of a failed handshake. */
export function handshakeReason(error: unknown): { readonly reason: string; readonly detail: string } {
  const { code = "", message = "" } = (error ?? {}) as { readonly code?: string; readonly message?: string }
  const detail = [code, message].filter(part => part !== "").join(": ")
  for (const [pattern, reason] of REASONS) if (pattern.test(detail)) return { reason, detail }
  return { reason: "handshake", detail: detail === "" ? "the peer closed during the handshake" : detail }
}
