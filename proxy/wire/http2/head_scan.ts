// Checks a message's fields (RFC 9113 sections 8.2, 8.3 and 8.5) and finds what the proxy must know of them, in one
// pass over interned fields. What fails here is malformed and never forwarded: smuggling begins with leniency.
import {
  FIELD_GRPC,
  FIELD_MALFORMED,
  type HeaderField,
  KIND_AUTHORITY,
  KIND_CONNECTION_SPECIFIC,
  KIND_CONTENT_LENGTH,
  KIND_GRPC_STATUS,
  KIND_HOST,
  KIND_METHOD,
  KIND_PATH,
  KIND_PLAIN,
  KIND_PROTOCOL,
  KIND_PROXY_ERROR,
  KIND_SCHEME,
  KIND_STATUS,
  KIND_TE,
  LAST_PSEUDO,
} from "./header_field.ts"

/** What was found in the list scanned last. Reused; take what you need at once. */
export class HeadScan {
  method: HeaderField | null = null
  scheme: HeaderField | null = null
  authority: HeaderField | null = null
  path: HeaderField | null = null
  /** `:protocol` of an extended CONNECT (RFC 8441). */
  protocol: HeaderField | null = null
  host: HeaderField | null = null
  /** 0 without `:status`. */
  status = 0
  /** -1 without `content-length`. */
  contentLength = -1
  /** -1 without a readable `grpc-status`. */
  grpcStatus = -1
  /** `content-type: application/grpc...` */
  isGrpc = false
  /** Whether `conduit-proxy-error` is among the fields. */
  hasProxyError = false
  /** Why the list is malformed, for the log. */
  error = ""

  /** Scans a request's head; false if malformed. */
  request(fields: readonly HeaderField[]): boolean {
    if (!this.scan(fields)) return false
    if (this.status !== 0) return this.fail("a request with :status")
    const { method, scheme, authority, path, protocol, host } = this
    if (method === null) return this.fail("a request without :method")
    const isConnect = method.length === 7 && method.value === "CONNECT"
    if (protocol !== null && !isConnect) return this.fail(":protocol without CONNECT")
    if (isConnect && protocol === null) {
      if (scheme !== null || path !== null) return this.fail("CONNECT with :scheme or :path")
      if (authority === null || authority.length === 0) return this.fail("CONNECT without :authority")
      return true
    }
    if (scheme === null) return this.fail("a request without :scheme")
    if (path === null) return this.fail("a request without :path")
    if (path.length === 1 && path.value === "*" && method.value !== "OPTIONS")
      return this.fail(":path * without OPTIONS")
    if (
      host !== null &&
      authority !== null &&
      host !== authority &&
      host.value.toLowerCase() !== authority.value.toLowerCase()
    ) {
      return this.fail("host and :authority name different hosts")
    }
    return true
  }

  /** Scans a response's head, final or interim; false if malformed. */
  response(fields: readonly HeaderField[]): boolean {
    if (!this.scan(fields)) return false
    if (
      this.method !== null ||
      this.scheme !== null ||
      this.authority !== null ||
      this.path !== null ||
      this.protocol !== null
    ) {
      return this.fail("a response with a request's pseudo-header")
    }
    if (this.status === 0) return this.fail("a response without :status")
    // Section 8.6: HTTP/2 has no 101.
    if (this.status === 101) return this.fail("status 101")
    return true
  }

  /** Scans trailers; false if malformed. */
  trailers(fields: readonly HeaderField[]): boolean {
    if (!this.scan(fields)) return false
    for (let i = 0; i < fields.length; i++) {
      if ((fields[i] as HeaderField).name.kind <= LAST_PSEUDO)
        return this.fail("a pseudo-header among the trailers")
    }
    return true
  }

  private fail(error: string): boolean {
    this.error = error
    return false
  }

  private scan(fields: readonly HeaderField[]): boolean {
    this.method = null
    this.scheme = null
    this.authority = null
    this.path = null
    this.protocol = null
    this.host = null
    this.status = 0
    this.contentLength = -1
    this.grpcStatus = -1
    this.isGrpc = false
    this.hasProxyError = false
    let regular = false
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i] as HeaderField
      const kind = field.name.kind
      if ((field.flags & FIELD_MALFORMED) !== 0) return this.fail(`field ${JSON.stringify(field.name.text)}`)
      if (kind === KIND_PLAIN) {
        regular = true
        continue
      }
      if (kind <= LAST_PSEUDO) {
        if (regular) return this.fail("a pseudo-header after other fields")
      } else regular = true
      switch (kind) {
        case KIND_METHOD:
          if (this.method !== null) return this.fail("two :method")
          this.method = field
          break
        case KIND_SCHEME:
          if (this.scheme !== null) return this.fail("two :scheme")
          this.scheme = field
          break
        case KIND_AUTHORITY:
          if (this.authority !== null) return this.fail("two :authority")
          this.authority = field
          break
        case KIND_PATH:
          if (this.path !== null) return this.fail("two :path")
          this.path = field
          break
        case KIND_PROTOCOL:
          if (this.protocol !== null) return this.fail("two :protocol")
          this.protocol = field
          break
        case KIND_STATUS:
          if (this.status !== 0) return this.fail("two :status")
          this.status = field.number
          break
        case KIND_HOST:
          if (this.host !== null) return this.fail("two host")
          this.host = field
          break
        case KIND_CONTENT_LENGTH:
          if (this.contentLength >= 0) return this.fail("two content-length")
          this.contentLength = field.number
          break
        case KIND_GRPC_STATUS:
          this.grpcStatus = field.number
          break
        case KIND_PROXY_ERROR:
          this.hasProxyError = true
          break
        case KIND_CONNECTION_SPECIFIC:
          return this.fail(`${field.name.text}, which HTTP/2 does not have`)
        case KIND_TE:
          break
        default:
          if ((field.flags & FIELD_GRPC) !== 0) this.isGrpc = true
          else if (kind <= LAST_PSEUDO)
            return this.fail(`unknown pseudo-header ${JSON.stringify(field.name.text)}`)
      }
    }
    return true
  }
}

/** The list without `conduit-proxy-error`. */
export function withoutProxyError(fields: readonly HeaderField[]): HeaderField[] {
  return fields.filter(field => field.name.kind !== KIND_PROXY_ERROR)
}
