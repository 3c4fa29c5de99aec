// Whether a response is asked for again, and after which pause: HTTPRouteRetry of the Gateway API, `retry.conduit.io/*`,
// and the rules of gRPC's own retries (gRFC A6).
import type { RetryConfig } from "./route_config.ts"

/** First pause before a request is sent again, unless the route says another (Linkerd's and Envoy's figure). */
export const BACKOFF_MIN_MS = 25
/** A pause grows to this many times the first one at most (Linkerd's and Envoy's figure). */
export const BACKOFF_MAX_FACTOR = 10
/** Share by which a pause is shortened at random: callers that failed together do not come back together. */
export const BACKOFF_JITTER = 0.5
/** Longest pause that a server may ask for by `grpc-retry-pushback-ms`; one that asks for more is not asked again. */
export const MAX_PUSHBACK_MS = 60_000

/** The server said nothing about when to come back. */
export const PUSHBACK_NONE = -1
/** The server does not want the request again: a value below 0, or none that can be read (gRFC A6). */
export const PUSHBACK_NEVER = -2

/** When requests are sent again. Immutable. */
export class RetryRule {
  /** Attempts beyond the first. */
  readonly attempts: number
  private readonly codes: Uint8Array
  private readonly grpcCodes: number
  private readonly backoffMs: number
  private readonly anyMethod: boolean

  constructor(config: RetryConfig) {
    this.attempts = config.attempts
    this.codes = new Uint8Array(200)
    for (const code of config.codes) if (code >= 400 && code <= 599) this.codes[code - 400] = 1
    let bits = 0
    for (const code of config.grpcCodes) if (code >= 1 && code <= 16) bits |= 1 << code
    this.grpcCodes = bits
    this.backoffMs = config.backoffMs > 0 ? config.backoffMs : BACKOFF_MIN_MS
    this.anyMethod = config.anyMethod
  }

  /** Whether requests of a method may be sent again once a server may have seen them. */
  takesMethod(idempotent: boolean): boolean {
    return this.anyMethod || idempotent
  }

  /** Whether an answer with this status is worth another attempt. */
  takesStatus(status: number): boolean {
    return status >= 400 && status <= 599 && this.codes[status - 400] === 1
  }

  /** Whether an answer with this gRPC status, in trailers only, is worth another attempt. */
  takesGrpcStatus(status: number): boolean {
    return status >= 1 && status <= 16 && (this.grpcCodes & (1 << status)) !== 0
  }

  /**
   * Milliseconds to wait before an attempt: the first pause, doubled each time, up to BACKOFF_MAX_FACTOR times it.
   *
   * @param attempt  1 for the first one beyond the first
   * @param random   uniform, 0 to 1
   */
  pauseMs(attempt: number, random: number): number {
    const grown = Math.min(
      this.backoffMs * BACKOFF_MAX_FACTOR,
      this.backoffMs * 2 ** Math.min(attempt - 1, 20),
    )
    return grown * (1 - BACKOFF_JITTER * random)
  }
}

/** Milliseconds that a server asks for by `grpc-retry-pushback-ms`, PUSHBACK_NONE or PUSHBACK_NEVER. */
export function pushbackMs(value: string | undefined): number {
  if (value === undefined) return PUSHBACK_NONE
  if (value.length === 0 || value.length > 9) return PUSHBACK_NEVER
  let ms = 0
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return PUSHBACK_NEVER
    ms = ms * 10 + digit
  }
  return ms > MAX_PUSHBACK_MS ? PUSHBACK_NEVER : ms
}
