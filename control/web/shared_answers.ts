// One answer for all who ask the same at nearly the same time: fifty open pages cost the API little more than one.

/** An answer is given again for this long, milliseconds: proxies report once a second, and pages ask every two. */
export const SHARED_MS = 1000
/** Answers that cover ten seconds at least, milliseconds: charts, and what changed. They are the largest, too. */
export const SHARED_SLOW_MS = 5000
/** Most answers kept: pages that show different things; others are asked for anew. */
export const MAX_SHARED_ANSWERS = 64

/** Answers of the last moment, by question. */
export class SharedAnswers {
  private readonly answers = new Map<string, Promise<unknown>>()
  private readonly after: (ms: number, call: () => void) => void

  constructor(after: (ms: number, call: () => void) => void = (ms, call) => void setTimeout(call, ms)) {
    this.after = after
  }

  /**
   * The answer to a question. One that fails is given only to those who wait for it already.
   *
   * @param keptMs  for how long it is given again, milliseconds
   */
  async ask<T>(question: string, find: () => Promise<T>, keptMs = SHARED_MS): Promise<T> {
    const known = this.answers.get(question)
    if (known !== undefined) return (await known) as T
    const asked = find()
    if (this.answers.size >= MAX_SHARED_ANSWERS) return await asked
    this.answers.set(question, asked)
    const forget = (): void => void this.answers.delete(question)
    asked.then(() => this.after(keptMs, forget), forget)
    return await asked
  }
}
