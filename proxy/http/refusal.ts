// The answers that a proxy makes itself, one table: HTTP status, gRPC status, and the stable short reason that the
// conduit-proxy-error field carries.

/** An answer of the proxy's own. */
export interface Refusal {
  /** HTTP status. */
  readonly status: number
  /** Status for gRPC callers, in trailers only. */
  readonly grpcStatus: number
  /** Stable short reason; people and tests hold on to it. */
  readonly reason: string
}

/** Field that every answer of the proxy's own carries; stripped from what applications send. Lower case. */
export const PROXY_ERROR_FIELD = "conduit-proxy-error"

/** The head or framing breaks the protocol. */
export const REFUSAL_MALFORMED: Refusal = { status: 400, grpcStatus: 13, reason: "malformed" }
/** Policy denies the request. */
export const REFUSAL_DENIED: Refusal = { status: 403, grpcStatus: 7, reason: "denied" }
/** Policy denies what is called outside of the cluster. */
export const REFUSAL_EGRESS_DENIED: Refusal = { status: 403, grpcStatus: 7, reason: "egress-denied" }
/** Routes exist, none matches. */
export const REFUSAL_NO_ROUTE: Refusal = { status: 404, grpcStatus: 12, reason: "no-route" }
/** The route leads nowhere: no backend, none with a weight, or one that does not exist (Gateway API: 500). */
export const REFUSAL_NO_BACKEND: Refusal = { status: 500, grpcStatus: 14, reason: "no-backend" }
/** The client did not send a whole head in time. */
export const REFUSAL_HEAD_TIMEOUT: Refusal = { status: 408, grpcStatus: 4, reason: "head-timeout" }
/** A rate limit. */
export const REFUSAL_LIMITED: Refusal = { status: 429, grpcStatus: 8, reason: "limited" }
/** The head exceeds the limits. */
export const REFUSAL_HEAD_TOO_LARGE: Refusal = { status: 431, grpcStatus: 13, reason: "head-too-large" }
/** No endpoint could be connected to. */
export const REFUSAL_CONNECT_FAILED: Refusal = { status: 502, grpcStatus: 14, reason: "connect-failed" }
/** The endpoint would have to be called in plaintext, which `outbound-mtls: required` forbids. */
export const REFUSAL_MTLS_REQUIRED: Refusal = { status: 502, grpcStatus: 14, reason: "mtls-required" }
/** The connection to the endpoint broke before a whole response head came. */
export const REFUSAL_UPSTREAM_GONE: Refusal = { status: 502, grpcStatus: 14, reason: "upstream-gone" }
/** The endpoint's response breaks the protocol. */
export const REFUSAL_UPSTREAM_MALFORMED: Refusal = {
  status: 502,
  grpcStatus: 14,
  reason: "upstream-malformed",
}
/** The service has no endpoint. */
export const REFUSAL_NO_ENDPOINT: Refusal = { status: 503, grpcStatus: 14, reason: "no-endpoint" }
/** The proxy has too much in flight. */
export const REFUSAL_OVERLOAD: Refusal = { status: 503, grpcStatus: 14, reason: "overload" }
/** The endpoint's circuit is open. */
export const REFUSAL_CIRCUIT_OPEN: Refusal = { status: 503, grpcStatus: 14, reason: "circuit-open" }
/** A deadline passed. */
export const REFUSAL_TIMEOUT: Refusal = { status: 504, grpcStatus: 4, reason: "timeout" }

/** Whether policy decided so, and says why. */
export function isByPolicy(refusal: Refusal): boolean {
  return refusal === REFUSAL_DENIED || refusal === REFUSAL_EGRESS_DENIED || refusal === REFUSAL_LIMITED
}

/** Reason of answers that a Service's injected faults are. */
export const FAULT_INJECTED = "fault-injected"

/** The answer that an injected fault is. @param status  of HTTP; gRPC callers get what it stands for there */
export function injectedFault(status: number): Refusal {
  // "HTTP to gRPC Status Code Mapping" of gRPC's documents.
  const grpc: Readonly<Record<number, number>> = {
    400: 13,
    401: 16,
    403: 7,
    404: 12,
    429: 14,
    502: 14,
    503: 14,
    504: 14,
  }
  return { status, grpcStatus: grpc[status] ?? 2, reason: FAULT_INJECTED }
}

/**
 * Whether the value of another proxy's conduit-proxy-error field says that nothing of the request reached the
 * application behind it, so that it may be sent elsewhere whatever its method. True of one reason only.
 */
export function neverReached(proxyError: string): boolean {
  const { reason } = REFUSAL_CONNECT_FAILED
  return (
    proxyError.startsWith(reason) &&
    (proxyError.length === reason.length || proxyError[reason.length] === ";")
  )
}

/** Every refusal, for tests and documentation. */
export const REFUSALS: readonly Refusal[] = [
  REFUSAL_MALFORMED,
  REFUSAL_DENIED,
  REFUSAL_EGRESS_DENIED,
  REFUSAL_NO_ROUTE,
  REFUSAL_NO_BACKEND,
  REFUSAL_HEAD_TIMEOUT,
  REFUSAL_LIMITED,
  REFUSAL_HEAD_TOO_LARGE,
  REFUSAL_CONNECT_FAILED,
  REFUSAL_MTLS_REQUIRED,
  REFUSAL_UPSTREAM_GONE,
  REFUSAL_UPSTREAM_MALFORMED,
  REFUSAL_NO_ENDPOINT,
  REFUSAL_OVERLOAD,
  REFUSAL_CIRCUIT_OPEN,
  REFUSAL_TIMEOUT,
]

/** Crockford's base 32 in lower case: no i, l, o, u, so that an id survives being read aloud. */
const ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

/** Characters of an error id: 40 bits, enough to find one line in the logs of a mesh. */
export const ERROR_ID_LENGTH = 8

/** Random bytes for the next ids: asked for once per 32 of them. */
const idBytes = new Uint8Array(32 * ERROR_ID_LENGTH)
let idBytesUsed = idBytes.length

/**
 * A new id that joins an answer to its log line. It cannot be guessed from others: who knows it is told the whole story
 * of its refusal.
 */
export function newErrorId(): string {
  if (idBytesUsed === idBytes.length) {
    crypto.getRandomValues(idBytes)
    idBytesUsed = 0
  }
  let id = ""
  for (let i = 0; i < ERROR_ID_LENGTH; i++) id += ID_ALPHABET[(idBytes[idBytesUsed++] ?? 0) & 31]
  return id
}

/** Value of the conduit-proxy-error field. */
export function proxyErrorValue(refusal: Refusal, id: string): string {
  return `${refusal.reason}; id=${id}`
}
