// Chooses among the backends of a rule by their weights.
import type { RuleBackendConfig } from "./route_config.ts"

/** No backend: the rule has none, or none with a weight. */
export const NO_BACKEND = -1

/** Backends of a rule by weight. Immutable. */
export class WeightedPick {
  private readonly cumulative: Float64Array
  private readonly indexes: Int32Array
  private readonly total: number

  constructor(backends: readonly RuleBackendConfig[]) {
    let sum = 0
    const cumulative: number[] = []
    const indexes: number[] = []
    for (const [index, backend] of backends.entries()) {
      if (backend.weight <= 0) continue
      sum += backend.weight
      cumulative.push(sum)
      indexes.push(index)
    }
    this.total = sum
    this.cumulative = Float64Array.from(cumulative)
    this.indexes = Int32Array.from(indexes)
  }

  /** Share of picks that a backend has, 0 to 1; by its index among the rule's. */
  share(backend: number): number {
    const at = this.indexes.indexOf(backend)
    if (at < 0) return 0
    // Both arrays are of one length.
    return (this.cumulative[at]! - (at === 0 ? 0 : this.cumulative[at - 1]!)) / this.total
  }

  /**
   * Index of a backend among the rule's, or NO_BACKEND.
   *
   * @param random  uniform, 0 to 1
   */
  pick(random: number): number {
    const { cumulative, indexes } = this
    const last = indexes.length - 1
    if (last < 0) return NO_BACKEND
    // Both arrays have last + 1 entries.
    if (last === 0) return indexes[0]!
    const point = random * this.total
    for (let i = 0; i < last; i++) if (point < cumulative[i]!) return indexes[i]!
    return indexes[last]!
  }
}
