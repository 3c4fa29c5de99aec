// `bun write_main.ts FOLDER`: the dashboard's page with its compressed files, as its image has them.
import { buildWeb, compressed, writeFiles } from "./build.ts"

const folder = process.argv[2]
if (folder === undefined) {
  process.stderr.write("usage: write_main.ts FOLDER\n")
  process.exit(2)
}
writeFiles(folder, compressed((await buildWeb()).files))
