// The least of HTTP/1.1 that the admin port needs: one short request per connection (RFC 9112), head and body in
// memory. Written for probes, scrapers and curl; the data path's codec would be more than this needs.

/** Longest request taken, head and body. */
export const ADMIN_REQUEST_BYTES_MAX = 8 * 1024

/** A request to the admin port. */
export interface AdminRequest {
  readonly method: string
  /** Path without query. */
  readonly path: string
  /** What follows the question mark; empty for nothing. */
  readonly query: string
  readonly body: string
}

/**
 * Reads a request out of the bytes so far.
 *
 * @returns null when more bytes are needed; "malformed" when it is no request that the admin port takes
 */
export function readAdminRequest(bytes: Uint8Array): AdminRequest | "malformed" | null {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")
  const end = text.indexOf("\r\n\r\n")
  if (end < 0) return bytes.length > ADMIN_REQUEST_BYTES_MAX ? "malformed" : null
  const [requestLine = "", ...lines] = text.slice(0, end).split("\r\n")
  const match = /^([A-Z]+) (\/[^\s?#]*)(?:\?(\S*))? HTTP\/1\.[01]$/.exec(requestLine)
  if (match === null) return "malformed"
  let length = 0
  for (const line of lines) {
    const field = /^(content-length|transfer-encoding):[ \t]*(.*?)[ \t]*$/i.exec(line)
    if (field === null) continue
    // Chunked bodies are more than a log level needs.
    if (field[1]?.toLowerCase() !== "content-length" || !/^\d{1,5}$/.test(field[2] ?? "")) return "malformed"
    length = Number(field[2])
  }
  if (end + 4 + length > ADMIN_REQUEST_BYTES_MAX) return "malformed"
  if (text.length < end + 4 + length) return null
  const [, method = "", path = "", query = ""] = match
  return { method, path, query, body: text.slice(end + 4, end + 4 + length) }
}

/** An answer of the admin port. */
export interface AdminResponse {
  readonly status: number
  readonly body: string
  /** Default `text/plain; charset=utf-8`. */
  readonly contentType?: string
  /** Value of the Allow field, for 405. */
  readonly allow?: string
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  503: "Service Unavailable",
}

/** The bytes of a response that ends its connection; the body is left out for HEAD. */
export function writeAdminResponse(response: AdminResponse, head = false): Uint8Array {
  const body = Buffer.from(response.body)
  const lines = [
    `HTTP/1.1 ${response.status} ${REASONS[response.status] ?? "Status"}`,
    `content-type: ${response.contentType ?? "text/plain; charset=utf-8"}`,
    `content-length: ${body.length}`,
    ...(response.allow === undefined ? [] : [`allow: ${response.allow}`]),
    "connection: close",
  ]
  const start = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`)
  return head ? start : Buffer.concat([start, body])
}
