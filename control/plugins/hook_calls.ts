// The calls of one hook of one plugin: each within its deadline, counted, and none for a while after several have failed in
// a row, so that a plugin which is slow or gone costs its callers nothing more.
import { Code, ConnectError } from "@connectrpc/connect"
import { MAX_COMPLAINT_CHARS, type PluginHookSettings } from "../../deploy/plugin_object/mod.ts"

/** Failures in a row after which a hook is not called for a while. */
export const BREAKER_FAILURES = 5
/** How long that is at first; it doubles with each call that fails then, up to `BREAKER_MAX_MS`. */
export const BREAKER_MIN_MS = 1_000
/** Longest time without a call. */
export const BREAKER_MAX_MS = 30_000
/** Calls of a hook that are under way at once; more than these fail at once. */
export const MAX_CALLS_UNDER_WAY = 64
/** Window of the rates and latencies that are told. */
export const RATE_WINDOW_MS = 60_000
/** Latencies kept of a window: enough for a 99th percentile. */
export const MAX_LATENCIES = 512

/** Figures of a hook. */
export interface HookFigures {
  readonly callsPerSecond: number
  readonly errorsPerSecond: number
  readonly calls: number
  readonly errors: number
  /** Answers by which it refused what it was asked about; in mode Audit they are not in force. */
  readonly refused: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly lastError: string
  readonly lastErrorMs: number
  readonly open: boolean
}

interface Kept {
  readonly atMs: number
  readonly tookMs: number
  readonly failed: boolean
}

/** What a call is refused with that was not made. */
export class NotCalled extends Error {
  override readonly name = "NotCalled"
}

/** Calls of one hook. */
export class HookCalls {
  readonly settings: PluginHookSettings
  readonly #nowMs: () => number
  #calls = 0
  #errors = 0
  #refused = 0
  #underWay = 0
  #failuresInRow = 0
  #closedUntilMs = 0
  #penaltyMs = BREAKER_MIN_MS
  #lastError = ""
  #lastErrorMs = 0
  #kept: Kept[] = []

  /** @param nowMs  monotonic clock, milliseconds */
  constructor(settings: PluginHookSettings, nowMs: () => number) {
    this.settings = settings
    this.#nowMs = nowMs
  }

  /** Whether the hook is not called now. */
  get open(): boolean {
    return this.#closedUntilMs > this.#nowMs()
  }

  /**
   * Makes a call within the hook's deadline.
   *
   * @throws NotCalled where it was not made; otherwise what the call failed with, or what `check` found of its answer
   */
  async call<Answer>(
    make: (options: { readonly timeoutMs: number; readonly signal: AbortSignal }) => Promise<Answer>,
  ): Promise<Answer> {
    const startMs = this.#nowMs()
    if (this.#closedUntilMs > startMs) throw new NotCalled(`it is not called for a while: ${this.#lastError}`)
    if (this.#underWay >= MAX_CALLS_UNDER_WAY)
      throw new NotCalled(`${MAX_CALLS_UNDER_WAY} calls are under way already`)
    // While one call finds out whether the plugin is well again, the others go on without it.
    if (this.#failuresInRow >= BREAKER_FAILURES) this.#closedUntilMs = startMs + this.settings.deadlineMs
    this.#underWay++
    const timeoutMs = this.settings.deadlineMs
    const ended = new AbortController()
    // A transport may be late with its own deadline: a plugin's caller waits no longer in any case.
    const late = setTimeout(
      () => ended.abort(new Error(`it did not answer within ${timeoutMs} ms`)),
      timeoutMs,
    )
    const aborted = new Promise<never>((_, reject) => {
      ended.signal.addEventListener("abort", () => reject(ended.signal.reason), { once: true })
    })
    aborted.catch(() => {})
    try {
      const answer = await Promise.race([make({ timeoutMs, signal: ended.signal }), aborted])
      this.#failuresInRow = 0
      this.#closedUntilMs = 0
      this.#penaltyMs = BREAKER_MIN_MS
      this.succeeded(this.#nowMs() - startMs)
      return answer
    } catch (thrown) {
      const late = thrown instanceof ConnectError && thrown.code === Code.DeadlineExceeded
      const error = late ? new Error(`it did not answer within ${timeoutMs} ms`, { cause: thrown }) : thrown
      if (++this.#failuresInRow >= BREAKER_FAILURES) {
        this.#closedUntilMs = this.#nowMs() + this.#penaltyMs
        this.#penaltyMs = Math.min(this.#penaltyMs * 2, BREAKER_MAX_MS)
      }
      this.failed(error, this.#nowMs() - startMs)
      throw error
    } finally {
      this.#underWay--
      clearTimeout(late)
    }
  }

  /** The plugin is back: the next call finds out whether it is well. */
  tryAgain(): void {
    this.#closedUntilMs = 0
  }

  /** Counts a call, or an answer on a stream, that was as it should be. */
  succeeded(tookMs: number): void {
    this.#calls++
    this.#keep(tookMs, false)
  }

  /** Counts a call, a stream or an answer on one that failed. */
  failed(error: unknown, tookMs: number): void {
    this.#calls++
    this.#errors++
    this.#lastError = reasonOf(error)
    this.#lastErrorMs = Date.now()
    this.#keep(tookMs, true)
  }

  /** Counts an answer by which it refused what it was asked about. */
  refused(): void {
    this.#refused++
  }

  /** Figures now. */
  figures(): HookFigures {
    const since = this.#nowMs() - RATE_WINDOW_MS
    const recent = this.#kept.filter(({ atMs }) => atMs > since)
    const latencies = recent.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
    const at = (share: number): number => latencies[Math.ceil(share * latencies.length) - 1] ?? 0
    const seconds = RATE_WINDOW_MS / 1000
    return {
      callsPerSecond: recent.length / seconds,
      errorsPerSecond: recent.filter(({ failed }) => failed).length / seconds,
      calls: this.#calls,
      errors: this.#errors,
      refused: this.#refused,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      lastError: this.#lastError,
      lastErrorMs: this.#lastErrorMs,
      open: this.open,
    }
  }

  #keep(tookMs: number, failed: boolean): void {
    this.#kept.push({ atMs: this.#nowMs(), tookMs, failed })
    if (this.#kept.length > MAX_LATENCIES * 2) this.#kept = this.#kept.slice(-MAX_LATENCIES)
  }
}

/** What the library says where a plugin breaks the protocol, and what that means to who reads it. */
const MEANT: readonly (readonly [RegExp, string])[] = [
  [/^\[internal\] parse binary: /, "its answer is no message of the API: "],
  [
    /^\[\w+\] protocol error: (missing status|incomplete envelope)$/,
    "its connection broke in the middle of an answer",
  ],
]

/** What went wrong with a plugin, in a sentence cut short: plugins write their own. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const meant = MEANT.reduce((said, [is, means]) => said.replace(is, means), text)
  return meant.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, " ").slice(0, MAX_COMPLAINT_CHARS)
}
