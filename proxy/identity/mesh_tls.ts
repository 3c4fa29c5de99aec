// Mutual TLS of the mesh: on what terms a proxy accepts and dials, which protocol travels inside, and what is counted.
import type { Endpoint, EndpointInfo } from "../balance/mod.ts"
import type { Logger } from "../log.ts"
import {
  type Clock,
  type Conn,
  type DialGate,
  formatAddress,
  type PeerCertificate,
  protocolNames,
  TLS_1_3,
  type TlsOptions,
  type TlsPeer,
  type TlsTerms,
} from "../net/mod.ts"
import { type Metric, type Registry, type Scalar, SeriesGroup, type TlsLabel } from "../telemetry/mod.ts"
import type { Credentials, Identity } from "./identity.ts"
import { identityName, provenIdentity, readAltNames } from "./names.ts"
import { PlainClients } from "./plain_clients.ts"

/** What a connection of the mesh carries, as ALPN names it. */
export const CARRIES_HTTP1 = "conduit.http1"
/** HTTP/2, gRPC included. */
export const CARRIES_HTTP2 = "conduit.h2"
/** HTTP/2 of a client that is no proxy, as everybody names it: the control plane's, which calls plugins. */
export const CARRIES_HTTP2_AS_ANY = "h2"
/** Bytes that nobody looks at, such as the application's own TLS. */
export const CARRIES_TCP = "conduit.tcp"

/** One of the `CARRIES_` constants. */
export type Carries = typeof CARRIES_HTTP1 | typeof CARRIES_HTTP2 | typeof CARRIES_TCP

/** Handshakes of clients take at most this long: a lost packet or two on the way, and no more. */
export const INBOUND_HANDSHAKE_MS = 5_000

/** Handshakes with servers take at most this long; then another endpoint is tried. */
export const OUTBOUND_HANDSHAKE_MS = 3_000

/** Handshakes of clients under way at once; each holds some 50 KB, and no flood may take more. */
export const INBOUND_HANDSHAKES_MAX = 1024

/** Least time between two log lines about failed handshakes of one direction. */
const LOG_INTERVAL_MS = 1_000

const HANDSHAKES: Metric = {
  name: "tls_handshakes_total",
  kind: "counter",
  help: "Handshakes of mutual TLS that succeeded, and whether an earlier session was resumed.",
}

/** Whose handshakes: clients', endpoints', or services' of the control plane. */
type DirectionName = "inbound" | "outbound" | "control"

/** Counts and logs handshakes of one direction. */
class HandshakeCounts {
  /** Under way. */
  running = 0
  private readonly direction: DirectionName
  private readonly clock: Clock
  private readonly log: Logger
  private readonly registry: Registry
  private readonly group: SeriesGroup
  private readonly full: Scalar
  private readonly resumed: Scalar
  private readonly failures = new Map<string, Scalar>()
  private readonly metric: Metric
  private loggedMs = Number.NEGATIVE_INFINITY
  private unlogged = 0

  constructor(direction: DirectionName, registry: Registry, clock: Clock, log: Logger) {
    this.direction = direction
    this.registry = registry
    this.clock = clock
    this.log = log
    this.group = registry.group(`own tls ${direction}`, key => new SeriesGroup(key))
    this.group.running = 1
    const scalar = (resumed: string) =>
      registry.scalar(this.group, HANDSHAKES, [
        ["direction", direction],
        ["resumed", resumed],
      ])
    this.full = scalar("false")
    this.resumed = scalar("true")
    this.metric = {
      name: `${direction}_tls_errors_total`,
      kind: "counter",
      help:
        direction === "inbound"
          ? "Clients whose mutual TLS was refused or failed, by reason."
          : "Servers whose mutual TLS was refused or failed, and connections that were not made for want of it, by reason.",
    }
  }

  succeeded(resumed: boolean): void {
    if (resumed) this.resumed.value++
    else this.full.value++
  }

  failed(reason: string, fields: Readonly<Record<string, string | number>>): void {
    let series = this.failures.get(reason)
    if (series === undefined) {
      series = this.registry.scalar(this.group, this.metric, [["reason", reason]])
      this.failures.set(reason, series)
    }
    series.value++
    const now = this.clock.nowMs
    if (now - this.loggedMs < LOG_INTERVAL_MS) {
      this.unlogged++
      return
    }
    this.loggedMs = now
    this.log.warn("mutual TLS failed", {
      side: this.direction,
      reason,
      ...fields,
      ...(this.unlogged > 0 ? { unlogged: this.unlogged } : {}),
    })
    this.unlogged = 0
  }
}

/** Parts of mutual TLS. */
export interface MeshTlsOptions {
  readonly identity: Identity
  /** `required`: nothing of the cluster is dialled in plaintext. */
  readonly required: boolean
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Logger
  /** Milliseconds since 1970. */
  readonly wallClock: () => number
}

/** Mutual TLS of one proxy. */
export class MeshTls {
  readonly identity: Identity
  /** Connections to meshed endpoints go in plaintext, since the first certificate did not come in time. */
  fallsBack = false
  /** Called when `fallsBack` changes. */
  onFallback: (fallsBack: boolean) => void = () => {}
  readonly wallClock: () => number
  readonly inbound: HandshakeCounts
  readonly outbound: HandshakeCounts
  readonly controlCounts: HandshakeCounts
  /** Clients that spoke without it. */
  readonly plainClients = new PlainClients()
  private readonly required: boolean
  private accepting: AcceptTerms | null = null
  private readonly byEndpoint = new WeakMap<Endpoint, Map<Carries, DialTerms>>()
  private readonly control = new Map<string, DialTerms>()

  constructor({ identity, required, registry, clock, log, wallClock }: MeshTlsOptions) {
    this.identity = identity
    this.required = required
    this.wallClock = wallClock
    this.inbound = new HandshakeCounts("inbound", registry, clock, log)
    this.outbound = new HandshakeCounts("outbound", registry, clock, log)
    this.controlCounts = new HandshakeCounts("control", registry, clock, log)
    identity.onChange = () => this.changed()
  }

  /** Terms for a client that asks for mutual TLS; null when there is no certificate, or too much under way. */
  get accept(): TlsTerms | null {
    const { credentials } = this.identity
    if (credentials === null || this.inbound.running >= INBOUND_HANDSHAKES_MAX) return null
    if (this.accepting?.credentials !== credentials)
      this.accepting = new AcceptTerms(this, credentials, ALL_PROTOCOLS, ANY_CLIENT)
    return this.accepting
  }

  /** Terms for HTTP/2 of one service of the control plane, and of nobody else; null as `accept`. */
  acceptControl(serviceAccount: string): TlsTerms | null {
    const { credentials } = this.identity
    if (credentials === null || this.inbound.running >= INBOUND_HANDSHAKES_MAX) return null
    return new AcceptTerms(this, credentials, H2, this.controlName(serviceAccount))
  }

  private controlName(serviceAccount: string): string {
    const { domain } = this.identity
    return identityName(domain, domain.controlNamespace, serviceAccount)
  }

  /** A client could not be served: no certificate, or too many handshakes under way. */
  refusedClient(conn: Conn): void {
    const reason = this.identity.credentials === null ? "no-own-certificate" : "busy"
    this.inbound.failed(reason, { peer: formatAddress(conn.remoteAddress, conn.remotePort) })
  }

  /** How a connection to an endpoint that is made now is secured, for metrics. */
  tlsOf(info: EndpointInfo): TlsLabel {
    if (info.identity === "") return info.itself ? "loopback" : "no_identity"
    return this.fallsBack ? "disabled" : "true"
  }

  /**
   * How to dial an endpoint: in TLS if it has an identity, not before there is a certificate, and not at all where TLS
   * is required and cannot be had.
   *
   * @param encrypted  what is to be sent is TLS of the application's own
   */
  gate(endpoint: Endpoint, carries: Carries, connectTimeoutMs: number, encrypted: boolean): DialGate {
    return (go, refuse) => {
      if (endpoint.info.identity === "") {
        // Where nothing is known of an address it may well be of the cluster.
        if (!this.required || endpoint.outside || endpoint.info.itself || encrypted) go({ connectTimeoutMs })
        else refuse(this.refused(endpoint, "mtls-required"))
        return
      }
      this.identity.whenCertified(() => {
        const { credentials } = this.identity
        if (credentials !== null) go({ connectTimeoutMs, tls: this.terms(endpoint, carries, credentials) })
        else if (this.required) refuse(this.refused(endpoint, "no-own-certificate"))
        else {
          this.refused(endpoint, "no-own-certificate")
          if (!this.fallsBack) {
            this.fallsBack = true
            this.onFallback(true)
          }
          go({ connectTimeoutMs })
        }
      }, true)
    }
  }

  /** How to dial a service of the control plane: in TLS, checked by name; with the own certificate unless `anonymous`. */
  controlGate(serviceAccount: string, connectTimeoutMs: number, anonymous: boolean): DialGate {
    const name = this.controlName(serviceAccount)
    return go => {
      const dial = () => {
        const { credentials, anchorsPem } = this.identity
        const key = `${name} ${anonymous}`
        let terms = this.control.get(key)
        if (terms === undefined || terms.credentials !== credentials || terms.options.ca !== anchorsPem) {
          const options = clientOptions(name, anonymous ? null : credentials, anchorsPem, H2)
          terms = new DialTerms(this, this.controlCounts, credentials, options, name)
          this.control.set(key, terms)
        }
        go({ connectTimeoutMs, tls: terms })
      }
      if (anonymous) dial()
      else this.identity.whenCertified(dial, false)
    }
  }

  private refused(endpoint: Endpoint, reason: string): string {
    this.outbound.failed(reason, { endpoint: formatAddress(endpoint.address, endpoint.port) })
    return reason
  }

  private terms(endpoint: Endpoint, carries: Carries, credentials: Credentials): DialTerms {
    let byProtocol = this.byEndpoint.get(endpoint)
    if (byProtocol === undefined) {
      byProtocol = new Map()
      this.byEndpoint.set(endpoint, byProtocol)
    }
    let terms = byProtocol.get(carries)
    const { identity } = endpoint.info
    // Another certificate or other anchors: sessions of before are not resumed.
    if (terms === undefined || terms.credentials !== credentials || terms.name !== identity) {
      const options = clientOptions(identity, credentials, credentials.anchorsPem, PROTOCOLS[carries])
      terms = new DialTerms(this, this.outbound, credentials, options, identity)
      byProtocol.set(carries, terms)
    }
    return terms
  }

  private changed(): void {
    if (!this.fallsBack || this.identity.credentials === null) return
    this.fallsBack = false
    this.onFallback(false)
  }
}

const PROTOCOLS: Readonly<Record<Carries, Uint8Array>> = {
  [CARRIES_HTTP1]: protocolNames(CARRIES_HTTP1),
  [CARRIES_HTTP2]: protocolNames(CARRIES_HTTP2),
  [CARRIES_TCP]: protocolNames(CARRIES_TCP),
}
const ALL_PROTOCOLS = protocolNames(CARRIES_HTTP1, CARRIES_HTTP2, CARRIES_TCP, CARRIES_HTTP2_AS_ANY)
const ANY_CLIENT = ""
const H2 = protocolNames(CARRIES_HTTP2_AS_ANY)

function clientOptions(
  serverName: string,
  credentials: Credentials | null,
  ca: string,
  protocols: Uint8Array,
): TlsOptions {
  return {
    ...(credentials === null ? {} : { key: credentials.keyPem, cert: credentials.chainPem }),
    ca,
    serverName,
    ALPNProtocols: protocols,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: TLS_1_3,
    maxVersion: TLS_1_3,
  }
}

/** Terms of connections to one endpoint that carry one protocol. */
class DialTerms implements TlsTerms {
  readonly options: TlsOptions
  readonly handshakeTimeoutMs = OUTBOUND_HANDSHAKE_MS
  readonly credentials: Credentials | null
  /** Identity that the server has to prove. */
  readonly name: string
  private readonly mesh: MeshTls
  private readonly counts: HandshakeCounts
  private session: Uint8Array | null = null

  constructor(
    mesh: MeshTls,
    counts: HandshakeCounts,
    credentials: Credentials | null,
    options: TlsOptions,
    name: string,
  ) {
    this.mesh = mesh
    this.counts = counts
    this.credentials = credentials
    this.options = options
    this.name = name
  }

  ticket(): Uint8Array | null {
    return this.session
  }

  keepTicket(ticket: Uint8Array): void {
    this.session = ticket
  }

  judge(certificate: PeerCertificate): TlsPeer | string {
    const proven = provenIdentity(this.mesh.identity.domain, readAltNames(certificate.altNames))
    if (proven === null || proven.dnsName !== this.name) return "wrong-identity"
    if (!(certificate.notAfterMs > this.mesh.wallClock())) return "expired"
    if (certificate.protocol === "") return "protocol"
    return { ...proven, protocol: certificate.protocol }
  }

  succeeded(_peer: TlsPeer, resumed: boolean): void {
    this.counts.succeeded(resumed)
  }

  failed(reason: string, detail: string, conn: Conn): void {
    // Whatever was wrong, the next attempt begins anew.
    this.session = null
    this.counts.failed(reason, {
      endpoint: formatAddress(conn.remoteAddress, conn.remotePort),
      expected: this.name,
      detail,
    })
  }
}

/** Terms of clients, with one certificate. */
class AcceptTerms implements TlsTerms {
  readonly options: TlsOptions
  readonly handshakeTimeoutMs = INBOUND_HANDSHAKE_MS
  readonly credentials: Credentials
  private readonly mesh: MeshTls
  /** The only client that will do; ANY_CLIENT for all of the mesh. */
  private readonly client: string

  constructor(mesh: MeshTls, credentials: Credentials, protocols: Uint8Array, client: string) {
    this.mesh = mesh
    this.credentials = credentials
    this.client = client
    this.options = {
      key: credentials.keyPem,
      cert: credentials.chainPem,
      ca: credentials.anchorsPem,
      ALPNProtocols: protocols,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: TLS_1_3,
      maxVersion: TLS_1_3,
    }
  }

  ticket(): Uint8Array | null {
    return null
  }

  keepTicket(): void {}

  judge(certificate: PeerCertificate): TlsPeer | string {
    const proven = provenIdentity(this.mesh.identity.domain, readAltNames(certificate.altNames))
    if (proven === null) return "no-identity"
    if (this.client !== ANY_CLIENT && proven.dnsName !== this.client) return "not-allowed"
    // A resumed session was checked when it began; it must not outlive the client's certificate.
    if (!(certificate.notAfterMs > this.mesh.wallClock())) return "expired"
    if (certificate.protocol === "") return "protocol"
    return { ...proven, protocol: certificate.protocol }
  }

  succeeded(_peer: TlsPeer, resumed: boolean): void {
    this.mesh.inbound.succeeded(resumed)
  }

  failed(reason: string, detail: string, conn: Conn): void {
    this.mesh.inbound.failed(reason, { peer: formatAddress(conn.remoteAddress, conn.remotePort), detail })
  }
}
