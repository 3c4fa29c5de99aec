// Two sockets tied together, bytes both ways: how the host reaches a pod's port, on both sides of the Unix socket
// that leads into the router's namespace.
import type { Socket } from "bun"

/** Bytes kept for a slow reader; beyond that its writer is paused. */
const HIGH_WATER_BYTES = 256 * 1024

/** One socket's part of a tunnel. */
export interface Tunnel {
  peer: Socket<Tunnel> | null
  /** What came before the destination was known. */
  head: string
  queue: Uint8Array[]
  queued: number
  ended: boolean
}

/** State of a socket whose peer may be known later. */
export function newTunnel(peer: Socket<Tunnel> | null = null): Tunnel {
  return { peer, head: "", queue: [], queued: 0, ended: false }
}

/** Writes, or queues what the socket does not take. @returns false when the writer should wait */
export function pushTo(socket: Socket<Tunnel>, chunk: Uint8Array): boolean {
  const tunnel = socket.data
  if (tunnel.queue.length === 0) {
    const sent = socket.write(chunk)
    if (sent === chunk.length) return true
    tunnel.queue.push(chunk.slice(Math.max(sent, 0)))
    tunnel.queued += chunk.length - Math.max(sent, 0)
  } else {
    tunnel.queue.push(chunk.slice())
    tunnel.queued += chunk.length
  }
  return tunnel.queued < HIGH_WATER_BYTES
}

function drain(socket: Socket<Tunnel>): void {
  const tunnel = socket.data
  while (tunnel.queue.length > 0) {
    const [first] = tunnel.queue
    if (first === undefined) break
    const sent = Math.max(socket.write(first), 0)
    tunnel.queued -= sent
    if (sent < first.length) {
      tunnel.queue[0] = first.subarray(sent)
      return
    }
    tunnel.queue.shift()
  }
  tunnel.peer?.resume()
  if (tunnel.ended) socket.shutdown()
}

function finish(socket: Socket<Tunnel>): void {
  const peer = socket.data.peer
  if (peer === null) return
  peer.data.ended = true
  if (peer.data.queue.length === 0) peer.shutdown()
}

/** Socket handlers that carry bytes, ends and closes to the peer. */
export const tunnelHandlers = {
  data(socket: Socket<Tunnel>, chunk: Uint8Array) {
    const peer = socket.data.peer
    if (peer !== null && !pushTo(peer, chunk)) socket.pause()
  },
  drain,
  end: finish,
  close(socket: Socket<Tunnel>) {
    const peer = socket.data.peer
    if (peer === null) return
    peer.data.ended = true
    if (peer.data.queue.length === 0) peer.end()
  },
  error() {},
}
