// Programs that others wrote in Go, built once from their modules and kept in the user's cache folder.
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { basename, join } from "node:path"
import { BUILD_DEADLINE_MS } from "./binaries.ts"

/** A program of a Go module. */
export interface GoProgram {
  /** Name of the file that is built. */
  readonly name: string
  /** Folder of tests/cluster with the go.mod and go.sum that pin it. */
  readonly module: string
  /** Package of the program, or of the tests that the program is to run. */
  readonly of: string
  /** A program of the package's tests, as `go test -c` makes it. */
  readonly tests?: boolean
}

/**
 * Builds a program where the cache has none of those versions; runs side by side wait for each other.
 *
 * The program needs no C library, so that an image can consist of it.
 *
 * @returns its path
 * @throws Error saying what is missing, or the end of what the compiler said
 */
export async function ensureGoProgram({ name, module, of, tests = false }: GoProgram): Promise<string> {
  const folder = join(import.meta.dir, module)
  const hash = createHash("sha256")
    .update(process.arch)
    .update(readFileSync(join(folder, "go.sum")))
  const cache = join(
    process.env.XDG_CACHE_HOME || join(homedir(), ".cache"),
    "conduit",
    `${basename(module)}-${hash.digest("hex").slice(0, 12)}`,
  )
  const target = join(cache, name)
  if (existsSync(target)) return target
  if (Bun.which("go") === null)
    throw new Error(`cluster: ${name} must be built once, and there is no go in PATH (go.dev/dl)`)
  mkdirSync(cache, { recursive: true })
  const build = `go ${tests ? "test -c" : "build -buildvcs=false"} -mod=readonly -trimpath -ldflags "-s -w"`
  // Under the lock another run may have built it meanwhile. The compiler's output gets its name when it is whole.
  const script = `[ -e "$1" ] || { nice -n 19 ${build} -o "$1.part" "$2" && mv "$1.part" "$1"; }`
  const child = Bun.spawn(["flock", `${target}.lock`, "sh", "-c", script, "sh", target, of], {
    cwd: folder,
    env: { ...process.env, CGO_ENABLED: "0" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: BUILD_DEADLINE_MS,
  })
  const [said, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code !== 0)
    throw new Error(`cluster: ${name} could not be built (exit code ${code}):\n${said.slice(-4000)}`)
  return target
}
