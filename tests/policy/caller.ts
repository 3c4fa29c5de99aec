// Makes the calls of policy cases from within a pod: `bun caller.ts`; a line of JSON on its input is a call, a line on
// its output what came of it.
import { connect as connectHttp2 } from "node:http2"
import { connect } from "node:net"
import { connect as connectTls } from "node:tls"
import type { Expected, Via } from "./cases.ts"

/** A call. */
export interface Call {
  readonly via: Via
  readonly host: string
  readonly port: number
  readonly method: string
  readonly path: string
  readonly wrongHost: boolean
  /** Bytes of a body to send (HTTP/1). */
  readonly bodyBytes?: number
  /** Calls as a proxy of the mesh does, with this certificate (HTTP/1). */
  readonly tls?: CallerTls
}

/** What a caller shows, and whom it calls; PEM. */
export interface CallerTls {
  readonly key: string
  readonly cert: string
  readonly ca: string
  readonly servername: string
}

/** What came of it, or a sentence about something else. */
export type Outcome = Expected | string

const PATIENCE_MS = 4_000

function byHttp1({ host, port, method, path, bodyBytes = 0, tls }: Call): Promise<Outcome> {
  return new Promise(resolve => {
    const socket =
      tls === undefined
        ? connect({ host, port })
        : connectTls({ host, port, ...tls, ALPNProtocols: ["conduit.http1"], minVersion: "TLSv1.3" })
    let text = ""
    const timer = setTimeout(() => done("no answer"), PATIENCE_MS)
    const done = (outcome: Outcome): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(outcome)
    }
    socket.on(tls === undefined ? "connect" : "secureConnect", () => {
      const length = bodyBytes > 0 ? `content-length: ${bodyBytes}\r\n` : ""
      socket.write(`${method} ${path} HTTP/1.1\r\nhost: api\r\n${length}\r\n${"x".repeat(bodyBytes)}`)
    })
    socket.on("data", chunk => {
      text += chunk.toString("latin1")
      if (!text.includes("\r\n\r\n")) return
      const status = Number(text.slice(9, 12))
      const error = /^conduit-proxy-error: (\S+); id=/im.exec(text)?.[1]
      if (error === undefined) done("allowed")
      else
        done(
          error === "denied" && status === 403
            ? "denied"
            : status === 400
              ? "malformed"
              : `${status} ${error}`,
        )
    })
    socket.on("error", error => done(error.message))
    socket.on("close", () => done("closed"))
  })
}

function byHttp2({ via, host, port, method, path, wrongHost }: Call): Promise<Outcome> {
  return new Promise(resolve => {
    const session = connectHttp2(`http://${host.includes(":") ? `[${host}]` : host}:${port}`)
    const timer = setTimeout(() => done("no answer"), PATIENCE_MS)
    const done = (outcome: Outcome): void => {
      clearTimeout(timer)
      session.destroy()
      resolve(outcome)
    }
    session.on("error", error => done(error.message))
    const stream = session.request({
      ":method": method,
      ":path": path,
      ":authority": "api",
      ...(wrongHost ? { host: "other" } : {}),
      ...(via === "grpc" ? { "content-type": "application/grpc", te: "trailers" } : {}),
    })
    stream.on("response", headers => {
      const error = String(headers["conduit-proxy-error"] ?? "")
      const status = headers[":status"]
      const right = via === "grpc" ? headers["grpc-status"] === "7" : status === 403
      if (error === "") done("allowed")
      else done(/^denied; id=/.test(error) && right ? "denied" : `${status} ${error}`)
    })
    stream.on("error", error => done(/PROTOCOL_ERROR/.test(error.message) ? "malformed" : error.message))
    stream.end()
  })
}

function byTcp({ host, port }: Call): Promise<Outcome> {
  return new Promise(resolve => {
    const socket = connect({ host, port })
    const timer = setTimeout(() => done("no answer"), PATIENCE_MS)
    const done = (outcome: Outcome): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(outcome)
    }
    socket.on("connect", () => socket.write("hello\n"))
    socket.on("data", () => done("allowed"))
    socket.on("error", () => done("denied"))
    socket.on("close", () => done("denied"))
  })
}

if (import.meta.main) {
  console.log("ready")
  for await (const line of console) {
    const call = JSON.parse(line) as Call
    const make = call.via === "http1" ? byHttp1 : call.via === "tcp" ? byTcp : byHttp2
    console.log(JSON.stringify(await make(call)))
  }
}
