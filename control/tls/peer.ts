// Who is at the other end of a connection, as its certificate proved.
import type { Http2Session } from "node:http2"
import type { PeerCertificate } from "node:tls"
import { type MeshNames, type Workload, workloadDnsName, workloadOfSpiffeId } from "./workload_name.ts"

/** A peer whose certificate chains to a trust anchor. */
export interface Peer extends Workload {
  /** `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>`. */
  readonly spiffeId: string
  /** The same as a DNS name. */
  readonly dnsName: string
}

/** Prefix of a URI in Node's text of alternative names. */
const URI = "URI:"
const peers = new WeakMap<object, Peer>()

/**
 * Who a verified certificate names; null unless it bears exactly one SPIFFE id, of this mesh (X509-SVID
 * section 2: more than one URI makes it invalid).
 */
export function peerOfCertificate(certificate: PeerCertificate, names: MeshNames): Peer | null {
  const parts = (certificate.subjectaltname ?? "").split(", ")
  const ids = parts.filter(part => part.startsWith(URI))
  const [id = ""] = ids
  const workload = ids.length === 1 ? workloadOfSpiffeId(id.slice(URI.length), names) : null
  if (workload === null) return null
  return { ...workload, spiffeId: id.slice(URI.length), dnsName: workloadDnsName(workload, names) }
}

/** Notes who is at the other end of an HTTP/2 session. */
export function setPeer(session: Http2Session, peer: Peer): void {
  peers.set(session, peer)
}

/** Who is at the other end of an HTTP/2 session; null when it proved nothing (plaintext, or no certificate). */
export function peerOf(session: Http2Session | undefined): Peer | null {
  return session === undefined ? null : (peers.get(session) ?? null)
}
