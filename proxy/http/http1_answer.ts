// Answers of the proxy's own, as HTTP/1.1 bytes (RFC 9112 section 4).
import { PROXY_ERROR_FIELD, type Refusal } from "./refusal.ts"

const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
}

/** How to put an answer. */
export interface AnswerOptions {
  /** Value of the conduit-proxy-error field. */
  readonly proxyError: string
  /** One clause for people. */
  readonly text: string
  /** Say that the connection ends here. */
  readonly close: boolean
  /** The client speaks HTTP/1.0 and asked to keep the connection, which must be confirmed. */
  readonly confirmKeepAlive: boolean
  /** Answers a HEAD request: no body. */
  readonly withoutBody: boolean
}

/** The whole answer, head and body. */
export function renderAnswer(refusal: Refusal, options: AnswerOptions): Uint8Array {
  const reason = REASONS[refusal.status] ?? "Error"
  const body = `${refusal.status} ${reason}: ${options.text} (${options.proxyError})\n`
  let head = `HTTP/1.1 ${refusal.status} ${reason}\r\n${PROXY_ERROR_FIELD}: ${options.proxyError}\r\n`
  head += `content-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`
  if (options.close) head += "connection: close\r\n"
  else if (options.confirmKeepAlive) head += "connection: keep-alive\r\n"
  return Buffer.from(options.withoutBody ? `${head}\r\n` : `${head}\r\n${body}`)
}
