// The public face of wire/: what protocol first bytes speak. The codecs' own folders have faces of their own.
export { isPrintable } from "./ascii.ts"
export * from "./client_hello.ts"
export * from "./detect.ts"
export * from "./http1/mod.ts"
export * from "./http2/mod.ts"
export * from "./replay_body.ts"
