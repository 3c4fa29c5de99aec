// All that projects of plugins are made from, in one file that packages and images carry: the templates beside this file, the
// API's protos and the code generated from them for each language. Written by `npm run generate`.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const ROOT = join(import.meta.dir, "../..")

/** Folders, and where their files stand among the sources. */
const FOLDERS = [
  ["deploy/plugin_project/template", "template"],
  ["protos/conduit/plugin", "protos/conduit/plugin"],
  ["protos/gen/conduit/plugin", "typescript/conduit/plugin"],
  ["protos/gen/python", "python"],
  ["protos/go/v1", "go/conduit/plugin/v1"],
] as const

/** The sources by path, as they are in the tree now. */
export function collectSources(): Record<string, string> {
  const found = FOLDERS.flatMap(([folder, place]) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && !entry.parentPath.includes("__pycache__"))
      .map(entry => join(entry.parentPath, entry.name))
      .map(path => [`${place}${path.slice(join(ROOT, folder).length)}`, readFileSync(path, "utf8")] as const),
  )
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}
