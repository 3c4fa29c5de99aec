// Helm, built once from its Go module and kept in the user's cache folder, keyed by its versions.
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { BUILD_DEADLINE_MS } from "./binaries.ts"

const MODULE = join(import.meta.dir, "helm")

/** Path of the program. @throws Error saying what is missing, or the end of what the compiler said */
export async function ensureHelm(): Promise<string> {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache")
  const hash = createHash("sha256").update(readFileSync(join(MODULE, "go.sum")))
  const folder = join(cache, "conduit/helm", hash.digest("hex").slice(0, 12))
  const target = join(folder, "helm")
  if (existsSync(target)) return target
  if (Bun.which("go") === null)
    throw new Error("cluster: helm must be built once, and there is no go in PATH")
  mkdirSync(folder, { recursive: true })
  const script = `nice -n 19 go build -buildvcs=false -mod=readonly -o "$1.part" helm.sh/helm/v3/cmd/helm && mv "$1.part" "$1"`
  const child = Bun.spawn(["flock", `${target}.lock`, "sh", "-c", script, "sh", target], {
    cwd: MODULE,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: BUILD_DEADLINE_MS,
  })
  const [said, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code !== 0)
    throw new Error(`cluster: helm could not be built (exit code ${code}):\n${said.slice(-4000)}`)
  return target
}
