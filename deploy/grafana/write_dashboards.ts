// `npm run generate`: writes the dashboards as Grafana reads them, one file each, named for their uid.
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DASHBOARDS, grafanaJson } from "./mod.ts"

if (import.meta.main) {
  const folder = join(import.meta.dir, "dashboards")
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const dashboard of DASHBOARDS) {
    writeFileSync(
      join(folder, `${dashboard.uid}.json`),
      `${JSON.stringify(grafanaJson(dashboard), null, 2)}\n`,
    )
  }
}
