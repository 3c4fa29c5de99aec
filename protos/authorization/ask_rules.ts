// The rules of one policy with action Ask that hold for one kind of client: whether a plugin is asked about a request, and
// what its answer comes to.
import { type Clause, RequestRules } from "./request_rules.ts"
import type { Verdict } from "./verdict.ts"
import { ACTION_DENY, type Operation, type PluginQuestion } from "./workload_policy.ts"

/** A question that a request raises. */
export interface AskMatch {
  readonly question: PluginQuestion
  /** Where the plugin lets it through. */
  readonly allowed: Verdict
  /** Where it is refused. @param why  for people */
  denied(why: string): Verdict
}

/** The rules of one policy. */
export class AskRules {
  private readonly rules = new RequestRules()
  private readonly matches = new Map<Clause, AskMatch>()

  /** @param rules  one at least */
  constructor(
    question: PluginQuestion,
    rules: readonly { readonly to: readonly Operation[]; readonly clause: Clause }[],
  ) {
    for (const { to, clause } of rules) {
      // As rules of a Deny are read: what the plugin may refuse must not slip through in another form.
      this.rules.add(ACTION_DENY, to, clause)
      const { verdict } = clause
      this.matches.set(clause, {
        question,
        allowed: { ...verdict, allowed: true, detail: `plugin ${question.plugin} allows it` },
        denied: why => ({
          ...verdict,
          allowed: false,
          detail: `plugin ${question.plugin}${why === "" ? " denies it" : `: ${why}`}`,
        }),
      })
    }
    this.rules.finish()
  }

  /** The question about a request; null where none of the rules matches. @param path  in normal form */
  find(method: string, path: string): AskMatch | null {
    const clause = this.rules.of(path).deny.findAnyCase(method)
    return clause === null ? null : (this.matches.get(clause) ?? null)
  }
}

/** Whether an answer can make a difference: to nothing that a policy denies, and to nothing that the kubelet asks. */
export function isOpen({ allowed, cause }: Verdict): boolean {
  return allowed ? cause !== "probe" : cause === "default" || cause === "not-allowed"
}
