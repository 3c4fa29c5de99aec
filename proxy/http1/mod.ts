// The public face of http1/: the engine of HTTP/1.
export { serveHttp1 } from "./proxy.ts"
