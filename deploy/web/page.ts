// The dashboard's page, wherever this is run: built from its sources in a clone, as it was built in a published package,
// which has neither those nor what they are built from.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { buildWeb, PAGE, PROJECT_ROOT, type WebFile } from "./build.ts"

/** Where a package has the page, from its root; `npm pack` makes it (write_page.ts). */
export const BUILT_PAGE = ".build/web"

/**
 * The page's files.
 *
 * @throws Error when it can be neither built nor read
 */
export async function webFiles(): Promise<readonly WebFile[]> {
  if (existsSync(join(PROJECT_ROOT, PAGE))) return (await buildWeb()).files
  const folder = join(PROJECT_ROOT, BUILT_PAGE)
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .map(path => ({ path: path.slice(folder.length + 1), bytes: readFileSync(path) }))
}
