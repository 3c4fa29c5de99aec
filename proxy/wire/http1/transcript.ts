// Reads a byte stream, cut anywhere, into a list of what the codec saw. For tests: it drives the codec as the engine does.
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BodyScanner } from "./body_scanner.ts"
import { describeFault, PARSE_NEED_MORE } from "./fault.ts"
import { HeadAssembler } from "./head_assembler.ts"
import type { MessageHead } from "./message_head.ts"
import { METHOD_GET, RequestHead } from "./request_head.ts"
import { ResponseHead } from "./response_head.ts"
import { latin1, TextCache } from "./text_cache.ts"

/** Reads messages of one direction. */
export class Transcript {
  /** What was seen, in order: `head ...`, `end`, or `fault ...` as the last. */
  readonly events: string[] = []
  /** Number of the fault that ended it, 0 while there is none. */
  fault = 0
  /** Body bytes of the message under way, and of all before. */
  body = ""
  private readonly request: RequestHead | null
  private readonly response: ResponseHead | null
  private readonly scanner = new BodyScanner()
  private readonly assembler = new HeadAssembler()
  private inBody = false

  constructor(direction: "requests" | "responses") {
    this.request = direction === "requests" ? new RequestHead(new TextCache()) : null
    this.response = direction === "responses" ? new ResponseHead() : null
  }

  /** Bytes kept for a head that is not complete. */
  get keptBytes(): number {
    return this.assembler.keptBytes
  }

  /** Takes the next bytes of the stream. */
  feed(chunk: Uint8Array): void {
    let bytes: Uint8Array | null = chunk
    while (bytes !== null && bytes.length > 0 && this.fault === 0) {
      bytes = this.inBody ? this.readBody(bytes) : this.readHead(bytes)
    }
  }

  private readHead(chunk: Uint8Array): Uint8Array | null {
    const bytes = this.assembler.isEmpty ? chunk : this.assembler.join(chunk)
    if (bytes === null) return null
    const head = (this.request ?? this.response) as RequestHead | ResponseHead
    const end = head.parse(bytes, 0, bytes.length)
    if (end === PARSE_NEED_MORE) {
      if (head.start < bytes.length) this.assembler.keep(bytes, head.start, bytes.length)
      return null
    }
    if (end < 0) {
      this.fail(end)
      return null
    }
    this.events.push(`head ${this.describe(head)}`)
    this.beginBody()
    this.inBody = true
    return this.scanner.done ? this.endBody(bytes, end) : bytes.subarray(end)
  }

  private beginBody(): void {
    const { request, response, scanner } = this
    if (response !== null) scanner.begin(response.bodyKind(METHOD_GET), response.contentLength)
    else if (request?.isChunked) scanner.begin(BODY_CHUNKED, 0)
    else if (request !== null && request.contentLength > 0) scanner.begin(BODY_LENGTH, request.contentLength)
    else scanner.begin(BODY_NONE, 0)
  }

  private readBody(bytes: Uint8Array): Uint8Array | null {
    const end = this.scanner.scan(bytes, 0, bytes.length)
    this.body += latin1(bytes, 0, end)
    if (this.scanner.fault !== 0) {
      this.fail(this.scanner.fault)
      return null
    }
    return this.scanner.done ? this.endBody(bytes, end) : null
  }

  private endBody(bytes: Uint8Array, end: number): Uint8Array {
    this.inBody = false
    this.events.push(`end after ${this.body.length}`)
    return bytes.subarray(end)
  }

  private fail(fault: number): void {
    this.fault = fault
    this.events.push(`fault ${describeFault(fault).text}`)
  }

  private describe(head: MessageHead): string {
    const { request, response } = this
    const raw = latin1(head.bytes, head.start, head.end)
    const framing = `length ${head.contentLength} coding ${head.coding} connection ${head.connection}`
    if (response !== null) return `${response.status} ${framing} ${JSON.stringify(raw)}`
    return `${request?.method} ${request?.authority} ${request?.path} ${framing} ${JSON.stringify(raw)}`
  }
}
