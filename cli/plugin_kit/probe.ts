// One thing that the conformance kit tries.
import type { Bench } from "./bench.ts"
import type { Verdict } from "./finding.ts"

/** A probe. */
export interface Probe {
  /** What is tried, such as `Policy: garbage`. */
  readonly check: string
  readonly run: (bench: Bench) => Promise<Verdict>
  /** Whether the plugin may be hurt by it: the kit looks whether it still answers. */
  readonly rough?: boolean
}
