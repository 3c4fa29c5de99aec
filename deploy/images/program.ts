// One program of the project as a single file for Bun, and the npm packages that went into it.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { PROJECT_ROOT } from "./catalog.ts"
import type { Entry } from "./tar.ts"

/** A bundled program. */
export interface Program {
  readonly bytes: Uint8Array
  /** npm packages whose code is in it, sorted. */
  readonly packages: readonly string[]
}

/** Bundles a program. @param entry from the root of the project @throws Error with the bundler's first complaint */
export async function bundleProgram(entry: string): Promise<Program> {
  const built = await Bun.build({
    entrypoints: [join(PROJECT_ROOT, entry)],
    // Names of files in the bundle do not depend on where the project stands.
    root: PROJECT_ROOT,
    target: "bun",
    minify: true,
    metafile: true,
    throw: false,
  })
  const output = built.outputs[0]
  if (!built.success || output === undefined) {
    throw new Error(`images: ${entry} could not be bundled: ${built.logs[0]?.message ?? "no output"}`)
  }
  const packages = Object.keys(built.metafile?.inputs ?? {}).flatMap(path => {
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]
    return name === undefined ? [] : [name]
  })
  return { bytes: new Uint8Array(await output.arrayBuffer()), packages: [...new Set(packages)].sort() }
}

/** The licence texts of bundled packages, which go where their code goes. */
export function licenceTexts(packages: readonly string[]): Entry[] {
  return packages.flatMap(name => {
    const folder = join(PROJECT_ROOT, "node_modules", name)
    const file = existsSync(folder) ? readdirSync(folder).find(one => /^licen[cs]e/i.test(one)) : undefined
    if (file === undefined) return []
    const content = readFileSync(join(folder, file))
    return [{ path: `usr/share/doc/${name}/copyright`, mode: 0o644, content }]
  })
}
