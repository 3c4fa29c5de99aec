// Bun itself for each architecture, out of its npm package, checked against package-lock.json.
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import lock from "../../package-lock.json" with { type: "json" }
import type { Architecture } from "./oci.ts"

const PACKAGES = { amd64: "@oven/bun-linux-x64", arm64: "@oven/bun-linux-aarch64" } as const

/** What package-lock.json says of a package. */
interface Locked {
  readonly version?: string
  readonly integrity?: string
  readonly license?: string
}
const LOCKED: Readonly<Record<string, Locked>> = lock.packages

/** The program, and the package that it is from. */
export interface BunProgram {
  readonly package: string
  readonly version: string
  readonly program: Uint8Array
}

/**
 * Fetches Bun with npm, or takes it from the cache.
 *
 * @throws Error when npm fails, or gives another package than the lock names
 */
export async function bunProgram(cache: string, architecture: Architecture): Promise<BunProgram> {
  const name = PACKAGES[architecture]
  const { version, integrity } = lockedPackage(name)
  const folder = join(cache, `bun-${version}-${architecture}`)
  const path = join(folder, "bun")
  if (!existsSync(path)) {
    const partial = `${folder}.part`
    rmSync(partial, { recursive: true, force: true })
    mkdirSync(partial, { recursive: true })
    const packed = await output([
      "npm",
      "pack",
      "--json",
      `--pack-destination=${partial}`,
      `${name}@${version}`,
    ])
    const file = (JSON.parse(packed) as { filename: string }[])[0]?.filename ?? ""
    // Scopes stand in the name as npm writes it, or as a slash.
    const archive = join(partial, file.replace("@", "").replace("/", "-"))
    const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`
    if (found !== integrity)
      throw new Error(`images: npm gave a ${name} ${version} that package-lock.json does not name`)
    await output(["tar", "--extract", `--file=${archive}`, `--directory=${partial}`, "package/bin/bun"])
    renameSync(join(partial, "package/bin/bun"), join(partial, "bun"))
    rmSync(archive)
    rmSync(folder, { recursive: true, force: true })
    renameSync(partial, folder)
  }
  return { package: name, version, program: readFileSync(path) }
}

/** Version, checksum and licence of an npm package. @throws Error when the lock does not name it */
export function lockedPackage(name: string): { version: string; integrity: string; license: string } {
  const { version, integrity = "", license = "NOASSERTION" } = LOCKED[`node_modules/${name}`] ?? {}
  if (version === undefined) throw new Error(`images: package-lock.json has no ${name}`)
  return { version, integrity, license }
}

async function output(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code === 0) return stdout
  throw new Error(`images: ${command.join(" ")} failed: ${stderr.trim()}`)
}
