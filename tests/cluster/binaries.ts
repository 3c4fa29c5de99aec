// Kubernetes' own programs, built once from its Go module and kept in the user's cache folder, keyed by everything
// that they are built from. (Its module archive has no staging modules; kubernetes/go.mod names them.)
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

/** Programs, by file name, and what `go build` calls each. */
const PACKAGES = {
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
  kubelet: "k8s.io/kubernetes/cmd/kubelet",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
  pause: "./pause",
} as const

/** A program that can be built. */
export type Binary = keyof typeof PACKAGES

/** Longest build of one program, in milliseconds: the first one compiles everything that the others share. */
export const BUILD_DEADLINE_MS = 25 * 60_000

const MODULE = join(import.meta.dir, "kubernetes")

/** Release of Kubernetes that is built, such as `v1.34.4`. */
export function kubernetesVersion(): string {
  const version = /^require k8s\.io\/kubernetes (v\S+)/m.exec(
    readFileSync(join(MODULE, "go.mod"), "utf8"),
  )?.[1]
  if (version === undefined) throw new Error("tests/cluster/kubernetes/go.mod requires no k8s.io/kubernetes")
  return version
}

/**
 * Builds what is missing, and says so: a first build takes minutes.
 *
 * Runs side by side wait for each other; a build that is killed leaves nothing that a later run would take for whole.
 *
 * @param say  told a sentence before each build
 * @returns folder of the programs
 * @throws Error saying what is missing, or the end of what the compiler said
 */
export async function ensureBinaries(
  wanted: readonly Binary[],
  say: (sentence: string) => void,
): Promise<string> {
  const folder = cacheFolder()
  const missing = wanted.filter(name => !existsSync(join(folder, name)))
  if (missing.length === 0) return folder
  if (Bun.which("go") === null) {
    throw new Error(
      `cluster: ${missing.join(", ")} must be built once, and there is no go: install Go ${goVersion()} or newer (Debian: apt-get install golang-go of backports; or the archive of go.dev/dl), and have it in PATH`,
    )
  }
  mkdirSync(folder, { recursive: true })
  for (const name of missing) {
    say(
      `building ${name} of Kubernetes ${kubernetesVersion()} into ${folder}, once; the first takes some minutes`,
    )
    const startedMs = performance.now()
    await build(name, folder)
    say(`built ${name} in ${Math.round((performance.now() - startedMs) / 1000)} s`)
  }
  return folder
}

/** Where the programs of this version are, or will be. */
export function cacheFolder(): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache")
  const hash = createHash("sha256").update(JSON.stringify([PACKAGES, process.arch]))
  for (const file of ["go.mod", "go.sum", "pause/main.go"]) hash.update(readFileSync(join(MODULE, file)))
  return join(cache, "conduit/kubernetes", `${kubernetesVersion()}-${hash.digest("hex").slice(0, 12)}`)
}

async function build(name: Binary, folder: string): Promise<void> {
  const target = join(folder, name)
  // Under the lock another run may have built it meanwhile. The compiler's output gets its name when it is whole.
  const script = `[ -e "$1" ] || { nice -n 19 go build -buildvcs=false -mod=readonly -ldflags "$3" -o "$1.part" "$2" && mv "$1.part" "$1"; }`
  const child = Bun.spawn(
    ["flock", `${target}.lock`, "sh", "-c", script, "sh", target, PACKAGES[name], linkerFlags()],
    {
      cwd: MODULE,
      env: { ...process.env, ...(name === "pause" ? { CGO_ENABLED: "0" } : {}) },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      timeout: BUILD_DEADLINE_MS,
    },
  )
  const [said, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code === 0) return
  throw new Error(
    `cluster: ${name} of Kubernetes could not be built (exit code ${code}):\n${said.slice(-4000)}`,
  )
}

/** What Kubernetes' own build passes: without a version its programs do not talk to each other. */
function linkerFlags(): string {
  const version = kubernetesVersion()
  const [major, minor] = version.slice(1).split(".")
  const facts = {
    gitVersion: version,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: "archive",
    buildDate: "1970-01-01T00:00:00Z",
  }
  const set = Object.entries(facts).flatMap(([name, value]) =>
    ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"].map(at => `-X ${at}.${name}=${value}`),
  )
  return ["-s", "-w", ...set].join(" ")
}

function goVersion(): string {
  return /^go (\S+)/m.exec(readFileSync(join(MODULE, "go.mod"), "utf8"))?.[1] ?? "1.24"
}
