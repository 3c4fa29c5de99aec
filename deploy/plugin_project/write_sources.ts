// `npm run generate`: writes sources.json.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { collectSources } from "./sources.ts"

writeFileSync(join(import.meta.dir, "sources.json"), `${JSON.stringify(collectSources(), null, 1)}\n`)
