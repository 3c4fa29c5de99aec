// Answers of the API as bytes: what one page was told is told to the next without being read, made anew or compressed again.
// Of the Connect protocol its unary calls in protobuf, which is what pages ask by; all else is served by Connect's own code.
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"
import { type DescMethodUnary, fromBinary, toBinary } from "@bufbuild/protobuf"
import { type Empty, EmptySchema } from "@bufbuild/protobuf/wkt"
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect"
import { DASHBOARD_CALLS } from "../../deploy/web/mod.ts"
import { ApiService } from "../../protos/mod.ts"
import { told } from "./api_error.ts"
import { SHARED_MS, SHARED_SLOW_MS, SharedAnswers } from "./shared_answers.ts"

/** Longest question that is compared with others, bytes: policies to be tried are one person's own. */
export const MAX_SHARED_QUESTION_BYTES = 1024
/** Shorter answers are not worth compressing, bytes; as Connect has it. */
const MIN_COMPRESSED_BYTES = 1024
/** After so many bytes of answers, and not sooner than so many milliseconds later, what they have left behind is given back:
 *  left to itself the collector lets 63 MB stand where 45 do. It takes some 30 ms, which nobody notices in a page. */
const [RELEASED_AFTER_BYTES, RELEASED_AFTER_MS] = [1024 * 1024, 5000]
/** Calls whose answers stay as they are for seconds. */
const SLOW_CALLS: ReadonlySet<string> = new Set(["TimeSeries", "Events"])
/** Called in this process's name, and read by nobody: of a message without fields every field is kept as it came. */
const OPAQUE = { input: EmptySchema, output: EmptySchema } as const

type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse

interface Encoded {
  readonly status: number
  readonly type: string
  readonly plain: Uint8Array
  /** Null where it would not be smaller. */
  readonly gzip: Uint8Array | null
}

/** Answers the pages' own questions. */
export class EncodedAnswers {
  private readonly shared = new SharedAnswers()
  private readonly methods: ReadonlyMap<string, DescMethodUnary>
  private readonly transport: () => Transport
  private unreleasedBytes = 0
  private releasedAtMs = 0

  /** @param transport  the way to the API at the moment; throws a ConnectError while there is none */
  constructor(transport: () => Transport) {
    this.transport = transport
    const names = DASHBOARD_CALLS as readonly string[]
    this.methods = new Map(
      ApiService.methods
        .filter(method => method.methodKind === "unary" && names.includes(method.name))
        .map(method => [`/${ApiService.typeName}/${method.name}`, method as DescMethodUnary]),
    )
  }

  /** Answers a request, if it is one that others may ask too. @returns whether it is */
  take(path: string, request: Request, response: Response): boolean {
    const method = this.methods.get(path)
    const { headers } = request
    const bytes = Number(headers["content-length"] ?? Number.NaN)
    const fits =
      request.method === "POST" &&
      headers["content-type"] === "application/proto" &&
      (headers["content-encoding"] ?? "identity") === "identity" &&
      bytes <= MAX_SHARED_QUESTION_BYTES
    if (method === undefined || !fits) return false
    const parts: Buffer[] = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("error", () => {})
    request.on("end", () => {
      void this.ask(method, Buffer.concat(parts)).then(answer => {
        const takesGzip = /\bgzip\b/.test(String(headers["accept-encoding"] ?? ""))
        const body = takesGzip ? (answer.gzip ?? answer.plain) : answer.plain
        response.statusCode = answer.status
        response.setHeader("content-type", answer.type)
        response.setHeader("content-length", body.length)
        if (body === answer.gzip) response.setHeader("content-encoding", "gzip")
        response.end(body)
        this.release()
      })
    })
    return true
  }

  private release(): void {
    const nowMs = performance.now()
    if (this.unreleasedBytes < RELEASED_AFTER_BYTES || nowMs - this.releasedAtMs < RELEASED_AFTER_MS) return
    this.unreleasedBytes = 0
    this.releasedAtMs = nowMs
    setImmediate(() => Bun.shrink())
  }

  private async ask(method: DescMethodUnary, question: Buffer): Promise<Encoded> {
    const find = async (): Promise<Encoded> => {
      const message = opaque(question)
      const asked = { ...method, ...OPAQUE } as DescMethodUnary<typeof EmptySchema, typeof EmptySchema>
      // Who asked first may go: the others still wait, at most until the call's own deadline.
      const answer = await this.transport().unary(asked, undefined, undefined, undefined, message)
      const bytes = toBinary(EmptySchema, answer.message)
      this.unreleasedBytes += bytes.length
      return encoded(200, "application/proto", bytes)
    }
    try {
      const key = `${method.name} ${question.toString("latin1")}`
      return await this.shared.ask(key, find, SLOW_CALLS.has(method.name) ? SHARED_SLOW_MS : SHARED_MS)
    } catch (error) {
      const known = told(error)
      return encoded(codeToHttpStatus(known.code), "application/json", errorToJsonBytes(known, undefined))
    }
  }
}

function opaque(question: Uint8Array): Empty {
  try {
    return fromBinary(EmptySchema, question)
  } catch (error) {
    const sentence = "the request is no message in protobuf"
    throw new ConnectError(sentence, Code.InvalidArgument, undefined, undefined, error)
  }
}

function encoded(status: number, type: string, plain: Uint8Array): Encoded {
  const gzip = plain.length < MIN_COMPRESSED_BYTES ? null : Bun.gzipSync(plain as Uint8Array<ArrayBuffer>)
  return { status, type, plain, gzip: gzip !== null && gzip.length < plain.length ? gzip : null }
}
