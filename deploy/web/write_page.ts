// Writes the dashboard's page for `npm pack`.
import { rmSync } from "node:fs"
import { join } from "node:path"
import { buildWeb, PROJECT_ROOT, writeFiles } from "./build.ts"
import { BUILT_PAGE } from "./page.ts"

const folder = join(PROJECT_ROOT, BUILT_PAGE)
rmSync(folder, { recursive: true, force: true })
writeFiles(folder, (await buildWeb()).files)
