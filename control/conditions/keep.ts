// What a service does about objects that it reads and that people write: it logs what is wrong with them, and keeps their
// status current where there is an API server that has one.
import type { KubeApi } from "../../deploy/kubernetes/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import type { Log } from "../log.ts"
import { type ProblemSearch, type WatchedProblems, watchProblems } from "./watch_problems.ts"
import { type ConditionKind, ConditionWriter } from "./writer.ts"

/** What is kept current. */
export interface KeptConditions extends WatchedProblems {
  /** Objects of a kind were read, those that cannot be understood too. */
  readonly read: (kind: string) => void
  /** Objects whose status was written. */
  readonly written: () => number
}

/** What it takes. */
export interface KeepOptions {
  /** Null where objects come from files, which have no status. */
  readonly api: KubeApi | null
  readonly log: Log
  readonly search: ProblemSearch
  readonly kinds: readonly ConditionKind[]
  /** Who we are among the writers of an object's fields. */
  readonly manager: string
}

/** Logs problems as they appear, and keeps the status of objects current. */
export function keepConditions(store: ClusterStore, options: KeepOptions): KeptConditions {
  const { api, log, search, kinds, manager } = options
  const writer =
    api === null
      ? null
      : new ConditionWriter({
          ...{ api, kinds, manager, log },
          nowMs: Date.now,
          random: Math.random,
          later: (run, ms) => {
            const timer = setTimeout(run, ms)
            return () => clearTimeout(timer)
          },
        })
  // Before the cluster is known, everything that an object names would be missing.
  const changed = (): void => store.whenSynced(() => writer?.changed())
  changed()
  const watched = watchProblems(store, search, appeared => {
    for (const problem of appeared) log.warn(problem)
    changed()
  })
  return {
    count: watched.count,
    read: kind => {
      if (kinds.some(({ resource }) => resource.kind === kind)) changed()
    },
    written: () => writer?.written ?? 0,
    stop: () => {
      watched.stop()
      writer?.stop()
    },
  }
}
