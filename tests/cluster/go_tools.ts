// Tools of others that tests compare with, built once from their Go modules and kept in the user's cache folder, keyed by
// their versions.
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { BUILD_DEADLINE_MS } from "./binaries.ts"

/** Tools, each with a Go module of its name here, and what `go build` calls it there. */
const TOOLS = {
  helm: "helm.sh/helm/v3/cmd/helm",
  grpcurl: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
} as const

/** Path of a tool. @throws Error saying what is missing, or the end of what the compiler said */
export async function ensureTool(name: keyof typeof TOOLS): Promise<string> {
  const source = join(import.meta.dir, name)
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache")
  const hash = createHash("sha256").update(readFileSync(join(source, "go.sum")))
  const folder = join(cache, "conduit", name, hash.digest("hex").slice(0, 12))
  const target = join(folder, name)
  if (existsSync(target)) return target
  if (Bun.which("go") === null)
    throw new Error(`cluster: ${name} must be built once, and there is no go in PATH`)
  mkdirSync(folder, { recursive: true })
  // Under the lock another run may have built it meanwhile.
  const script = `[ -e "$1" ] || { nice -n 19 go build -buildvcs=false -mod=readonly -o "$1.part" "$2" && mv "$1.part" "$1"; }`
  const child = Bun.spawn(["flock", `${target}.lock`, "sh", "-c", script, "sh", target, TOOLS[name]], {
    cwd: source,
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
