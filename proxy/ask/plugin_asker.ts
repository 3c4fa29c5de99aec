// Asks plugins about requests: one stream to the policy service, questions and answers matched by number, each question with
// its deadline. What is not answered in time has no answer; what that means is the policy's to say.
import type { PluginQuestion } from "../../protos/authorization/mod.ts"
import type { ControlLinkHandler, Link, OpenLink } from "../control_plane/mod.ts"
import type { Logger } from "../log.ts"
import { type Clock, Timer, type TimerWheel } from "../net/mod.ts"
import { Answers } from "./answers.ts"
import {
  type AskAnswer,
  type AskedFacts,
  DECISION_NONE,
  decodeAnswer,
  encodeHello,
  encodeQuestion,
} from "./ask_codec.ts"

/** Questions without an answer yet; beyond it further ones have none at once. Each holds a request in memory. */
export const MAX_QUESTIONS = 1_024

/** Longest question, in characters; twice as many bytes are below what the policy service takes in a message. */
export const MAX_QUESTION_CHARS = 30_000

/** Longest reason that is passed on. */
export const MAX_REASON_CHARS = 1_024

/** Bytes that may wait for the policy service to read them; beyond it questions have no answer at once. */
export const MAX_QUEUED_BYTES = 1024 * 1024

/** Path of the method. */
const ASK_PATH = "/conduit.policy.v1.PolicyService/Ask"

const NO_ANSWER: AskAnswer = { decision: DECISION_NONE, reason: "", cacheMs: 0 }

/** Parts and settings. */
export interface PluginAskerOptions {
  readonly openLink: OpenLink
  /** `host:port` of the policy service; empty: nothing is ever answered. */
  readonly address: string
  readonly clock: Clock
  readonly timers: TimerWheel
  readonly log: Logger
  readonly namespace: string
  readonly pod: string
}

/** A question that was sent, until its answer or its deadline. */
export class Question extends Timer {
  readonly id: number
  readonly message: Uint8Array
  private readonly end: (question: Question, answer: AskAnswer) => void
  private readonly answered: (answer: AskAnswer) => void

  constructor(
    id: number,
    message: Uint8Array,
    end: (question: Question, answer: AskAnswer) => void,
    answered: (answer: AskAnswer) => void,
  ) {
    super()
    this.id = id
    this.message = message
    this.end = end
    this.answered = answered
  }

  /** The deadline has passed. */
  override fire(): void {
    this.end(this, NO_ANSWER)
  }

  /** For `PluginAsker` only. */
  tell(answer: AskAnswer): void {
    this.answered(answer)
  }
}

/** Asks for all connections of the pod. */
export class PluginAsker implements ControlLinkHandler {
  readonly clock: Clock
  /** Null where no service is configured. */
  readonly link: Link | null
  private readonly options: PluginAskerOptions
  private readonly questions = new Map<number, Question>()
  private readonly answers = new Answers()
  private lastId = 0
  private wanted = false

  constructor(options: PluginAskerOptions) {
    this.options = options
    this.clock = options.clock
    const { address, openLink } = options
    this.link = address === "" ? null : openLink(this, { name: "policy", address, path: ASK_PATH })
  }

  /** Questions without an answer yet. */
  get waiting(): number {
    return this.questions.size
  }

  /** Whether policies in force have plugins asked: only then is there a stream. */
  want(asks: boolean): void {
    if (asks === this.wanted || this.link === null) return
    this.wanted = asks
    if (asks) this.link.start()
    else {
      this.link.stop()
      this.answers.clear()
    }
  }

  /**
   * Asks.
   *
   * @param values  of the header fields that the question names, in their order
   * @param answered  called back once unless the question is withdrawn
   * @returns the answer where it is known at once, else the question
   */
  ask(
    question: PluginQuestion,
    facts: AskedFacts,
    values: readonly (string | undefined)[],
    answered: (answer: AskAnswer) => void,
  ): AskAnswer | Question {
    const key = keyOf(question, facts, values)
    const { clock, options, link } = this
    const known = this.answers.find(key, clock.nowMs)
    if (known !== null) return known
    if (key.length > MAX_QUESTION_CHARS)
      return { decision: DECISION_NONE, reason: "the request is too long to be asked about", cacheMs: 0 }
    if (link === null || this.questions.size >= MAX_QUESTIONS || link.queuedBytes > MAX_QUEUED_BYTES)
      return NO_ANSWER
    this.lastId = this.lastId >= 0x7fffffff ? 1 : this.lastId + 1
    const message = encodeQuestion(this.lastId, question.plugin, facts, question.headers, values)
    const asked = new Question(
      this.lastId,
      message,
      (one, answer) => this.end(one, answer),
      answer => {
        this.answers.keep(key, answer, clock.nowMs)
        answered(answer)
      },
    )
    this.questions.set(asked.id, asked)
    options.timers.schedule(asked, question.deadlineMs)
    // Without a stream it is dropped there, and sent as there is one.
    link.send(message)
    return asked
  }

  /** Nobody waits for the answer any more. */
  withdraw(question: Question): void {
    this.options.timers.cancel(question)
    this.questions.delete(question.id)
  }

  onOpen(): void {
    const { namespace, pod } = this.options
    this.link?.send(encodeHello(namespace, pod))
    for (const { message } of this.questions.values()) this.link?.send(message)
  }

  onDown(_reason: string): void {}

  onMessage(message: Uint8Array): void {
    let answer: ReturnType<typeof decodeAnswer>
    try {
      answer = decodeAnswer(message)
    } catch (error) {
      this.options.log.error("an answer about a request could not be read", { error: String(error) })
      return
    }
    const question = this.questions.get(answer.id)
    if (question !== undefined) this.end(question, { ...answer, reason: printable(answer.reason) })
  }

  private end(question: Question, answer: AskAnswer): void {
    this.withdraw(question)
    question.tell(answer)
  }
}

/** Everything that was asked as text: none of its parts can have a line feed. */
function keyOf(
  { plugin, version, headers }: PluginQuestion,
  facts: AskedFacts,
  values: readonly (string | undefined)[],
): string {
  const { clientId, clientAddress, port, method, path, authority } = facts
  let key = `${plugin}\n${version}\n${clientId}\n${clientAddress}\n${port}\n${method}\n${path}\n${authority}`
  for (let i = 0; i < headers.length; i++) {
    const value = values[i]
    key += value === undefined ? `\n${headers[i]}` : `\n${headers[i]}:${value}`
  }
  return key
}

/** Text of another's as header fields and lines of logs may hold it. */
function printable(text: string): string {
  return text.slice(0, MAX_REASON_CHARS).replaceAll(/[^\x20-\x7e]+/g, " ")
}
