// Who a client is, found out before anything it sends is handed on: its first bytes tell whether it asks for TLS of the
// mesh, which is then terminated and proves it; any other client goes on with what it has said.
import {
  type Conn,
  type ConnHandler,
  callbackTimer,
  type Timer,
  type TimerWheel,
  type TlsPeer,
} from "../net/mod.ts"
import { CLIENT_HELLO_NEED_MORE, type ClientHello, readClientHello } from "../wire/mod.ts"
import type { MeshTls } from "./mesh_tls.ts"

/**
 * A silent client that may be of the mesh is waited for this long before a server is let speak to it in plaintext: a
 * ClientHello that was lost on the way is sent again within it.
 */
export const MESH_GRACE_MS = 300

/** The same for an address that spoke plainly the last time. */
export const PLAIN_GRACE_MS = 20

/** How long the rest of a ClientHello is waited for: a lost packet must not hide a client from the mesh. */
export const HELLO_REST_MS = 3_000

/** First byte of a record that holds a ClientHello (RFC 8446 section 5.1). */
const RECORD_HANDSHAKE = 22

const NO_BYTES = new Uint8Array(0)

/** What made clear that a client is none of the mesh: bytes, its silence, or its end. */
export type PlainSign = "spoke" | "silent" | "ended"

/** Whose connection it is. One of the two is called, once, unless the connection ends first; both take it over. */
export interface IdentifyOwner {
  /** The client has proven itself, and said what it carries. */
  proven(peer: TlsPeer): void
  /** The client is like any other. @param said  all that came of it */
  unproven(said: Uint8Array, sign: PlainSign): void
}

/** Whether a ClientHello is for TLS of the mesh. */
export function asksForMesh(
  { serverName, protocols }: Pick<ClientHello, "serverName" | "protocols">,
  mesh: MeshTls,
): boolean {
  // The name may be that of another pod that had this address before: its client is to see whom it met instead.
  return serverName === mesh.identity.name || protocols.some(protocol => protocol.startsWith("conduit."))
}

/** Identifies the client of one connection; its handler meanwhile. */
export class Identify implements ConnHandler {
  private readonly conn: Conn
  private readonly mesh: MeshTls
  private readonly timers: TimerWheel
  private readonly owner: IdentifyOwner
  private readonly timer: Timer
  private said: Uint8Array = NO_BYTES
  /** The rest of a ClientHello is waited for. */
  private awaitsRest = false
  /** The first bytes have told; a certificate of ours, or the handshake, is waited for. */
  private isMesh = false
  private handshaking = false

  constructor(conn: Conn, mesh: MeshTls, timers: TimerWheel, owner: IdentifyOwner) {
    this.conn = conn
    this.mesh = mesh
    this.timers = timers
    this.owner = owner
    this.timer = callbackTimer(() => this.unproven(this.said.length === 0 ? "silent" : "spoke"))
  }

  /** Begins to read. */
  start(): void {
    const { conn, mesh } = this
    conn.handler = this
    conn.resume()
    this.arm(mesh.plainClients.has(conn.remoteAddress) ? PLAIN_GRACE_MS : MESH_GRACE_MS)
  }

  /** Begins anew with a client that was silent for too long, and then asked for the mesh. @param said  all of that */
  resume(said: Uint8Array): void {
    this.conn.handler = this
    this.onData(this.conn, said)
  }

  onData(_conn: Conn, chunk: Uint8Array): void {
    this.said = this.said.length === 0 ? chunk : Buffer.concat([this.said, chunk])
    const { said, mesh } = this
    if (said[0] === RECORD_HANDSHAKE) {
      const hello = readClientHello(said, said.length)
      if (hello.state === CLIENT_HELLO_NEED_MORE) {
        if (!this.awaitsRest) this.arm(HELLO_REST_MS)
        this.awaitsRest = true
        return
      }
      if (asksForMesh(hello, mesh)) {
        this.accept()
        return
      }
    }
    this.unproven("spoke")
  }

  /** Of a handshake: the client has proven itself. */
  onOpen(conn: Conn): void {
    const { peer } = conn
    // Only a handshake of ours calls this on an accepted connection.
    if (peer === null) return
    this.handshakeOver()
    this.mesh.plainClients.remove(conn.remoteAddress)
    this.owner.proven(peer)
  }

  onDrain(): void {}

  onEnd(): void {
    if (!this.isMesh) this.unproven("ended")
  }

  onClose(): void {
    this.timers.cancel(this.timer)
    this.handshakeOver()
  }

  private unproven(sign: PlainSign): void {
    if (this.conn.closed) return
    this.timers.cancel(this.timer)
    // Who ends without a word may be anybody.
    if (sign !== "ended") this.mesh.plainClients.add(this.conn.remoteAddress)
    this.owner.unproven(this.said, sign)
  }

  private accept(): void {
    const { conn, mesh, said } = this
    this.isMesh = true
    this.timers.cancel(this.timer)
    this.said = NO_BYTES
    conn.pause()
    mesh.identity.whenCertified(() => {
      if (conn.closed) return
      const terms = mesh.accept
      if (terms === null) {
        mesh.refusedClient(conn)
        conn.reset()
        return
      }
      this.handshaking = true
      mesh.inbound.running++
      conn.resume()
      conn.acceptTls(terms, said)
    }, true)
  }

  private handshakeOver(): void {
    if (!this.handshaking) return
    this.handshaking = false
    this.mesh.inbound.running--
  }

  private arm(delayMs: number): void {
    this.timers.schedule(this.timer, delayMs)
  }
}
