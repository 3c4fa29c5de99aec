// Connections to servers: connect with a deadline, tuned so that a peer that died is noticed.
import { Conn, type ConnHandler } from "./conn.ts"
import { socketLimit } from "./fd_limit.ts"
import { tuneSocket } from "./socket_options.ts"
import type { TlsTerms } from "./tls.ts"

/** Connect timeout of the outbound side: a lost SYN is sent again after 1 s, so more would only hide it. */
export const OUTBOUND_CONNECT_TIMEOUT_MS = 1_000

/** Connect timeout of the inbound side, where the server is on the same machine. */
export const INBOUND_CONNECT_TIMEOUT_MS = 300

/** How to dial. */
export interface DialOptions {
  /** Milliseconds until the dial fails with ETIMEDOUT. Default `OUTBOUND_CONNECT_TIMEOUT_MS`. */
  readonly connectTimeoutMs?: number
  /** TLS on these terms: the connection is open once the peer has proven itself. Default: none. */
  readonly tls?: TlsTerms
}

/** What a dial waits for before it begins; calls back once, at once if it may. */
export type DialGate = (go: (options: DialOptions) => void, refuse: (code: string) => void) => void

/**
 * Connects to an address. Returns at once; output queues until `onOpen`. A failure comes as `onClose` with the
 * system's code (ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT, EMFILE when the proxy is out of descriptors).
 *
 * @param address  an IP address as text, no name
 */
export function dial(address: string, port: number, handler: ConnHandler, options: DialOptions = {}): Conn {
  const conn = begin(address, port, handler)
  connect(conn, options)
  return conn
}

/** As `dial`, once the gate lets it through; a refusal comes as `onClose` with its code. */
export function dialThrough(address: string, port: number, handler: ConnHandler, gate: DialGate): Conn {
  const conn = begin(address, port, handler)
  gate(
    options => {
      if (!conn.closed) connect(conn, options)
    },
    code => conn.dialFailed({ code }),
  )
  return conn
}

function begin(address: string, port: number, handler: ConnHandler): Conn {
  const conn = new Conn(handler)
  conn.remoteAddress = address
  conn.remotePort = port
  conn.markDialled()
  return conn
}

function connect(conn: Conn, { connectTimeoutMs = OUTBOUND_CONNECT_TIMEOUT_MS, tls }: DialOptions): void {
  if (Conn.openSockets >= socketLimit()) {
    conn.dialFailed({ code: "EMFILE" })
    return
  }
  if (tls !== undefined) conn.expectTls(tls)
  conn.armConnectTimeout(connectTimeoutMs)
  const where = { hostname: conn.remoteAddress, port: conn.remotePort, allowHalfOpen: true, data: conn }
  try {
    const socket =
      tls === undefined
        ? Bun.connect({ ...where, socket: dialedHandler })
        : Bun.connect({ ...where, socket: dialedTlsHandler, tls: tls.options as never })
    socket.catch(error => conn.dialFailed(error))
  } catch (error) {
    conn.dialFailed(error)
  }
}

const dialedHandler: typeof Conn.socketHandler = {
  ...Conn.socketHandler,
  open(socket) {
    tuneSocket((socket as unknown as { readonly fd: number }).fd)
    Conn.socketHandler.open?.(socket)
  },
}

const dialedTlsHandler: typeof Conn.tlsSocketHandler = {
  ...Conn.tlsSocketHandler,
  open(socket) {
    tuneSocket((socket as unknown as { readonly fd: number }).fd)
    Conn.tlsSocketHandler.open?.(socket)
  },
}
