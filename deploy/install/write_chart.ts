// `bun deploy/install/write_chart.ts`: writes the chart's folder anew. Part of `npm run generate`.
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import project from "../../package.json" with { type: "json" }
import { chartFiles } from "./chart.ts"

const folder = join(import.meta.dir, "chart")
rmSync(folder, { recursive: true, force: true })
for (const [path, text] of chartFiles(project.version)) {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}
