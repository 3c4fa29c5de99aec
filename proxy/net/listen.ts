// The proxy's listening sockets: accepted connections, tuned and counted; with a bound instead of EMFILE.
import { Conn, type ConnHandler } from "./conn.ts"
import { socketLimit } from "./fd_limit.ts"
import { loop } from "./loop.ts"
import { tuneSocket } from "./socket_options.ts"

/** What a listener does. */
export interface ListenOptions {
  /** Address to bind, `::` for all of both families. */
  readonly address: string
  /** Port to bind, 0 for any. */
  readonly port: number
  /** Gives the handler of a connection that was accepted; the connection is open. */
  accept(conn: Conn): ConnHandler
  /** Called for a connection that was reset because the process is out of descriptors. */
  refused?(conn: Conn): void
}

/** A listening socket. */
export interface Listener {
  readonly port: number
  /** Stops accepting; connections stay. */
  close(): void
}

/**
 * Listens.
 *
 * @throws Error with `code` EADDRINUSE or EACCES, saying which address could not be bound
 */
export function listen(options: ListenOptions): Listener {
  const server = Bun.listen<Conn>({
    hostname: options.address,
    port: options.port,
    allowHalfOpen: true,
    socket: {
      ...Conn.socketHandler,
      open(socket) {
        const conn = new Conn(unclaimed)
        socket.data = conn
        conn.attach(socket)
        if (Conn.openSockets > socketLimit()) {
          conn.reset()
          options.refused?.(conn)
          return
        }
        try {
          conn.handler = options.accept(conn)
        } catch (error) {
          loop.onHandlerError(`accepting from ${conn.remoteAddress}:${conn.remotePort}`, error)
          conn.reset()
        }
      },
    },
  })
  // Accepted sockets inherit the options, which saves system calls on each.
  tuneSocket((server as unknown as { readonly fd: number }).fd)
  return { port: server.port, close: () => server.stop(false) }
}

/** Stands in until `accept` has given a handler. */
const unclaimed: ConnHandler = {
  onOpen() {},
  onData(conn) {
    conn.reset()
  },
  onDrain() {},
  onEnd(conn) {
    conn.reset()
  },
  onClose() {},
}
