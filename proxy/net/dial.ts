// Connections to servers: connect with a deadline, tuned so that a peer that died is noticed.
import { Conn, type ConnHandler } from "./conn.ts"
import { socketLimit } from "./fd_limit.ts"
import { tuneSocket } from "./socket_options.ts"

/** Connect timeout of the outbound side: a lost SYN is sent again after 1 s, so more would only hide it. */
export const OUTBOUND_CONNECT_TIMEOUT_MS = 1_000

/** Connect timeout of the inbound side, where the server is on the same machine. */
export const INBOUND_CONNECT_TIMEOUT_MS = 300

/** How to dial. */
export interface DialOptions {
  /** Milliseconds until the dial fails with ETIMEDOUT. Default `OUTBOUND_CONNECT_TIMEOUT_MS`. */
  readonly connectTimeoutMs?: number
}

/**
 * Connects to an address. Returns at once; output queues until `onOpen`. A failure comes as `onClose` with the
 * system's code (ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT, EMFILE when the proxy is out of descriptors).
 *
 * @param address  an IP address as text, no name
 */
export function dial(address: string, port: number, handler: ConnHandler, options: DialOptions = {}): Conn {
  const conn = new Conn(handler)
  conn.remoteAddress = address
  conn.remotePort = port
  if (Conn.openSockets >= socketLimit()) {
    conn.dialFailed({ code: "EMFILE" })
    return conn
  }
  conn.armConnectTimeout(options.connectTimeoutMs ?? OUTBOUND_CONNECT_TIMEOUT_MS)
  try {
    Bun.connect({ hostname: address, port, allowHalfOpen: true, socket: dialedHandler, data: conn }).catch(
      error => conn.dialFailed(error),
    )
  } catch (error) {
    conn.dialFailed(error)
  }
  return conn
}

const dialedHandler: typeof Conn.socketHandler = {
  ...Conn.socketHandler,
  open(socket) {
    tuneSocket((socket as unknown as { readonly fd: number }).fd)
    Conn.socketHandler.open?.(socket)
  },
}
