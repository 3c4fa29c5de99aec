// A port of 127.0.0.1 on the host that leads to an address inside the cluster, by way of the router's socket.
import type { Socket, TCPSocketListener } from "bun"
import { newTunnel, pushTo, type Tunnel, tunnelHandlers } from "./tunnel.ts"

/** A listening forward. */
export interface Forward {
  /** Port on 127.0.0.1. */
  readonly port: number
  stop(): void
}

/**
 * Listens on 127.0.0.1.
 *
 * @param port    0 for any free one
 * @param target  called per connection, so that it may follow a name; null refuses
 * @throws Error with a sentence when the port is taken
 */
export function forwardPort(
  port: number,
  relaySocket: string,
  target: () => { readonly address: string; readonly port: number } | null,
): Forward {
  let listener: TCPSocketListener<Tunnel>
  try {
    listener = Bun.listen<Tunnel>({
      hostname: "127.0.0.1",
      port,
      allowHalfOpen: true,
      socket: {
        ...tunnelHandlers,
        open(client) {
          client.data = newTunnel()
          const to = target()
          if (to === null) return void client.terminate()
          client.pause()
          void enter(client, relaySocket, to)
        },
      },
    })
  } catch (error) {
    throw new Error(`port ${port} of 127.0.0.1 cannot be listened on: is another program using it?`, {
      cause: error,
    })
  }
  return { port: listener.port, stop: () => listener.stop(true) }
}

async function enter(
  client: Socket<Tunnel>,
  relaySocket: string,
  to: { readonly address: string; readonly port: number },
): Promise<void> {
  try {
    await Bun.connect<Tunnel>({
      unix: relaySocket,
      allowHalfOpen: true,
      socket: {
        ...tunnelHandlers,
        open(inner) {
          inner.data = newTunnel()
          inner.write(`CONNECT ${to.address} ${to.port}\n`)
        },
        data(inner, chunk) {
          if (inner.data.peer !== null) return tunnelHandlers.data(inner, chunk)
          // The first line is the router's verdict; what follows is the destination's.
          const end = chunk.indexOf(10)
          if (end < 0) return
          if (!Buffer.from(chunk.subarray(0, end)).toString("latin1").startsWith("OK")) {
            client.terminate()
            inner.terminate()
            return
          }
          inner.data.peer = client
          client.data.peer = inner
          if (end + 1 < chunk.length) pushTo(client, chunk.subarray(end + 1))
          client.resume()
        },
        close(inner) {
          if (inner.data?.peer == null) client.terminate()
          else tunnelHandlers.close(inner)
        },
      },
    })
  } catch {
    client.terminate()
  }
}
