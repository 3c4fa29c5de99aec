// Looks for what is wrong with objects of the cluster whenever what they name may have changed.
import type { ClusterDirt, ClusterStore } from "../cluster/mod.ts"

/** How long changes are gathered before problems are looked for: a rollout changes many pods at once. */
export const PROBLEMS_AFTER_MS = 500

/** What is looked for. */
export interface ProblemSearch {
  /** Every problem there is now, a sentence each that names its object. */
  readonly find: () => readonly string[]
  /** Whether a change can have made or mended one. */
  readonly touchedBy: (dirt: ClusterDirt) => boolean
}

/** Problems that are watched. */
export interface WatchedProblems {
  /** How many there are now. */
  readonly count: () => number
  /** Ends it. */
  readonly stop: () => void
}

/**
 * Looks for problems now and after changes.
 *
 * @param onChange  told whenever they are others than before, and which of them are new
 */
export function watchProblems(
  store: ClusterStore,
  { find, touchedBy }: ProblemSearch,
  onChange: (appeared: readonly string[]) => void,
): WatchedProblems {
  let current: ReadonlySet<string> = new Set()
  let timer: NodeJS.Timeout | null = null
  const look = (): void => {
    timer = null
    const before = current
    current = new Set(find())
    const appeared = [...current].filter(problem => !before.has(problem))
    if (appeared.length > 0 || current.size < before.size) onChange(appeared)
  }
  const soon = (): void => {
    timer ??= setTimeout(look, PROBLEMS_AFTER_MS)
  }
  const unsubscribe = store.subscribe(dirt => {
    if (store.synced && touchedBy(dirt)) soon()
  })
  store.whenSynced(soon)
  return {
    count: () => current.size,
    stop: () => {
      unsubscribe()
      if (timer !== null) clearTimeout(timer)
    },
  }
}
