// What is known of an exchange once it is over: for the access log and for spans, and made only where one of them asks.
import type { Endpoint } from "../balance/mod.ts"
import type { Direction } from "../telemetry/mod.ts"
import type { RequestView } from "./request_view.ts"

/** One request and its response, over. */
export interface ExchangeFacts {
  readonly direction: Direction
  readonly request: RequestView
  /** `1.0`, `1.1` or `2`. */
  readonly httpVersion: string
  /** `address:port` of the client. */
  readonly client: string
  /** DNS name that the client proved in mutual TLS; "" for none. */
  readonly clientId: string
  /** How the client's connection is secured, as in the `tls` label; "" outbound. */
  readonly tls: string
  /** The endpoint that was asked last; null for none. */
  readonly endpoint: Endpoint | null
  /** Labels of where it went: service, namespace, rule. */
  readonly dstService: string
  readonly dstNamespace: string
  readonly route: string
  /** Status of the response; 0 for none. */
  readonly status: number
  /** -1 for none. */
  readonly grpcStatus: number
  /** Why it failed, as in the `error` label; "" where it did not. */
  readonly error: string
  /** Counted as a failure of the server. */
  readonly isFailure: boolean
  /** Octets of the request's body, framing of chunks included. */
  readonly requestBytes: number
  /** The same of the response's. */
  readonly responseBytes: number
  /** Endpoints that were asked, or tried to connect to. */
  readonly attempts: number
  /** From the request's head to the end of the response, milliseconds. */
  readonly totalMs: number
  /** From the request's head until it was handed to the endpoint that answered, milliseconds: what the proxy took. */
  readonly processingMs: number
  /** Trace that the request belongs to, 32 hexadecimal digits; "" for none. */
  readonly traceId: string
}

/** Takes exchanges that are over. */
export interface AccessLog {
  /** Must not throw, and must not wait. */
  ended(facts: ExchangeFacts): void
}
