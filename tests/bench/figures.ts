// What a bench measures: scenarios, the figures of a run, and the report that is written to JSON.
import type { BenchProtocol } from "./peers.ts"

/** One load that all peers are put under. */
export interface Scenario {
  readonly name: string
  readonly protocol: BenchProtocol
  readonly connections: number
  readonly streams: number
  readonly bodyBytes: number
  /** Whether latency is measured at shares of the knee too. */
  readonly paced: boolean
}

/** Figures of one run of one peer. */
export interface Figures {
  readonly requestsPerSecond: number
  readonly cpuMicrosPerRequest: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly failures: number
  /** How long calls that the backend never answers took until they were, milliseconds, shortest first. */
  readonly hung: readonly number[]
}

/** All that was measured of a scenario: closed loop runs, then paced ones by share of the knee. */
export interface Measured {
  readonly scenario: Scenario
  readonly closed: Readonly<Record<string, readonly Figures[]>>
  readonly paced: Readonly<Record<string, Readonly<Record<string, readonly Figures[]>>>>
}

/** Everything that a bench found, as it is written to JSON. */
export interface BenchReport {
  readonly machine: { readonly cpu: string; readonly cores: number; readonly kernel: string }
  readonly rounds: number
  readonly missing: Readonly<Record<string, string>>
  readonly measured: readonly Measured[]
  /** Anonymous memory of each peer after all runs, bytes. */
  readonly anonymousBytes: Readonly<Record<string, number>>
}

/** Middle value; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
