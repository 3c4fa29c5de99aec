// What routing, balancing and telemetry see of a request head, whatever the wire version.

/** A request head. Both codecs implement it; getters may be lazy, so that what nobody asks costs nothing. */
export interface RequestView {
  /** As sent. */
  readonly method: string
  /** Host or :authority as sent, "" if none. Interned by the engines: the same text is the same string. */
  readonly authority: string
  /** Path and query of the request target as sent. */
  readonly path: string
  /** Minor version of HTTP/1; absent in HTTP/2. */
  readonly minor?: number
  /** Whether the content type begins with `application/grpc`. */
  readonly isGrpc: boolean
  /** Protocol that the connection is to change to (HTTP/1), in lower case; "" for none. */
  readonly upgrade: string
  /** First value of a field by its name in lower case; slow. */
  header(lowerCaseName: string): string | undefined
  /** All values of a field by its name in lower case, joined by commas (RFC 9110 section 5.3); slow. */
  values(lowerCaseName: string): string | undefined
  /** Calls back with each field but pseudo-headers, its name in lower case; slow. Absent: it has none to show. */
  fieldsTo?(visit: (name: string, value: string) => void): void
}
