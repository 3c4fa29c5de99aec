// What every source of cluster state offers: one interface, one shared table of cases (source_cases.ts).
import type { Problem } from "./model.ts"
import type { ClusterStore } from "./store.ts"

/** Fills a store from somewhere and keeps it current. */
export interface ClusterSource {
  /** The store that it fills. */
  readonly store: ClusterStore
  /** Begins to fill it; returns at once. */
  start(): void
  /** Ends; the store keeps its last state. */
  stop(): void
  /** What is wrong with the input now; empty when all is well. */
  problems(): readonly Problem[]
}
