// Builds the programs that pods run in place of our images: one minified file each, which halves a proxy's memory.
import { existsSync, renameSync } from "node:fs"
import { basename, join } from "node:path"

/** Root of the project that this file is part of. */
export const PROJECT_ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "")

/**
 * Bundles a program for Bun into `folder`, replacing what an earlier build left there as a whole.
 *
 * @param entry  path from the root of the project, such as `proxy/main.ts`
 * @returns path of the bundle, `folder/name.js`
 * @throws Error with the bundler's first complaint
 */
export async function bundle(entry: string, folder: string, name: string): Promise<string> {
  const path = join(PROJECT_ROOT, entry)
  if (!existsSync(path))
    throw new Error(`${entry} is missing from ${PROJECT_ROOT}: is the installation complete?`)
  const built = await Bun.build({
    entrypoints: [path],
    target: "bun",
    minify: true,
    throw: false,
  })
  const output = built.outputs[0]
  if (!built.success || output === undefined) {
    throw new Error(`${entry} could not be built: ${built.logs[0]?.message ?? "no output"}`)
  }
  const target = join(folder, `${basename(name)}.js`)
  await Bun.write(`${target}.new`, output)
  renameSync(`${target}.new`, target)
  return target
}
