// TLS 1.3 on a port: ends it with the process's certificate of the moment, and finds out who the peer is.
//
// Measured under Bun 1.4.5: a `tls.Server` that is handed a socket whose first bytes were read and put back never
// answers; a `tls.TLSSocket` over such a socket works, with ALPN, client certificates and a context of its own per
// connection, so that a renewed certificate is used at once and open connections live on.
import type { Socket } from "node:net"
import { type SecureContext, TLSSocket } from "node:tls"
import { type MeshNames, type Peer, peerOfCertificate } from "../tls/mod.ts"

/** A handshake that takes longer is given up: it holds a descriptor for nothing. */
export const HANDSHAKE_TIMEOUT_MS = 10_000
/** First byte of a TLS record with a handshake in it (RFC 8446 section 5.1); no HTTP request begins so. */
export const TLS_HANDSHAKE_BYTE = 0x16

/** Why a connection was closed before it could ask for anything. */
export type ConnectionRefusal = "plaintext" | "handshake" | "no_identity"

/** TLS of a port. */
export interface TlsOptions {
  /** Context of the moment; null while the process has no certificate. */
  readonly context: () => SecureContext | null
  /** Names of the mesh that clients may be of; null: nobody is asked for a certificate. */
  readonly names: MeshNames | null
  /** Version of HTTP that is served, as ALPN names it. Default: `h2`. */
  readonly alpn?: "h2" | "http/1.1"
  /** `required`: only workloads of the mesh are served. `optional`: also who has no certificate. */
  readonly client: "required" | "optional"
  /** What happens to connections without TLS. */
  readonly plaintext: "served" | "refused"
  /** A connection was closed. @param detail  a sentence for the log */
  readonly onRefused: (reason: ConnectionRefusal, detail: string) => void
}

/**
 * Ends TLS on a connection whose first bytes are still to be read; the socket is closed when that fails.
 *
 * @param secured  gets the deciphered connection and who the peer proved to be, null for nobody
 */
export function endTls(
  socket: Socket,
  tls: TlsOptions,
  secured: (connection: TLSSocket, peer: Peer | null) => void,
): void {
  const from = socket.remoteAddress ?? "a peer that has gone"
  const { names, alpn = "h2" } = tls
  const context = tls.context()
  const refuse = (reason: ConnectionRefusal, detail: string): void => {
    tls.onRefused(reason, `${from} was refused: ${detail}`)
    socket.destroy()
  }
  if (context === null) {
    refuse("handshake", "this process has no certificate yet")
    return
  }
  const connection = new TLSSocket(socket, {
    isServer: true,
    secureContext: context,
    requestCert: names !== null,
    // Whether a certificate holds is looked at below, so that the reason can be told and counted.
    rejectUnauthorized: false,
    ALPNProtocols: [alpn],
  })
  let over = false
  const end = (reason: ConnectionRefusal | null, detail: string): void => {
    if (over) return
    over = true
    clearTimeout(timer)
    socket.off("close", gone)
    if (reason !== null) refuse(reason, detail)
  }
  const gone = (): void => end(null, "")
  const failed = (error: Error): void => {
    end("handshake", `its handshake failed: ${error.message}`)
    connection.destroy()
  }
  const timer = setTimeout(() => {
    end("handshake", `its handshake took longer than ${HANDSHAKE_TIMEOUT_MS} ms`)
  }, HANDSHAKE_TIMEOUT_MS)
  socket.once("close", gone)
  connection.on("error", failed)
  connection.once("secure", () => {
    if (over) return
    const certificate = names === null ? undefined : connection.getPeerCertificate()
    const offered = certificate?.raw !== undefined
    const peer =
      offered && names !== null && connection.authorized ? peerOfCertificate(certificate, names) : null
    // A certificate that does not hold is no better than none, but never taken for one that was not offered.
    if (offered && peer === null) {
      const why = connection.authorizationError ?? "it bears no SPIFFE id of this mesh"
      return end("no_identity", `its certificate does not hold: ${String(why)}`)
    }
    if (peer === null && tls.client === "required")
      return end("no_identity", "it proved no identity; only workloads of the mesh are served here")
    // Who names no protocol speaks HTTP/1.1.
    if ((connection.alpnProtocol || "http/1.1") !== alpn)
      return end("handshake", `it did not ask for the HTTP that is served here (ALPN "${alpn}")`)
    end(null, "")
    // The connection lives on for days; what the handshake needed does not.
    connection.off("error", failed)
    connection.on("error", destroyed)
    secured(connection, peer)
  })
}

function destroyed(this: TLSSocket): void {
  this.destroy()
}
