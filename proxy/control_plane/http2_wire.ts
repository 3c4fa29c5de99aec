// What the client of the control plane borrows from the HTTP/2 codec of the data path.
export { FieldTable } from "../wire/http2/field_table.ts"
export * from "../wire/http2/frame.ts"
export type { HeaderField } from "../wire/http2/header_field.ts"
export { DECODE_OK, HpackDecoder } from "../wire/http2/hpack_decoder.ts"
