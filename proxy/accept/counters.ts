// Counters of the proxy's own decisions, one series per value of one label.
import { type Metric, type Registry, type Scalar, SeriesGroup } from "../telemetry/mod.ts"

/** A counter with one label beside the direction; values come from a fixed set, so the series stay for life. */
export class CountersByLabel {
  private readonly registry: Registry
  private readonly direction: string
  private readonly label: string
  private readonly metric: Metric
  private readonly group: SeriesGroup
  private readonly series = new Map<string, Scalar>()

  constructor(registry: Registry, direction: string, label: string, metric: Metric) {
    this.registry = registry
    this.direction = direction
    this.label = label
    this.metric = metric
    this.group = registry.group(`own ${metric.name} ${direction}`, key => new SeriesGroup(key))
    this.group.running = 1
  }

  /** Counts one more. */
  add(value: string): void {
    let series = this.series.get(value)
    if (series === undefined) {
      series = this.registry.scalar(this.group, this.metric, [
        ["direction", this.direction],
        [this.label, value],
      ])
      this.series.set(value, series)
    }
    series.value++
  }
}
