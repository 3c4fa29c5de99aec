// The dashboards that are in the tree are those that the source describes, and each is whole.
import { expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { DASHBOARDS, grafanaJson } from "./mod.ts"

const FOLDER = join(import.meta.dir, "dashboards")

test("the files are what `npm run generate` writes", () => {
  expect(readdirSync(FOLDER).sort()).toEqual(DASHBOARDS.map(({ uid }) => `${uid}.json`).sort())
  for (const dashboard of DASHBOARDS) {
    const text = readFileSync(join(FOLDER, `${dashboard.uid}.json`), "utf8")
    expect(text).toBe(`${JSON.stringify(grafanaJson(dashboard), null, 2)}\n`)
  }
})

interface Laid {
  readonly id: number
  readonly type: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
}

test.each(DASHBOARDS)(
  "$title: panels have an id of their own, lie within 24 columns and do not overlap",
  dashboard => {
    const { panels } = grafanaJson(dashboard) as { panels: Laid[] }
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const taken = new Set<string>()
    for (const { gridPos } of panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x},${y}`)).toBe(false)
          taken.add(`${x},${y}`)
        }
      }
    }
  },
)

test.each(DASHBOARDS)("$title: queries use variables of the dashboard only", dashboard => {
  const known = new Set(["__rate_interval", ...dashboard.variables.map(({ name }) => name)])
  const queries = dashboard.rows.flatMap(({ panels }) => panels.flatMap(({ targets }) => targets))
  for (const { expr } of queries) {
    for (const [, name = ""] of expr.matchAll(/\$(\w+)/g)) expect(known).toContain(name)
  }
})
