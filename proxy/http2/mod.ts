// The public face of http2/: the engine of HTTP/2.
export { serveHttp2 } from "./proxy.ts"
