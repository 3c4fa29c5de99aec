// gRPC over HTTP/2 by hand (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): the conformance kit must be able to send
// what no client library would, and to see what came instead of an answer.
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2"
import { Code } from "@connectrpc/connect"

/** Where a plugin is, and how it is called. */
export interface WireTarget {
  /** `host:port`, as `spec.address` of a Plugin object. */
  readonly address: string
  /** Null: plaintext (h2c). */
  readonly tls: {
    /** PEM; empty: the authorities that the system trusts. */
    readonly ca: string
    /** Name that the certificate must bear; empty: the host of the address. */
    readonly serverName: string
  } | null
}

/** How a call ended. */
export interface Ended {
  /** Status of gRPC, 0 to 16; `BROKEN` where the connection or the stream ended without one. */
  readonly code: number
  readonly message: string
}

/** No status came. */
export const BROKEN = -1
/** The kit has given up waiting. */
export const GAVE_UP = -2
/** How long a connection may take, milliseconds. */
export const CONNECT_TIMEOUT_MS = 5_000
/** Longest answer that is read: more than the control plane takes. */
export const MAX_ANSWER_BYTES = 16 * 1024 * 1024

/** A status as people know it, such as `INVALID_ARGUMENT (3)`. */
export function endedText({ code, message }: Ended): string {
  if (code === GAVE_UP) return message
  if (code === BROKEN) return `no gRPC status: ${message}`
  const name =
    code === 0 ? "OK" : (Code[code] ?? "unknown status").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase()
  return `${name} (${code})${message === "" ? "" : `: ${message.slice(0, 200)}`}`
}

/** A connection to a plugin. */
export class Wire implements Disposable {
  readonly #session: ClientHttp2Session

  private constructor(session: ClientHttp2Session) {
    this.#session = session
    // What breaks a connection is seen by the calls on it.
    session.on("error", () => {})
  }

  /** Connects. @throws Error when nothing answers there, or not HTTP/2 */
  static async open({ address, tls }: WireTarget): Promise<Wire> {
    const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "")
    const session = connect(`${tls === null ? "http" : "https"}://${address}`, {
      ...(tls === null || tls.ca === "" ? {} : { ca: tls.ca }),
      ...(tls === null ? {} : { servername: tls.serverName || host }),
    })
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        session.destroy()
        reject(new Error(`it did not speak HTTP/2 within ${CONNECT_TIMEOUT_MS / 1000} s`))
      }, CONNECT_TIMEOUT_MS)
      const failed = (error: Error): void => {
        clearTimeout(timer)
        reject(error)
      }
      session.once("error", failed)
      // The settings of the other side are the first thing that only a server of HTTP/2 says.
      session.once("remoteSettings", () => {
        clearTimeout(timer)
        session.off("error", failed)
        resolve()
      })
    })
    return new Wire(session)
  }

  /** Begins a call. @param path such as `/conduit.plugin.v1.PluginService/Describe` */
  call(path: string, timeoutMs: number): WireCall {
    return new WireCall(
      this.#session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc+proto",
        te: "trailers",
        "grpc-timeout": `${Math.ceil(timeoutMs)}m`,
        "user-agent": "conduit-plugin-check",
      }),
    )
  }

  /** Ends the connection at once, whatever is under way on it. */
  [Symbol.dispose](): void {
    this.#session.destroy()
  }
}

/** A call. */
export class WireCall {
  /** How it ended, once it has. */
  readonly ended: Promise<Ended>
  readonly #stream: ClientHttp2Stream
  readonly #messages: Uint8Array[] = []
  #buffer = Buffer.alloc(0)
  #over = false
  #wake: (() => void) | null = null

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream
    this.ended = new Promise(resolve => {
      let status: Ended | null = null
      let failure = ""
      const read = (headers: Record<string, unknown>): void => {
        const code = headers["grpc-status"]
        if (code !== undefined)
          status = { code: Number(code), message: decoded(String(headers["grpc-message"] ?? "")) }
      }
      stream.on("response", headers => {
        if (headers[":status"] !== 200) failure = `HTTP status ${headers[":status"]}`
        else read(headers)
        if (status !== null) end()
      })
      stream.on("trailers", headers => {
        read(headers)
        end()
      })
      stream.on("data", (chunk: Buffer) => this.#take(chunk))
      stream.on("error", error => {
        failure ||= error.message
      })
      // Once a server has said its status nothing more comes, whether the client has ended its side or not.
      const end = (): void => {
        this.#over = true
        resolve(status ?? { code: BROKEN, message: failure || "the stream ended" })
        this.#wake?.()
        this.cancel()
      }
      stream.on("close", end)
    })
  }

  /** Whether it has ended. */
  get over(): boolean {
    return this.#over
  }

  /** Sends a message. */
  send(message: Uint8Array): this {
    const head = Buffer.alloc(5)
    head.writeUInt32BE(message.length, 1)
    if (!this.#stream.destroyed && !this.#stream.writableEnded)
      this.#stream.write(Buffer.concat([head, message]))
    return this
  }

  /** There are no more messages. */
  end(): this {
    if (!this.#stream.destroyed) this.#stream.end()
    return this
  }

  /** Cancels, as a client does whose deadline has passed. */
  cancel(): void {
    if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_CANCEL)
  }

  /** The next answer; null when the call has ended, or nothing has come in time. */
  async next(timeoutMs: number): Promise<Uint8Array | null> {
    const until = performance.now() + timeoutMs
    for (;;) {
      const message = this.#messages.shift()
      if (message !== undefined) return message
      const left = until - performance.now()
      if (this.#over || left <= 0) return null
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** How it ends within a time; cancelled otherwise. */
  async within(timeoutMs: number): Promise<Ended> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<Ended>(resolve => {
      timer = setTimeout(() => {
        this.cancel()
        resolve({ code: GAVE_UP, message: `nothing within ${Math.round(timeoutMs)} ms` })
      }, timeoutMs)
    })
    try {
      return await Promise.race([this.ended, late])
    } finally {
      clearTimeout(timer)
    }
  }

  #take(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk])
    while (this.#buffer.length >= 5) {
      const length = this.#buffer.readUInt32BE(1)
      if (length > MAX_ANSWER_BYTES) {
        this.cancel()
        return
      }
      if (this.#buffer.length < 5 + length) return
      this.#messages.push(new Uint8Array(this.#buffer.subarray(5, 5 + length)))
      this.#buffer = this.#buffer.subarray(5 + length)
      this.#wake?.()
    }
  }
}

/** `grpc-message` is percent-encoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
