// A pod waits for ConfigMaps and Secrets that do not exist yet, as a kubelet does, and says so.
import { sleepUntil } from "./abortable_sleep.ts"
import { MissingSourceError } from "./environment.ts"

/** A missing ConfigMap or Secret is looked for again after this long. */
export const MISSING_RETRY_MS = 1_000

/**
 * Repeats `make` until everything that it names is there.
 *
 * @param onMissing  told what is missing, before each wait
 * @throws what `make` throws for another reason; and the last MissingSourceError once `signal` has aborted
 */
export async function awaitSources<T>(
  make: () => T,
  signal: AbortSignal,
  onMissing: (message: string) => void,
): Promise<T> {
  for (;;) {
    try {
      return make()
    } catch (error) {
      if (!(error instanceof MissingSourceError) || signal.aborted) throw error
      onMissing(error.message)
      await sleepUntil(MISSING_RETRY_MS, signal)
    }
  }
}
