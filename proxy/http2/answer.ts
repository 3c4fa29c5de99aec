// The proxy's own answers in HTTP/2: a head that ends the stream; trailers-only for gRPC callers.

import type { GuardAnswer } from "../http/mod.ts"
import { PROXY_ERROR_FIELD, type Refusal } from "../http/mod.ts"
import type { FieldTable, HeaderField } from "../wire/mod.ts"

/**
 * Fields of an answer.
 *
 * @param proxyError  value of the conduit-proxy-error field
 * @param isGrpc  the caller speaks gRPC and gets a gRPC status with HTTP 200
 * @param podIsEnding  the refusal comes of the pod being about to end, which gRPC callers are told
 * @param more  what is added
 */
export function answerFields(
  table: FieldTable,
  refusal: Refusal,
  proxyError: string,
  isGrpc: boolean,
  podIsEnding = false,
  more: GuardAnswer | null = null,
): HeaderField[] {
  const error = [
    table.transientField(PROXY_ERROR_FIELD, proxyError),
    ...(more?.fields ?? []).map(([name, value]) => table.transientField(name, value)),
  ]
  if (isGrpc) {
    return [
      table.transientField(":status", "200"),
      table.transientField("content-type", "application/grpc"),
      table.transientField("grpc-status", String(refusal.grpcStatus)),
      table.transientField(
        "grpc-message",
        `conduit: ${refusal.reason}${podIsEnding ? ": the pod is ending" : ""}${toldOf(more)}`,
      ),
      ...error,
    ]
  }
  return [
    table.transientField(":status", String(refusal.status)),
    table.transientField("content-length", "0"),
    ...error,
  ]
}

/** Percent signs begin encodings there ("gRPC over HTTP2", Status-Message). */
function toldOf(more: GuardAnswer | null): string {
  return more?.told === undefined ? "" : `: ${more.told.replaceAll("%", "%25")}`
}
