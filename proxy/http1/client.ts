// The client's side of the HTTP/1 engine: reads requests off an accepted connection, one after the other, keeps what
// comes too early, and holds the client to its deadlines. What becomes of a request is the engine's (proxy.ts).

import type { Drainable, HttpEnv, HttpService } from "../http/mod.ts"
import { REFUSAL_HEAD_TIMEOUT, type Refusal } from "../http/mod.ts"
import { type Conn, type ConnHandler, Timer } from "../net/mod.ts"
import {
  BodyScanner,
  describeFault,
  HeadAssembler,
  PARSE_NEED_MORE,
  RequestHead,
  TextCache,
} from "../wire/mod.ts"
import { refusalOf } from "./answer.ts"

/** From the first byte of a head to its last: what an honest client takes seconds for, and a slow loris never ends. */
export const HEAD_TIMEOUT_MS = 30_000

/**
 * How long a client may rest between requests. Long, because closing an idle connection makes the client's next
 * request fail if it is on its way; finite, because each costs memory. Envoy's figure.
 */
export const DOWNSTREAM_IDLE_MS = 3_600_000

/** Authorities as strings; every connection's clients name the same few. */
const authorities = new TextCache()

/** Waits for a head, or reads one. */
export const READING = 0
/** A request is on its way or being answered. */
export const EXCHANGING = 1
/** The last answer is out; what still comes is dropped. */
export const ENDING = 2

/** Reasons not to read from the client, as flags: a request under way, a dial under way, a full way to the server. */
export const PAUSE_PIPELINE = 1
export const PAUSE_CONNECT = 2
export const PAUSE_BACKPRESSURE = 4

const NEVER = Number.POSITIVE_INFINITY

/** Reads a client's requests. */
export abstract class ClientSide extends Timer implements ConnHandler, Drainable {
  protected readonly conn: Conn
  protected readonly service: HttpService
  protected readonly env: HttpEnv
  protected readonly head = new RequestHead(authorities)
  protected readonly requestBody = new BodyScanner()
  protected readonly assembler = new HeadAssembler()
  protected state = READING
  /** PAUSE_ reasons why the client is not read from. */
  protected pauses = 0
  /** Bytes that came before their time: pipelined requests, a body before the connection, a tunnel's first bytes. */
  protected pending: Uint8Array | null = null
  protected pumping = false
  protected draining = false
  /** Head and early body went to a server: more of the body may follow. */
  protected sent = false
  protected deadlineMs = NEVER

  constructor(conn: Conn, service: HttpService, env: HttpEnv) {
    super()
    this.conn = conn
    this.service = service
    this.env = env
    this.deadlineMs = env.clock.nowMs + HEAD_TIMEOUT_MS
    env.timers.schedule(this, HEAD_TIMEOUT_MS)
  }

  /** A whole head is in `head`, and ends in `bytes` at `headEnd`. */
  protected abstract begin(bytes: Uint8Array, headEnd: number): void

  /** More of the body of a request that was sent. */
  protected abstract forwardBody(chunk: Uint8Array): void

  /** Answers a head that is no request. */
  protected abstract refuseHead(refusal: Refusal, text: string): void

  /** The client's FIN behind a complete request. */
  protected abstract requestEnded(): void

  /** A body did not end in its time after its answer. */
  protected abstract answerTooLate(): void

  /** The client is gone, or will send no more of a request that is not complete. */
  protected abstract clientGone(): void

  abstract reexamine(): void

  drain(): void {
    this.draining = true
  }

  closeIfIdle(): void {
    if (this.state === READING && this.pending === null && this.assembler.isEmpty) this.close()
  }

  onOpen(): void {}

  onData(_conn: Conn, chunk: Uint8Array): void {
    if (this.state === READING) {
      this.pending = chunk
      this.pump()
    } else if (this.state === EXCHANGING) {
      if (this.requestBody.done || !this.sent) this.stash(chunk)
      else this.forwardBody(chunk)
    }
  }

  abstract onDrain(): void

  onEnd(): void {
    if (this.state === READING) {
      this.close()
    } else if (this.state === EXCHANGING) {
      if (!this.requestBody.done) this.clientGone()
      else if (this.pending === null) this.requestEnded()
    }
  }

  onClose(): void {
    this.env.timers.cancel(this)
    this.clientGone()
  }

  /** Of the timer: deadlines move without touching the wheel, so it may be early. */
  override fire(): void {
    const now = this.env.clock.nowMs
    if (now < this.deadlineMs) {
      const left = this.deadlineMs - now
      this.env.timers.schedule(this, Math.min(left, DOWNSTREAM_IDLE_MS))
    } else if (this.state === READING && !this.assembler.isEmpty) {
      this.refuseHead(REFUSAL_HEAD_TIMEOUT, "the request head did not come within 30 s")
    } else if (this.state === EXCHANGING) {
      this.answerTooLate()
    } else {
      this.close()
    }
  }

  protected setDeadline(delayMs: number): void {
    this.deadlineMs = this.env.clock.nowMs + delayMs
    // A later deadline is found by the timer when it fires; only an earlier one has to be told.
    if (delayMs < DOWNSTREAM_IDLE_MS) this.env.timers.schedule(this, delayMs)
  }

  protected stash(chunk: Uint8Array): void {
    this.pending = this.pending === null ? chunk : Buffer.concat([this.pending, chunk])
    this.pause(PAUSE_PIPELINE)
  }

  protected pause(reason: number): void {
    if (this.pauses === 0) this.conn.pause()
    this.pauses |= reason
  }

  protected unpause(reason: number): void {
    if ((this.pauses & reason) === 0) return
    this.pauses &= ~reason
    if (this.pauses === 0) this.conn.resume()
  }

  /** The exchange is over and the connection stays. */
  protected readNext(): void {
    this.state = READING
    this.deadlineMs = this.env.clock.nowMs + DOWNSTREAM_IDLE_MS
    this.unpause(PAUSE_BACKPRESSURE)
    this.pump()
  }

  /** The connection ends when the output has left; what still comes is dropped. */
  protected close(): void {
    this.state = ENDING
    this.pending = null
    this.assembler.clear()
    this.conn.close()
  }

  /** Reads requests from what is pending, one after the other, without recursion. */
  protected pump(): void {
    if (this.pumping) return
    this.pumping = true
    while (this.state === READING && this.pending !== null) {
      const bytes = this.pending
      this.pending = null
      this.readHead(bytes)
    }
    this.pumping = false
    if (this.state !== READING) return
    this.unpause(PAUSE_PIPELINE)
    if (this.conn.readEnded) this.close()
  }

  protected readHead(chunk: Uint8Array): void {
    const isFirstPiece = this.assembler.isEmpty
    const bytes = isFirstPiece ? chunk : this.assembler.join(chunk)
    if (bytes === null) return
    const { head } = this
    const end = head.parse(bytes, 0, bytes.length)
    if (end > 0) {
      this.state = EXCHANGING
      this.deadlineMs = NEVER
      this.begin(bytes, end)
    } else if (end === PARSE_NEED_MORE) {
      if (head.start === bytes.length) return
      this.assembler.keep(bytes, head.start, bytes.length)
      if (isFirstPiece) this.setDeadline(HEAD_TIMEOUT_MS)
    } else {
      const { status, text } = describeFault(end)
      this.refuseHead(refusalOf(status), text)
    }
  }
}
