// What a dashboard of ours consists of, and how it becomes Grafana's JSON (dashboard schema 39, Grafana 10 and newer).

/** Units of figures, in Grafana's names. */
export type Unit = "percentunit" | "reqps" | "ms" | "s" | "short" | "bytes" | "Bps" | "ops" | "cores"

/** One query of a panel. */
export interface Target {
  /** PromQL; `$__rate_interval` and the dashboard's variables are filled in by Grafana. */
  readonly expr: string
  /** Name of the series; `{{label}}` stands for a label's value, which each series of the answer must then have. */
  readonly legend: string
}

/** One figure, curve or table. */
export interface Panel {
  readonly title: string
  readonly kind: "stat" | "curves" | "table"
  readonly unit: Unit
  /** What it means and what to do about it, for who looks at it at night. */
  readonly help: string
  readonly targets: readonly Target[]
  /** Columns of 24 that it takes. Default: a stat 4, else 8. */
  readonly width?: number
  /** Where the value becomes yellow, then red; for figures of which little is good, the first is the larger. */
  readonly thresholds?: readonly [warn: number, bad: number]
  /** There is no such figure in a local mesh, and why. Default: there is one wherever the mesh is. */
  readonly onlyOnKubernetes?: string
}

/** Panels below a title. */
export interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
}

/** A choice of a label's value at the top of a dashboard. */
export interface Variable {
  readonly name: string
  readonly label: string
  /** Metric with matchers whose series bear the label. */
  readonly of: string
  /** Label whose values are offered. */
  readonly values: string
  /** Several may be chosen, or all. Default: one. */
  readonly several?: boolean
}

/** A dashboard. */
export interface Dashboard {
  /** Part of its address; stays the same for ever. */
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly variables: readonly Variable[]
  readonly rows: readonly Row[]
}

const DATASOURCE = { type: "prometheus", uid: "$" + "{datasource}" }

const COLUMNS = 24
const HEIGHTS = { stat: 4, curves: 8, table: 9 } as const

/** The dashboard as Grafana reads it from a file. */
export function grafanaJson(dashboard: Dashboard): object {
  return {
    uid: dashboard.uid,
    title: dashboard.title,
    description: dashboard.description,
    tags: ["conduit"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    refresh: "10s",
    time: { from: "now-30m", to: "now" },
    graphTooltip: 1,
    links: [
      {
        type: "dashboards",
        title: "Conduit",
        tags: ["conduit"],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
      },
    ],
    templating: { list: [datasourceVariable(), ...dashboard.variables.map(variableJson)] },
    panels: layOut(dashboard.rows),
  }
}

function datasourceVariable(): object {
  return { name: "datasource", label: "Prometheus", type: "datasource", query: "prometheus", current: {} }
}

function variableJson({ name, label, of, values, several = false }: Variable): object {
  const query = `label_values(${of}, ${values})`
  return {
    name,
    label,
    type: "query",
    datasource: DATASOURCE,
    definition: query,
    query: { query, refId: name },
    refresh: 2,
    sort: 1,
    multi: several,
    includeAll: several,
    ...(several ? { allValue: ".*", current: { text: "All", value: "$__all" } } : {}),
  }
}

function layOut(rows: readonly Row[]): object[] {
  const laid: object[] = []
  let y = 0
  let id = 1
  for (const { title, panels } of rows) {
    laid.push({
      id: id++,
      type: "row",
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
    })
    y++
    let x = 0
    let height = 0
    for (const panel of panels) {
      const w = panel.width ?? (panel.kind === "stat" ? 4 : 8)
      if (x + w > COLUMNS) {
        y += height
        x = 0
        height = 0
      }
      const h = HEIGHTS[panel.kind]
      laid.push({ id: id++, ...panelJson(panel), gridPos: { x, y, w, h } })
      x += w
      height = Math.max(height, h)
    }
    y += height
  }
  return laid
}

function panelJson(panel: Panel): object {
  const { title, kind, unit, help, targets } = panel
  const instant = kind !== "curves"
  return {
    title,
    description: help,
    type: { stat: "stat", curves: "timeseries", table: "table" }[kind],
    datasource: DATASOURCE,
    targets: targets.map(({ expr, legend }, i) => ({
      refId: String.fromCharCode(65 + i),
      datasource: DATASOURCE,
      expr,
      legendFormat: legend,
      ...(instant ? { instant: true, range: false } : { range: true }),
      ...(kind === "table" ? { format: "table" } : {}),
    })),
    fieldConfig: {
      defaults: {
        unit: unit === "cores" ? "none" : unit,
        ...(unit === "percentunit" ? { max: 1 } : {}),
        ...(kind === "curves"
          ? { min: 0, custom: { lineWidth: 1, fillOpacity: 5, showPoints: "never" } }
          : {}),
        ...thresholdsJson(panel),
      },
      overrides: kind === "table" ? tableOverrides(targets) : [],
    },
    ...(kind === "table" ? { transformations: tableTransformations(targets) } : {}),
    options:
      kind === "stat"
        ? {
            colorMode: panel.thresholds === undefined ? "none" : "value",
            graphMode: "none",
            reduceOptions: { calcs: ["lastNotNull"] },
          }
        : kind === "curves"
          ? {
              legend: { displayMode: "table", placement: "bottom", calcs: ["lastNotNull"] },
              tooltip: { mode: "multi", sort: "desc" },
            }
          : { showHeader: true },
  }
}

function thresholdsJson({ thresholds }: Panel): object {
  if (thresholds === undefined) return {}
  const [warn, bad] = thresholds
  const steps =
    warn < bad
      ? [
          { color: "green", value: null },
          { color: "yellow", value: warn },
          { color: "red", value: bad },
        ]
      : [
          { color: "red", value: null },
          { color: "yellow", value: bad },
          { color: "green", value: warn },
        ]
  return { color: { mode: "thresholds" }, thresholds: { mode: "absolute", steps } }
}

/** Queries of a table are its columns: rows of one workload are joined, and named by their legends. */
function tableTransformations(targets: readonly Target[]): object[] {
  const renameByName = Object.fromEntries(
    targets.map(({ legend }, i) => [`Value #${String.fromCharCode(65 + i)}`, columnOf(legend).name]),
  )
  return [
    { id: "merge", options: {} },
    { id: "organize", options: { excludeByName: { Time: true }, indexByName: {}, renameByName } },
  ]
}

function tableOverrides(targets: readonly Target[]): object[] {
  return targets.map(({ legend }) => {
    const { name, unit } = columnOf(legend)
    return {
      matcher: { id: "byName", options: name },
      properties: [{ id: "unit", value: unit }],
    }
  })
}

/** `p99 (ms) {{namespace}} {{deployment}}` is the column `p99 (ms)`. */
function columnOf(legend: string): { name: string; unit: Unit } {
  const name = legend.replace(/\s*\{\{.*$/, "")
  const unit: Unit = name.startsWith("success") ? "percentunit" : name.startsWith("p") ? "ms" : "reqps"
  return { name, unit }
}
