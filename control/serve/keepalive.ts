// HTTP/2 PINGs from our side of a connection, so that a peer that vanished (a node died, a cable was cut)
// is noticed in seconds instead of the kernel's quarter of an hour.
import type { Http2Session } from "node:http2"

/** A PING goes out this often; Linkerd's value. */
export const PING_INTERVAL_MS = 10_000
/** A PING not answered within this is a dead peer; Linkerd's value. */
export const PING_TIMEOUT_MS = 3_000

/** Intervals of a keepalive; tests shorten them. */
export interface KeepaliveOptions {
  /** Default PING_INTERVAL_MS. */
  readonly intervalMs?: number
  /** Default PING_TIMEOUT_MS. */
  readonly timeoutMs?: number
}

/** Pings the peer for as long as the session lives, and destroys the session when it does not answer. */
export function keepAlive(session: Http2Session, options: KeepaliveOptions = {}): void {
  const { intervalMs = PING_INTERVAL_MS, timeoutMs = PING_TIMEOUT_MS } = options
  let deadline: NodeJS.Timeout | undefined
  const interval = setInterval(() => {
    if (session.destroyed || session.closed || deadline !== undefined) return
    deadline = setTimeout(() => session.destroy(), timeoutMs)
    session.ping(() => {
      clearTimeout(deadline)
      deadline = undefined
    })
  }, intervalMs)
  interval.unref()
  session.once("close", () => {
    clearInterval(interval)
    clearTimeout(deadline)
  })
}
