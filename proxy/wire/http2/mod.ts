// The public face of wire/http2/: one HTTP/2 connection without its socket.
export { FieldTable } from "./field_table.ts"
export {
  CANCEL,
  CLIENT_PREFACE,
  CONNECT_ERROR,
  ENHANCE_YOUR_CALM,
  errorName,
  HTTP_1_1_REQUIRED,
  INADEQUATE_SECURITY,
  INTERNAL_ERROR,
  NO_ERROR,
  PROTOCOL_ERROR,
  REFUSED_STREAM,
} from "./frame.ts"
export { type ByteSink, OUTPUT_HIGH_WATER_BYTES } from "./frame_writer.ts"
export { withoutProxyError } from "./head_scan.ts"
export {
  type HeaderField,
  type HeaderName,
  KIND_AUTHORITY,
  KIND_HOST,
  KIND_PATH,
  LAST_PSEUDO,
} from "./header_field.ts"
export { MAX_HEADER_FIELDS, MAX_HEADER_LIST_BYTES } from "./hpack_decoder.ts"
export { Session } from "./session.ts"
export type { SessionEvents } from "./session_events.ts"
export { CONNECTION_WINDOW_BYTES, discardQueue, MAX_CONCURRENT_STREAMS } from "./session_output.ts"
export { MAX_WINDOW_BYTES, STREAM_WINDOW_BYTES } from "./settings.ts"
export { type BodyTap, END_NONE, END_STREAM, END_TRAILERS, Stream } from "./stream.ts"
