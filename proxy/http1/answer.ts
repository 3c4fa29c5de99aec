// Answers of the proxy's own, as HTTP/1.1 bytes (RFC 9112 section 4).

import type { GuardAnswer, Redirect } from "../http/mod.ts"
import { PROXY_ERROR_FIELD, REFUSAL_HEAD_TOO_LARGE, REFUSAL_MALFORMED, type Refusal } from "../http/mod.ts"

const REASONS: Readonly<Record<number, string>> = {
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  429: "Too Many Requests",
  500: "Internal Server Error",
  431: "Request Header Fields Too Large",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
}

/** Texts for refusals that come without a detail of their own. */
const EXPLANATIONS: Readonly<Record<string, string>> = {
  "connect-failed": "no endpoint of the service could be connected to",
  "no-endpoint": "the service has no endpoint that could take the request",
  overload: "the proxy has too many requests in flight",
  denied: "policy denies the request",
  "egress-denied": "policy denies what is called outside of the cluster",
  "no-route": "no route matches the request",
  "no-backend": "the route leads to no backend that could take the request",
  limited: "too many requests",
  timeout: "the deadline passed",
  "fault-injected": "the Service asks for faults by its annotations fault.conduit.io/*",
}

/** How to put an answer. */
export interface AnswerOptions {
  /** Value of the conduit-proxy-error field. */
  readonly proxyError: string
  /** One clause for people; "" for what the refusal itself says. */
  readonly text: string
  /** Say that the connection ends here. */
  readonly close: boolean
  /** The client speaks HTTP/1.0 and asked to keep the connection, which must be confirmed. */
  readonly confirmKeepAlive: boolean
  /** Answers a HEAD request: no body. */
  readonly withoutBody: boolean
  /** More fields. Default: none. */
  readonly fields?: GuardAnswer["fields"]
}

/** The whole answer, head and body. */
export function renderAnswer(refusal: Refusal, options: AnswerOptions): Uint8Array {
  const reason = REASONS[refusal.status] ?? "Error"
  const text = options.text === "" ? (EXPLANATIONS[refusal.reason] ?? refusal.reason) : options.text
  const body = `${refusal.status} ${reason}: ${text} (${options.proxyError})\n`
  let head = `HTTP/1.1 ${refusal.status} ${reason}\r\n${PROXY_ERROR_FIELD}: ${options.proxyError}\r\n`
  head += `content-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`
  for (const [name, value] of options.fields ?? []) head += `${name}: ${value}\r\n`
  if (options.close) head += "connection: close\r\n"
  else if (options.confirmKeepAlive) head += "connection: keep-alive\r\n"
  return Buffer.from(options.withoutBody ? `${head}\r\n` : `${head}\r\n${body}`)
}

/** The answer to a request that a route redirects; without body. */
export function renderRedirect(
  { status, location }: Redirect,
  { close, confirmKeepAlive }: Pick<AnswerOptions, "close" | "confirmKeepAlive">,
): Uint8Array {
  let head = `HTTP/1.1 ${status} ${REASONS[status] ?? "Redirect"}\r\nlocation: ${location}\r\ncontent-length: 0\r\n`
  if (close) head += "connection: close\r\n"
  else if (confirmKeepAlive) head += "connection: keep-alive\r\n"
  return Buffer.from(`${head}\r\n`, "latin1")
}

/** The refusal of a malformed head that is answered with `status`. */
export function refusalOf(status: number): Refusal {
  if (status === 400) return REFUSAL_MALFORMED
  if (status === 431) return REFUSAL_HEAD_TOO_LARGE
  return { status, grpcStatus: REFUSAL_MALFORMED.grpcStatus, reason: REFUSAL_MALFORMED.reason }
}
