// One request that a tap is told of: collects what becomes of it, and tells. Made only where a tap wants the request.
import type { TlsLabel } from "../telemetry/mod.ts"
import { HEADERS_NONE, HEADERS_VALUES } from "./match.ts"
import { isSecretField, REDACTED } from "./redact.ts"
import type { Tap } from "./tap.ts"

/** Longest path, authority or field value that is told, in characters; what is longer ends with three dots. */
export const MAX_TAP_TEXT_CHARS = 2048

/** Header fields of one request that are told of at most. */
export const MAX_TAP_FIELDS = 64

/** What a tap sees of a request head; `RequestView` of http/ fits. */
export interface TapRequestHead {
  readonly method: string
  readonly authority: string
  readonly path: string
  header(lowerCaseName: string): string | undefined
  /** Calls back with each field; names in lower case. */
  fieldsTo?(visit: (name: string, value: string) => void): void
}

/** What a tap sees of the connection that a request came on. */
export interface TapSource {
  /** Address and port of the client. */
  readonly peer: string
  /** Address and port that it called. */
  readonly destination: string
}

/** What all requests of a connection share; `ScopeLabels` of telemetry/ fits. */
export interface TapLabels {
  /** 0 inbound, 1 outbound. */
  readonly direction: number
  readonly dstService: string
  readonly dstNamespace: string
  /** Null where the endpoint decides. */
  readonly tls: TlsLabel | null
  readonly clientId: string
  readonly route: string
}

/** An endpoint; `Endpoint` of balance/ fits. */
export interface TapEndpoint {
  readonly address: string
  readonly port: number
  readonly info: { readonly identity: string }
}

/** One request as one tap follows it; a chain where several do. */
export class Tapped {
  readonly id: number
  /** The same request as another tap follows it. */
  readonly next: Tapped | null
  readonly labels: TapLabels
  readonly source: TapSource
  readonly method: string
  readonly authority: string
  readonly path: string
  readonly scheme: string
  /** Names and values in turn. */
  readonly fields: readonly string[]
  server: string
  serverId = ""
  tls: string
  /** Milliseconds from the request's head to that of the response; -1 before. */
  headAfterMs = -1
  status = 0
  proxyError = ""
  /** Something of it was left out. */
  lossy = false
  private readonly tap: Tap
  private readonly startedMs: number
  /** Told that it was begun. */
  private told = false
  /** The endpoint is none that the tap asks for. */
  private foreign = false
  /** Not told of: over the limit. */
  private over = false

  constructor(
    tap: Tap,
    id: number,
    source: TapSource,
    labels: TapLabels,
    head: TapRequestHead,
    startedMs: number,
    next: Tapped | null,
  ) {
    this.tap = tap
    this.id = id
    this.next = next
    this.source = source
    this.labels = labels
    this.startedMs = startedMs
    this.method = shortened(head.method)
    this.authority = shortened(head.authority)
    this.path = shortened(head.path)
    this.scheme = head.header(":scheme") ?? "http"
    this.server = source.destination
    this.tls = labels.tls ?? "no_identity"
    this.fields = tap.match.headers === HEADERS_NONE ? [] : fieldsOf(head, tap.match.headers)
    // Until an endpoint is chosen nobody knows whether it is one that is asked for.
    this.foreign = labels.direction === 1 && tap.match.peers !== null
  }

  /** Wall clock at the request's head, milliseconds since 1970. */
  get wallMs(): number {
    return this.tap.wallMs(this.startedMs)
  }

  /** An endpoint was chosen; again, where the request is sent again. */
  picked(endpoint: TapEndpoint, tls: TlsLabel): void {
    this.next?.picked(endpoint, tls)
    if (this.told) return
    const { address, port, info } = endpoint
    this.server = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`
    if (this.labels.direction === 1) {
      this.tls = tls
      this.serverId = tls === "true" ? info.identity : ""
      const { peers } = this.tap.match
      this.foreign = peers !== null && !peers.has(address)
    }
    if (!this.foreign && !this.tap.match.late) this.begin()
  }

  /** The head of the final response came. */
  head(status: number, nowMs: number): void {
    this.next?.head(status, nowMs)
    this.status = status
    this.headAfterMs = nowMs - this.startedMs
    if (this.told) this.tap.tellHead(this)
  }

  /** The proxy answers by itself. @param proxyError  value of conduit-proxy-error */
  refused(proxyError: string): void {
    this.next?.refused(proxyError)
    this.proxyError = proxyError
  }

  /** It is over. @param grpcStatus  -1 for none */
  ended(
    status: number,
    grpcStatus: number,
    failed: boolean,
    error: string,
    bytes: number,
    nowMs: number,
  ): void {
    this.next?.ended(status, grpcStatus, failed, error, bytes, nowMs)
    const { tap } = this
    const afterMs = nowMs - this.startedMs
    this.status = status
    if (this.foreign) return
    if (!this.told) {
      tap.at(nowMs)
      if (tap.match.late && !tap.match.takesEnd(status, afterMs, failed)) return
      this.begin()
      if (!this.told) return
      if (this.headAfterMs >= 0) tap.tellHead(this)
    }
    tap.tellEnd(this, grpcStatus, failed, error, bytes, afterMs)
  }

  private begin(): void {
    if (this.over) return
    this.over = !this.tap.tellBegun(this)
    this.told = !this.over
  }
}

function shortened(text: string): string {
  return text.length <= MAX_TAP_TEXT_CHARS ? text : `${text.slice(0, MAX_TAP_TEXT_CHARS - 3)}...`
}

function fieldsOf(head: TapRequestHead, headers: number): string[] {
  const fields: string[] = []
  head.fieldsTo?.((name, value) => {
    if (fields.length >= 2 * MAX_TAP_FIELDS) return
    fields.push(name, headers === HEADERS_VALUES && !isSecretField(name) ? shortened(value) : REDACTED)
  })
  return fields
}
