// What a session tells its owner (RFC 9113): requests, responses, ends and failures of streams and of the connection.
import type { HeaderField } from "./header_field.ts"
import type { Stream } from "./stream.ts"

/** Takes what happens on a connection. All calls are made from within `receive` or `pump`. */
export interface SessionEvents {
  /** A well-formed request; `session.scan` tells more. Open it with `accept`, or `refuse` it. */
  onRequest(id: number, fields: HeaderField[], endStream: boolean): void
  /** A request whose head is over the limits: answer 431. */
  onRequestTooLarge(id: number, endStream: boolean): void
  /** A request that was malformed, and reset. */
  onRequestMalformed(message: string): void
  /** A well-formed response head, interim (1xx) or final. */
  onResponse(stream: Stream, fields: HeaderField[], endStream: boolean): void
  onTrailers(stream: Stream, fields: HeaderField[]): void
  /** END_STREAM came, and what came before it has been passed on or queued. Follows `onResponse` and `onTrailers` too. */
  onRemoteEnd(stream: Stream): void
  /** END_STREAM was sent. */
  onLocalEnd(stream: Stream): void
  /** The peer reset the stream, which is closed now. */
  onReset(stream: Stream, code: number): void
  /** The peer broke the protocol on the stream; it was reset with `code` and is closed now. */
  onStreamError(stream: Stream, code: number, message: string): void
  onSettings(): void
  onGoaway(lastId: number, code: number): void
  onPingAck(): void
  /** The stream was closed, in whatever way; `streams` no longer holds it. */
  onClosed(stream: Stream): void
  /** The peer broke the protocol; GOAWAY was sent. Close the connection. */
  onConnectionError(code: number, message: string): void
}
