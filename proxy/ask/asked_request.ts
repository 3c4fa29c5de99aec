// A request about which plugins decide: they are asked one after the other, as one that denies makes the others moot.
import { type AskMatch, isOpen, type Verdict } from "../../protos/authorization/mod.ts"
import {
  type AskAnswer,
  type AskedFacts,
  DECISION_ALLOW,
  DECISION_DEFER,
  DECISION_DENY,
} from "./ask_codec.ts"
import { type PluginAsker, Question } from "./plugin_asker.ts"

/** Gives header fields of a request. */
export interface AskedHeaders {
  values(lowerCaseName: string): string | undefined
}

/** The questions that one request raises. */
export class AskedRequest {
  /** What the caller is told of a refusal; empty for nothing. */
  told = ""
  private readonly asker: PluginAsker
  private readonly matches: readonly AskMatch[]
  private readonly facts: AskedFacts
  private readonly headers: AskedHeaders
  private at = 0
  private waiting: Question | null = null
  private allowed: Verdict | null = null
  private denied: Verdict | null = null
  private settled: () => void = () => {}

  /** @param matches  one at least */
  constructor(asker: PluginAsker, matches: readonly AskMatch[], facts: AskedFacts, headers: AskedHeaders) {
    this.asker = asker
    this.matches = matches
    this.facts = facts
    this.headers = headers
  }

  /**
   * Asks.
   *
   * @param settled  called back once all is answered, unless the request is forgotten before
   * @returns true where all is answered already: nothing is called back
   */
  begin(settled: () => void): boolean {
    this.settled = settled
    return this.advance()
  }

  /** The request is over: nobody waits any more. */
  forget(): void {
    if (this.waiting !== null) this.asker.withdraw(this.waiting)
    this.waiting = null
    this.at = this.matches.length
  }

  /** The verdict, given what the policies that ask nobody say now. */
  over(verdict: Verdict): Verdict {
    const found = !isOpen(verdict) ? null : (this.denied ?? (verdict.allowed ? null : this.allowed))
    if (found === null) return verdict
    return verdict.audit === null ? found : { ...found, audit: verdict.audit }
  }

  private advance(): boolean {
    for (; this.at < this.matches.length && this.denied === null; this.at++) {
      // at < length
      const match = this.matches[this.at] as AskMatch
      const { question } = match
      const values = question.headers.map(name => this.headers.values(name))
      const answer = this.asker.ask(question, this.facts, values, later => {
        this.waiting = null
        this.take(match, later)
        this.at++
        if (this.advance()) this.settled()
      })
      if (answer instanceof Question) {
        this.waiting = answer
        return false
      }
      this.take(match, answer)
    }
    return true
  }

  private take({ question, allowed, denied }: AskMatch, { decision, reason }: AskAnswer): void {
    if (decision === DECISION_ALLOW) this.allowed ??= allowed
    else if (decision === DECISION_DENY) {
      this.denied = denied(reason)
      this.told = reason
    } else if (decision !== DECISION_DEFER && (question.fail || reason !== "")) {
      // What cannot be asked about is refused in any case: its sender made it so.
      this.denied = denied(reason === "" ? "it did not answer" : reason)
    }
  }
}
