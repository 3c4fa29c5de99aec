// One POST of OTLP over HTTP/1.1 on a connection of its own, a second apart at most (opentelemetry.io, OTLP/HTTP). The
// runtime's client would bring a thread and its memory into the proxy.
import type { Conn, ConnHandler } from "../net/mod.ts"

/** Time for one export, connect included. */
export const EXPORT_TIMEOUT_MS = 10_000

/** Head of an answer that is read at most. */
const MAX_ANSWER_HEAD_BYTES = 16 * 1024

/** What became of an export. */
export interface PostResult {
  /** Status of the answer; 0 where none came. */
  readonly status: number
  /** Seconds of the Retry-After field; 0 for none. */
  readonly retryAfterS: number
  /** Why no answer came; "" where one did. */
  readonly error: string
}

/** Sends one export; never rejects. */
export type Post = (body: Uint8Array) => Promise<PostResult>

/** Connects to an IP address; rejects where there is nothing to connect to. */
export type Connect = (address: string, port: number, handler: ConnHandler) => Promise<Conn>

/** How the collector is reached. */
export interface PostOptions {
  /** `host:port` of the collector. */
  readonly address: string
  readonly userAgent: string
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly connect: Connect
}

/** Makes the sender. */
export function createPost({ address, userAgent, resolve, connect }: PostOptions): Post {
  const colon = address.lastIndexOf(":")
  const host = address.slice(0, colon).replace(/^\[|\]$/g, "")
  const port = Number(address.slice(colon + 1))
  return async body => {
    let ip: string | undefined
    try {
      ip = (await resolve(host))[0]
    } catch (error) {
      return { status: 0, retryAfterS: 0, error: `${host} could not be resolved: ${error}` }
    }
    if (ip === undefined) return { status: 0, retryAfterS: 0, error: `${host} has no address` }
    // `b3: 0`: where the collector is in the mesh, its proxy makes no span of this.
    const head =
      `POST /v1/traces HTTP/1.1\r\nHost: ${address}\r\nUser-Agent: ${userAgent}\r\nb3: 0\r\n` +
      `Content-Type: application/x-protobuf\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`
    const { promise, resolve: done } = Promise.withResolvers<PostResult>()
    const exchange = new PostExchange(done)
    try {
      const conn = await connect(ip, port, exchange)
      exchange.watch(conn)
      conn.write(Buffer.concat([Buffer.from(head, "latin1"), body]))
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      return { status: 0, retryAfterS: 0, error: `${address}: ${why}` }
    }
    return await promise
  }
}

class PostExchange implements ConnHandler {
  private readonly done: (result: PostResult) => void
  private text = ""
  private over = false
  private deadline: ReturnType<typeof setTimeout> | undefined

  constructor(done: (result: PostResult) => void) {
    this.done = done
  }

  watch(conn: Conn): void {
    this.deadline = setTimeout(() => {
      this.finish(0, 0, "no answer came in time")
      conn.reset()
    }, EXPORT_TIMEOUT_MS)
  }

  onOpen(): void {}

  onData(conn: Conn, chunk: Uint8Array): void {
    if (this.over) return
    this.text += Buffer.from(chunk).toString("latin1")
    const end = this.text.indexOf("\r\n\r\n")
    if (end < 0 && this.text.length <= MAX_ANSWER_HEAD_BYTES) return
    const status = Number(/^HTTP\/1\.[01] ([1-5]\d\d)/.exec(this.text)?.[1] ?? 0)
    const retryAfter = Number(/\r\nretry-after:\s*(\d{1,4})\r/i.exec(this.text.slice(0, end + 1))?.[1] ?? 0)
    this.finish(status, retryAfter, status === 0 ? "what came is no answer of HTTP/1.1" : "")
    // Its body says nothing that we would act on.
    conn.reset()
  }

  onDrain(): void {}

  onEnd(conn: Conn): void {
    this.finish(0, 0, "the connection was closed without an answer")
    conn.close()
  }

  onClose(_conn: Conn, error: string | null): void {
    this.finish(0, 0, error ?? "the connection was closed without an answer")
  }

  private finish(status: number, retryAfterS: number, error: string): void {
    if (this.over) return
    this.over = true
    clearTimeout(this.deadline)
    this.done({ status, retryAfterS, error })
  }
}
