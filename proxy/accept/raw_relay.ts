// A connection into which nobody looks, from when both ends are connected to its end: bytes both ways, and what taps are told.
import { type Conn, formatAddress, relay } from "../net/mod.ts"
import type { ConnectionFacts, RawConnection } from "../tap/mod.ts"
import { OUTBOUND } from "../telemetry/mod.ts"
import type { Accepted } from "./accepted.ts"
import type { ServerDial } from "./server_dial.ts"

/** What was found out before nobody looks any more. */
export interface RawFindings {
  /** It is TLS of the application's own. */
  readonly encrypted: boolean
  /** Host name that this asks for; empty for none. */
  readonly serverName: string
}

/** Relays until both ends are closed; the dial is released then. */
export function relayRaw(
  accepted: Accepted,
  server: Conn,
  dial: ServerDial | null,
  found: RawFindings,
): void {
  const { taps } = accepted.side
  const raw = new RawRelay(accepted, server, dial, found)
  taps.opened(raw)
  relay(accepted.conn, server, error => {
    taps.closed(raw, error)
    dial?.release()
  })
}

class RawRelay implements RawConnection {
  readonly openedMs: number
  private readonly accepted: Accepted
  private readonly server: Conn
  private readonly dial: ServerDial | null
  private readonly found: RawFindings

  constructor(accepted: Accepted, server: Conn, dial: ServerDial | null, found: RawFindings) {
    this.openedMs = accepted.side.env.clock.nowMs
    this.accepted = accepted
    this.server = server
    this.dial = dial
    this.found = found
  }

  get clientBytes(): number {
    return this.accepted.conn.bytesRead
  }

  get serverBytes(): number {
    return this.accepted.conn.bytesWritten
  }

  facts(): ConnectionFacts {
    const { accepted, found, openedMs } = this
    const { conn, client, address, port, target } = accepted
    const { direction, dstService, dstNamespace } = target.connectionLabels
    const endpoint = this.dial?.endpoint ?? null
    const outbound = direction === OUTBOUND
    const tls = outbound
      ? endpoint === null
        ? "no_identity"
        : accepted.side.tlsTo(endpoint, this.server)
      : client.tls
    return {
      inbound: !outbound,
      client: formatAddress(conn.remoteAddress, conn.remotePort),
      clientId: outbound ? "" : client.dnsName,
      server:
        outbound && endpoint !== null
          ? formatAddress(endpoint.address, endpoint.port)
          : formatAddress(address, port),
      serverId: outbound && tls === "true" ? (endpoint?.info.identity ?? "") : "",
      tls,
      protocol: found.encrypted ? "tls" : "tcp",
      serverName: found.serverName,
      service: dstService === "" ? "" : `${dstService}.${dstNamespace}`,
      openedMs,
      peer: outbound ? (endpoint?.address ?? address) : conn.remoteAddress,
    }
  }
}
