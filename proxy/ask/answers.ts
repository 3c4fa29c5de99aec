// Answers of plugins that hold for a while, by everything that was asked.
import type { AskAnswer } from "./ask_codec.ts"

/** Answers that are kept; beyond it the oldest goes. With keys of `MAX_ANSWER_KEY_CHARS` they take 16 MB at most. */
export const MAX_ANSWERS_KEPT = 4_096

/** Longest question whose answer is kept: what is longer is no request of which many are alike. */
export const MAX_ANSWER_KEY_CHARS = 2_048

/** Longest time that an answer is kept, milliseconds, whatever the plugin says: as its API has it. */
export const MAX_ANSWER_AGE_MS = 300_000

interface Kept extends AskAnswer {
  readonly untilMs: number
}

/** Answers by question. */
export class Answers {
  private readonly kept = new Map<string, Kept>()

  /** Number kept, of which some may hold no more. */
  get size(): number {
    return this.kept.size
  }

  /** The answer that holds; null for none. */
  find(key: string, nowMs: number): AskAnswer | null {
    const found = this.kept.get(key)
    if (found === undefined) return null
    if (nowMs < found.untilMs) return found
    this.kept.delete(key)
    return null
  }

  /** Keeps an answer as long as it says. */
  keep(key: string, { decision, reason, cacheMs }: AskAnswer, nowMs: number): void {
    if (cacheMs <= 0 || key.length > MAX_ANSWER_KEY_CHARS) return
    this.kept.delete(key)
    if (this.kept.size >= MAX_ANSWERS_KEPT) {
      const oldest = this.kept.keys().next().value
      if (oldest !== undefined) this.kept.delete(oldest)
    }
    const untilMs = nowMs + Math.min(cacheMs, MAX_ANSWER_AGE_MS)
    this.kept.set(key, { decision, reason, cacheMs, untilMs })
  }

  /** Forgets all. */
  clear(): void {
    this.kept.clear()
  }
}
