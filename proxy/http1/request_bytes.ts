// A request of HTTP/1 as it is sent on: the bytes that came, unless a field or the target must change.

import type { Routing } from "../http/mod.ts"
import { PROXY_ERROR_FIELD, type RequestTrace, traceLines } from "../http/mod.ts"
import { type RequestHead, spliceHead } from "../wire/mod.ts"

/** Field line that ends a connection. */
export const CLOSE_LINE = "Connection: close\r\n"

const DROP_NOTHING: readonly string[] = []
/** Drops the proxy's error alone. */
export const DROP_PROXY_ERROR: readonly string[] = [PROXY_ERROR_FIELD]
const DROP_CONNECTION: readonly string[] = ["connection", "keep-alive", "proxy-connection"]
const DROP_BOTH: readonly string[] = [...DROP_CONNECTION, PROXY_ERROR_FIELD]

/** Names whose fields go: of the connection, the proxy's error, or both. */
export function droppedOf(connection: boolean, proxyError: boolean): readonly string[] {
  if (connection) return proxyError ? DROP_BOTH : DROP_CONNECTION
  return proxyError ? DROP_PROXY_ERROR : DROP_NOTHING
}

/**
 * Head and early body as they are to be sent: the slice itself unless a field must change.
 *
 * @param bytes  holds the head up to `headEnd`, and behind it the early body up to `end`
 * @param stripError  the client must not say what only proxies may
 * @param routing  of a service that has routes
 * @param trace  the request's part in a trace
 */
export function requestBytes(
  head: RequestHead,
  bytes: Uint8Array,
  headEnd: number,
  end: number,
  stripError: boolean,
  { routing, trace }: { readonly routing: Routing | null; readonly trace: RequestTrace | null },
): Uint8Array {
  const routed = routing?.changesRequest === true ? routing : null
  if (!stripError && !head.hasSuspectBody && routed === null && trace === null) {
    return head.start === 0 && end === bytes.length ? bytes : bytes.subarray(head.start, end)
  }
  let dropped = droppedOf(head.hasSuspectBody, stripError)
  let added = head.hasSuspectBody ? CLOSE_LINE : ""
  let firstLine = ""
  if (routed !== null) {
    const { target, path } = routed
    if (path !== null) firstLine = `${head.method} ${path.apply(head.path)} HTTP/1.${head.minor}\r\n`
    const headers = target?.requestHeaders ?? null
    if (headers !== null) {
      dropped = [...dropped, ...headers.dropped]
      added += headers.lines
    }
    if (target !== null && target.hostname !== "") {
      dropped = [...dropped, "host"]
      added = `Host: ${target.hostname}\r\n${added}`
    }
  }
  if (trace !== null) {
    dropped = [...dropped, ...trace.dropped]
    added += traceLines(trace)
  }
  const rewritten = spliceHead(head, dropped, added, firstLine)
  return end === headEnd ? rewritten : Buffer.concat([rewritten, bytes.subarray(headEnd, end)])
}
