// Who stands at the other end of an accepted connection: its address, and what it proved in mutual TLS.
import type { TlsPeer } from "../net/mod.ts"
import type { TlsLabel } from "../telemetry/mod.ts"

/** The client of an accepted connection. Immutable; one object may serve many connections. */
export interface Client {
  /** IP address as text; IPv4-mapped as IPv4. */
  readonly address: string
  /** SPIFFE id that the client proved; empty for none. */
  readonly spiffeId: string
  /** DNS name that the client proved, as metrics show it (`client_id`); empty for none. */
  readonly dnsName: string
  /** How the connection is secured. */
  readonly tls: TlsLabel
}

/** A client that proved nothing. @param tls  `disabled` where this proxy has no identity, else `no_identity` */
export function unprovenClient(address: string, tls: TlsLabel): Client {
  return { address, spiffeId: "", dnsName: "", tls }
}

/** A client that proved who it is. */
export function provenClient(address: string, { spiffeId, dnsName }: TlsPeer): Client {
  return { address, spiffeId, dnsName, tls: "true" }
}
