// The chain of decisions that a call meets, as it is put together: one step after the other, each with its cause, and the
// share of such calls that each of them ends.

/** Decisions in the order in which a call meets them. */
export const STEP_NAMES = [
  "name",
  "service",
  "protocol",
  "route",
  "backends",
  "endpoints",
  "identity",
  "policy",
] as const

/** A name of STEP_NAMES. */
export type StepName = (typeof STEP_NAMES)[number]

/** How a decision bears on the call; `none`: the call does not pass it. */
export type Outcome = "ok" | "warn" | "fail" | "none"

/** A place in the cluster's objects. */
export interface Place {
  /** As it is written, such as `HTTPRoute`. */
  readonly kind: string
  /** Empty for a cluster-wide kind. */
  readonly namespace: string
  readonly name: string
  /** Such as `spec.rules[1].backendRefs[0]`; empty for the object as a whole. */
  readonly field: string
}

/** Something more that holds on the call, and what has it so. */
export interface Note {
  readonly text: string
  readonly object: Place
}

/** What is said of a decision. */
export interface Said {
  /** What is decided. */
  readonly decision: string
  /** Why, a sentence; may be empty. */
  readonly reason?: string
  /** What caused it; null where no object did. */
  readonly object?: Place | null
  /** More that holds, a line each. */
  readonly details?: readonly string[]
  /** The same where another object than that of the decision has it so. */
  readonly notes?: readonly Note[]
  /** What would change it; empty where there is nothing to change. */
  readonly change?: string
}

/** One decision. */
export interface Step extends Required<Said> {
  readonly name: StepName
  readonly outcome: Outcome
}

/** A share of calls that a step ends. */
export interface Loss {
  /** Of all such calls, above 0 to 1. */
  readonly share: number
  /** Status of the proxy's own answer; 0 where there is none. */
  readonly status: number
  /** Reason in conduit-proxy-error; empty for none. */
  readonly error: string
  readonly step: StepName
  /** What becomes of them, the end of a sentence. */
  readonly what: string
}

/** What the caller sees. */
export interface Verdict {
  /** Share of calls that an application answers, 0 to 1. */
  readonly answered: number
  /** 0 where no proxy answers. */
  readonly status: number
  readonly error: string
  /** The step that decided; null where the call passes them all. */
  readonly step: StepName | null
  readonly summary: string
}

/** Shares below this are rounding. */
const NOTHING = 1e-9

/** Steps and losses so far. */
export class Chain {
  readonly steps: Step[] = []
  readonly losses: Loss[] = []

  /** Adds a decision. */
  say(name: StepName, outcome: Outcome, said: Said): void {
    const { decision, reason = "", object = null, details = [], notes = [], change = "" } = said
    this.steps.push({ name, outcome, decision, reason, object, details, notes, change })
  }

  /** Adds a decision that ends every call. */
  end(name: StepName, said: Said, loss: Omit<Loss, "share" | "step">): void {
    this.say(name, "fail", said)
    this.losses.push({ ...loss, share: 1, step: name })
  }

  /** Adds to what was said of a step; what is well has a warning then. */
  note(name: StepName, note: Note): void {
    const index = this.steps.findIndex(step => step.name === name)
    const step = this.steps[index]
    if (step === undefined) return
    const outcome = step.outcome === "ok" ? "warn" : step.outcome
    this.steps[index] = { ...step, outcome, notes: [...step.notes, note] }
  }

  /** What ended calls from a loss on ends but a part of them. */
  scale(firstLoss: number, part: number): void {
    for (const [index, loss] of this.losses.entries())
      if (index >= firstLoss) this.losses[index] = { ...loss, share: loss.share * part }
  }

  /** A step ends a share of the calls. */
  lose(loss: Loss): void {
    if (loss.share > NOTHING) this.losses.push(loss)
  }

  /** Share of calls that the step ends. */
  lostAt(step: StepName): number {
    return this.losses.filter(loss => loss.step === step).reduce((sum, loss) => sum + loss.share, 0)
  }

  /** No call goes on. */
  get over(): boolean {
    return this.losses.reduce((sum, loss) => sum + loss.share, 0) > 1 - NOTHING
  }

  /** Outcome of a step by the share of calls that it ended of those that met it. */
  outcomeOf(step: StepName): Outcome {
    const lost = this.lostAt(step)
    if (lost <= NOTHING) return "ok"
    return this.over && lost > NOTHING ? "fail" : "warn"
  }

  /** @param answer  who answers, such as `2 endpoints of Service shop/web` */
  verdict(answer: string): Verdict {
    const [first] = [...this.losses].sort((a, b) => b.share - a.share)
    if (first === undefined) return { answered: 1, status: 0, error: "", step: null, summary: answer }
    const { status, error, step } = first
    const lost = this.losses.reduce((sum, loss) => sum + loss.share, 0)
    const answered = lost > 1 - NOTHING ? 0 : 1 - lost
    const whats = new Map<string, number>()
    for (const loss of this.losses) whats.set(loss.what, (whats.get(loss.what) ?? 0) + loss.share)
    const parts = [...whats].map(([what, share]) =>
      share > 1 - NOTHING ? what : `${percent(share)}: ${what}`,
    )
    if (answered > 0) parts.unshift(`${percent(answered)}: ${answer}`)
    return { answered, status, error, step, summary: parts.join("; ") }
  }
}

/** A share as people read it: `33 %`. */
export function percent(share: number): string {
  const value = share * 100
  return `${value >= 1 || value === 0 ? Math.round(value) : Number(value.toPrecision(1))} %`
}
