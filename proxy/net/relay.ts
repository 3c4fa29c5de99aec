// Bytes both ways between two connections, by reference, untouched: opaque TCP, the application's own TLS, and
// what follows an upgrade or CONNECT. Half-close and reset pass through; a slow reader slows its writer.
import type { Conn, ConnHandler } from "./conn.ts"

/**
 * Told once, when both connections are closed.
 *
 * @param error  null after an orderly end, else the code of the side that failed first
 */
export type RelayDone = (error: string | null) => void

class RelaySide implements ConnHandler {
  private readonly peer: Conn
  private readonly state: RelayState

  constructor(peer: Conn, state: RelayState) {
    this.peer = peer
    this.state = state
  }

  onOpen(): void {}

  onData(conn: Conn, chunk: Uint8Array): void {
    if (!this.peer.write(chunk)) conn.pause()
  }

  onDrain(): void {
    this.peer.resume()
  }

  onEnd(): void {
    this.peer.shutdown()
  }

  onClose(conn: Conn, error: string | null): void {
    this.state.closed(conn, this.peer, error)
  }
}

class RelayState {
  private readonly onDone: RelayDone
  private open: number
  private error: string | null = null

  constructor(onDone: RelayDone, open: number) {
    this.onDone = onDone
    this.open = open
  }

  closed(conn: Conn, peer: Conn, error: string | null): void {
    this.open--
    if (this.error === null) this.error = error
    if (error !== null) peer.reset()
    else if (conn.readEnded) peer.shutdown()
    else peer.close()
    if (this.open <= 0) this.onDone(this.error)
  }
}

/**
 * Joins two connections and takes over both handlers until both are closed. Either may still be dialling.
 * Bytes that were read before are the caller's to write first.
 *
 * @param onDone  called once both are closed; never from within this call
 */
export function relay(a: Conn, b: Conn, onDone: RelayDone): void {
  const state = new RelayState(onDone, 2)
  const sideA = new RelaySide(b, state)
  const sideB = new RelaySide(a, state)
  a.handler = sideA
  b.handler = sideB
  if (a.closed) closedBefore(a, b, state)
  if (b.closed) closedBefore(b, a, state)
  if (a.closed || b.closed) return
  if (a.readEnded) b.shutdown()
  if (b.readEnded) a.shutdown()
  a.resume()
  b.resume()
}

/** A connection that closed before the relay began has told its former handler, and will not tell us. */
function closedBefore(conn: Conn, peer: Conn, state: RelayState): void {
  if (conn.closeDelivered) queueMicrotask(() => state.closed(conn, peer, null))
}
