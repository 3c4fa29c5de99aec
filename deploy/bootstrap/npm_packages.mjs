// The npm packages of this clone: installed when missing or older than package-lock.json, and made to run also where
// npm does not let packages run their own install scripts.
import { spawnSync } from "node:child_process"
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** The root of the clone. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")

/** Why the installed packages are not what package-lock.json wants, or null when they are. */
function staleReason() {
  const installedFile = join(ROOT, "node_modules/.package-lock.json")
  if (!existsSync(installedFile)) return "they are not installed yet"
  const wanted = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages
  const installed = JSON.parse(readFileSync(installedFile, "utf8")).packages
  for (const [path, one] of Object.entries(wanted)) {
    // Optional packages are there for some platforms only.
    if (path === "" || one.optional) continue
    if (installed[path]?.version !== one.version)
      return `${path.replace(/^node_modules\//, "")} ${one.version} is not installed`
    if (!existsSync(join(ROOT, path, "package.json"))) return `${path} is gone`
  }
  return null
}

/** Installs the npm packages when they are missing or old. */
export function ensureNpmPackages() {
  const reason = staleReason()
  if (reason === null) return
  process.stderr.write(`conduit: installing npm packages with "npm ci" (${reason})\n`)
  // Under `npm run`, npm says where it is; its shell script is the fallback.
  const npm = process.env.npm_execpath?.endsWith(".js")
    ? [process.execPath, process.env.npm_execpath]
    : ["npm"]
  const [program, ...args] = [...npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
  const { status, error } = spawnSync(program, args, { cwd: ROOT, stdio: ["ignore", 2, 2] })
  if (error || status !== 0) {
    throw new Error(
      `"npm ci" failed (${error?.message ?? `exit code ${status}`}): is the npm registry reachable?`,
    )
  }
  linkConduit()
}

/**
 * Makes `npx conduit` and `bunx conduit` work in the clone, and `kubectl conduit` with node_modules/.bin on PATH: npm
 * links the programs of dependencies only.
 */
export function linkConduit() {
  const bin = join(ROOT, "node_modules/.bin")
  mkdirSync(bin, { recursive: true })
  const own = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).bin
  for (const [name, program] of Object.entries(own)) {
    const link = join(bin, name)
    const target = `../../${program}`
    const there = lstatSync(link, { throwIfNoEntry: false })
    if (there?.isSymbolicLink() && readlinkSync(link) === target) continue
    if (there) rmSync(link)
    symlinkSync(target, link)
  }
}

/** The packages whose program comes with an install script, which npm may have left out. */
const PROGRAMS = [
  { name: "bun", program: "bun", install: "bun/install.js" },
  { name: "buf", program: "buf", install: "@bufbuild/buf/install.js" },
]

/**
 * Sees that bun and buf start, running their install scripts where npm did not.
 *
 * @throws Error naming the program that does not start
 */
export function makeRunnable({ quiet }) {
  for (const { name, program, install } of PROGRAMS) {
    if (starts(program) === null) continue
    const script = join(ROOT, "node_modules", install)
    // An installation for use only leaves buf out.
    if (name !== "bun" && !existsSync(script)) continue
    if (!quiet) process.stderr.write(`conduit: finishing the installation of ${name}\n`)
    if (existsSync(script))
      spawnSync(process.execPath, [script], { cwd: join(script, ".."), stdio: ["ignore", 2, 2] })
    const problem = starts(program)
    if (problem !== null)
      throw new Error(`${name} of node_modules does not start on this machine: ${problem}`)
  }
}

function starts(program) {
  const { status, error, stderr } = spawnSync(join(ROOT, "node_modules/.bin", program), ["--version"], {
    encoding: "utf8",
  })
  if (error) return error.message
  return status === 0 ? null : (stderr.trim().split("\n")[0] ?? `exit code ${status}`)
}
