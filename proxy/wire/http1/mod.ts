// The public face of the HTTP/1 codec: heads, body framing, and what can be wrong with them. RFC 9112, sans-I/O.
export {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_TUNNEL,
  BODY_UNTIL_CLOSE,
  type BodyKind,
  BodyScanner,
} from "./body_scanner.ts"
export { describeFault, type Fault, PARSE_NEED_MORE } from "./fault.ts"
export { HeadAssembler } from "./head_assembler.ts"
export * from "./limits.ts"
export { CODING_NONE, CONNECTION_CLOSE, CONNECTION_KEEP_ALIVE, CONNECTION_UPGRADE } from "./message_head.ts"
export {
  isIdempotent,
  METHOD_CONNECT,
  METHOD_DELETE,
  METHOD_GET,
  METHOD_HEAD,
  METHOD_OPTIONS,
  METHOD_OTHER,
  METHOD_PATCH,
  METHOD_POST,
  METHOD_PUT,
  METHOD_TRACE,
  RequestHead,
} from "./request_head.ts"
export { ResponseHead } from "./response_head.ts"
export { spliceHead } from "./splice_head.ts"
export { TextCache } from "./text_cache.ts"
