// The Prometheus text format, version 0.0.4: what GET /metrics answers.
import { LATENCY_EDGES_MS, type Labels, type Metric, Scalar, type Series } from "./series.ts"

/** Content type of the answer. */
export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

/** Renders series, those of one metric together, in the order in which metrics first appear. */
export function prometheusText(all: Iterable<Series>): string {
  const byMetric = new Map<Metric, string[]>()
  for (const series of all) {
    let lines = byMetric.get(series.metric)
    if (lines === undefined) {
      const { name, kind, help } = series.metric
      lines = [`# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${kind}\n`]
      byMetric.set(series.metric, lines)
    }
    renderSeries(series, lines)
  }
  const parts: string[] = []
  for (const lines of byMetric.values()) parts.push(...lines)
  return parts.join("")
}

function renderSeries(series: Series, lines: string[]): void {
  const name = series.metric.name
  const labels = labelText(series.labels)
  if (series instanceof Scalar) {
    lines.push(`${name}${braces(labels)} ${numberText(series.value)}\n`)
    return
  }
  const prefix = `${name}_bucket{${labels === "" ? "" : `${labels},`}le="`
  let cumulative = 0
  for (let i = 0; i < LATENCY_EDGES_MS.length; i++) {
    cumulative += series.counts[i] ?? 0
    lines.push(`${prefix}${LATENCY_EDGES_MS[i]}"} ${cumulative}\n`)
  }
  lines.push(
    `${prefix}+Inf"} ${series.count}\n`,
    `${name}_sum${braces(labels)} ${numberText(series.sum)}\n`,
    `${name}_count${braces(labels)} ${series.count}\n`,
  )
}

function braces(labels: string): string {
  return labels === "" ? "" : `{${labels}}`
}

/** `name="value",...` with values escaped. */
function labelText(labels: Labels): string {
  return labels.map(([name, value]) => `${labelName(name)}="${escapeValue(value)}"`).join(",")
}

/** Label names may hold letters, digits and underscores only. */
function labelName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]/g, "_")
}

function escapeValue(value: string): string {
  return /["\\\n]/.test(value)
    ? value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")
    : value
}

function escapeHelp(help: string): string {
  return help.replace(/\\/g, "\\\\").replace(/\n/g, "\\n")
}

/** Never NaN: what cannot be known is 0. */
function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return value === Number.POSITIVE_INFINITY ? "+Inf" : "0"
}
