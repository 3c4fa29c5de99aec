// A stream to a plugin that is to stay open: opened again with growing pauses whenever it breaks, and its answers taken one by
// one. What is wrong with it is that hook's alone: the plugin's other hooks go on.
import { type HookCalls, reasonOf } from "./hook_calls.ts"
import { TOLD_AFTER_MS, type Told, type ToldChange, type Wake } from "./told.ts"

/** Answers of a stream are taken this far apart at least; what comes faster waits with the plugin. */
export const MIN_ANSWER_GAP_MS = 20

/** What a stream is kept with. */
export interface StreamKeeper {
  readonly calls: HookCalls
  /** First pause before it is opened again, milliseconds; it doubles up to `maxPauseMs`. */
  readonly minPauseMs: number
  readonly maxPauseMs: number
  /** Monotonic clock, milliseconds. */
  readonly nowMs: () => number
  /** Told what is wrong with the stream in a sentence; empty once it is well. */
  readonly onFault: (fault: string) => void
  /** Told that it broke: the plugin may be gone. */
  readonly onBroken: () => void
}

/**
 * Keeps a stream until the signal aborts.
 *
 * @param open  runs one stream until it ends, and says whenever that is well
 */
export async function keepStream(
  keeper: StreamKeeper,
  signal: AbortSignal,
  open: (signal: AbortSignal, well: () => void) => Promise<void>,
): Promise<void> {
  const { calls, minPauseMs, maxPauseMs, onFault, onBroken } = keeper
  let pauseMs = minPauseMs
  while (!signal.aborted) {
    const one = new AbortController()
    const end = (): void => one.abort()
    signal.addEventListener("abort", end)
    try {
      await open(one.signal, () => {
        pauseMs = minPauseMs
      })
      if (!signal.aborted) throw new Error("it has ended the stream, which is to stay open")
    } catch (error) {
      if (signal.aborted) return
      calls.failed(error, 0)
      onFault(`its stream of ${calls.settings.name} broke: ${reasonOf(error)}`)
      onBroken()
    } finally {
      one.abort()
      signal.removeEventListener("abort", end)
    }
    await pause(pauseMs, signal)
    pauseMs = Math.min(pauseMs * 2, maxPauseMs)
  }
}

/** Takes answers one by one; one that is not as it should be counts as an error and changes nothing. @throws as the stream */
export async function takeAnswers<Answer>(
  { calls, nowMs, onFault }: StreamKeeper,
  stream: AsyncIterable<Answer>,
  take: (answer: Answer) => void,
  signal: AbortSignal,
  well: () => void,
): Promise<void> {
  const { name, deadlineMs } = calls.settings
  const late = setTimeout(() => {
    const why = `it has not answered the stream of ${name} within ${deadlineMs} ms, which it is to do with what it has`
    calls.failed(new Error(why), deadlineMs)
    onFault(why)
  }, deadlineMs)
  try {
    for await (const answer of stream) {
      clearTimeout(late)
      const before = nowMs()
      try {
        take(answer)
        calls.succeeded(nowMs() - before)
        well()
        onFault("")
      } catch (error) {
        calls.failed(error, nowMs() - before)
        onFault(`an answer of it is refused, the last good one holds: ${reasonOf(error)}`)
      }
      await pause(MIN_ANSWER_GAP_MS, signal)
    }
  } finally {
    clearTimeout(late)
  }
}

/** What a stream tells: who is asked, all there is, and what changes from then on. */
export async function* tell<Item, Message>(
  first: Message,
  told: Told<Item>,
  wake: Wake,
  message: (change: ToldChange<Item>, complete: boolean) => Message,
  signal: AbortSignal,
): AsyncGenerator<Message> {
  yield first
  yield message(told.next(), true)
  const end = (): void => wake.wake()
  signal.addEventListener("abort", end)
  try {
    for (;;) {
      await wake.wait()
      if (signal.aborted) return
      await pause(TOLD_AFTER_MS, signal)
      const change = told.next()
      if (change.changed.length + change.removed.length > 0) yield message(change, false)
    }
  } finally {
    signal.removeEventListener("abort", end)
  }
}

/** Waits, until the signal aborts at most. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>(resolve => {
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
    signal.addEventListener("abort", done)
  })
}
