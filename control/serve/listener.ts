// One port that serves HTTP/1.1, HTTP/2 with prior knowledge (h2c) and either over TLS alike: the first bytes of a
// connection tell them apart, and the socket is handed to the server that speaks that version.
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from "node:http"
import {
  createServer as createHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2"
import { type AddressInfo, createServer as createTcp, type Socket } from "node:net"
import { setPeer } from "../tls/mod.ts"
import { type KeepaliveOptions, keepAlive, PING_INTERVAL_MS } from "./keepalive.ts"
import { endTls, TLS_HANDSHAKE_BYTE, type TlsOptions } from "./tls_port.ts"

/** A connection that has sent nothing for this long is closed: it holds a descriptor for nothing. */
export const FIRST_BYTES_TIMEOUT_MS = 10_000
/** Most connections of one port: twice what one process was measured to serve (10,000 proxies). */
export const MAX_CONNECTIONS = 20_000
/** How the HTTP/2 preface begins (RFC 9113 section 3.4); no HTTP/1 method does. */
const PREFACE_START = "PRI"

/** Answers a request of either version. */
export type RequestHandler = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void

/** What a listener serves. */
export interface ListenOptions {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  /** Answers requests; those of HTTP/1.1 only when `onStream` is given. */
  readonly onRequest: RequestHandler
  /** Takes every HTTP/2 stream instead of `onRequest`. Default: `onRequest` answers those too. */
  readonly onStream?: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void
  /** Intervals of PINGs to HTTP/2 peers. */
  readonly keepalive?: KeepaliveOptions
  /** TLS beside or instead of plaintext; who the peer is says `peerOf`. Default: plaintext only. */
  readonly tls?: TlsOptions | undefined
}

/** A port that is being served. */
export interface Listening {
  /** Port, also when any was asked for. */
  readonly port: number
  /** Stops listening and cuts every connection. */
  close(): void
}

/**
 * Starts to serve a port.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export function listen(options: ListenOptions): Promise<Listening> {
  const { host, port, onRequest, onStream, tls } = options
  const sockets = new Set<Socket>()
  const http1 = createHttp1(onRequest)
  // A server with a "request" listener answers wantTrailers of every stream itself, so it is one or the other.
  const http2 = createHttp2()
  http2.on("session", (session: Http2Session) => {
    session.on("error", () => session.destroy())
    keepAlive(session, options.keepalive)
  })
  if (onStream === undefined) http2.on("request", onRequest)
  else http2.on("stream", onStream)
  const front = createTcp(socket => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    socket.on("error", () => socket.destroy())
    socket.setNoDelay(true)
    // HTTP/1.1 has no PING: the kernel asks peers that have gone quiet.
    socket.setKeepAlive(true, PING_INTERVAL_MS)
    peek(socket, version => {
      if (version === "tls" && tls !== undefined) {
        endTls(socket, tls, (connection, peer) => {
          if (tls.alpn === "http/1.1") {
            http1.emit("connection", connection)
            return
          }
          // The server makes the session of a connection before it returns. Should it ever not, nobody may be
          // taken for the next one who comes: the connection is closed.
          let named = false
          const name = (session: Http2Session): void => {
            named = true
            if (peer !== null) setPeer(session, peer)
          }
          http2.once("session", name)
          http2.emit("connection", connection)
          http2.off("session", name)
          if (!named) connection.destroy()
        })
      } else if (tls?.plaintext === "refused") {
        tls.onRefused("plaintext", `${socket.remoteAddress} was refused: this port takes TLS only`)
        socket.destroy()
      } else {
        ;(version === "http2" ? http2 : http1).emit("connection", socket)
        // Not before TLS: whoever ends it reads by itself, and the first bytes would be lost to it.
        socket.resume()
      }
    })
  })
  front.maxConnections = MAX_CONNECTIONS
  return new Promise((resolve, reject) => {
    // Also after it listens: a failed accept (EMFILE) must not end the process, and a second reject does nothing.
    front.on("error", error => {
      const code = (error as NodeJS.ErrnoException).code
      const reason =
        code === "EADDRINUSE" ? "another process listens there already" : `${code ?? error.message}`
      reject(new Error(`cannot listen on ${host}:${port}: ${reason}`, { cause: error }))
    })
    front.listen(port, host, () => {
      resolve({
        port: (front.address() as AddressInfo).port,
        close: () => {
          front.close()
          for (const socket of sockets) socket.destroy()
        },
      })
    })
  })
}

/**
 * Waits for enough bytes to know the version, gives them back to the socket, and tells. Nothing of this outlives the
 * decision: a control plane holds ten thousand connections open.
 */
function peek(socket: Socket, decided: (version: "http1" | "http2" | "tls") => void): void {
  let seen: Buffer = Buffer.alloc(0)
  const timer = setTimeout(() => socket.destroy(), FIRST_BYTES_TIMEOUT_MS)
  const gone = (): void => clearTimeout(timer)
  const take = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const start = seen.toString("latin1", 0, PREFACE_START.length)
    if (start.length < PREFACE_START.length && PREFACE_START.startsWith(start)) return
    clearTimeout(timer)
    socket.off("close", gone)
    socket.off("data", take)
    socket.pause()
    socket.unshift(seen)
    decided(seen[0] === TLS_HANDSHAKE_BYTE ? "tls" : start === PREFACE_START ? "http2" : "http1")
  }
  socket.once("close", gone)
  socket.on("data", take)
}
