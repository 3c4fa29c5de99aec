// Kubernetes' own programs, built once from its Go module and kept in the user's cache folder, keyed by everything
// that they are built from. (Its module archive has no staging modules; kubernetes/go.mod names them.)
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { homedir } from "node:os"
import { basename, dirname, join } from "node:path"

/** A Go module here, and what of it decides what comes out. */
interface Source {
  readonly folder: string
  readonly files: readonly string[]
}

const KUBERNETES: Source = {
  folder: join(import.meta.dir, "kubernetes"),
  files: ["go.mod", "go.sum", "pause/main.go"],
}
/** CoreDNS has a module of its own: it wants other releases of what both use. */
const DNS: Source = { folder: join(import.meta.dir, "dns"), files: ["go.mod", "go.sum", "main.go"] }

/** Programs, the module that each is built in, and what `go build` calls it there. */
const PROGRAMS = {
  "kube-apiserver": [KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver"],
  "kube-controller-manager": [KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager"],
  "kube-scheduler": [KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler"],
  "kube-proxy": [KUBERNETES, "k8s.io/kubernetes/cmd/kube-proxy"],
  kubelet: [KUBERNETES, "k8s.io/kubernetes/cmd/kubelet"],
  kubectl: [KUBERNETES, "k8s.io/kubernetes/cmd/kubectl"],
  pause: [KUBERNETES, "./pause"],
  coredns: [DNS, "."],
} as const

/** A program that can be built. */
export type Binary = keyof typeof PROGRAMS

/** Longest build of one program, in milliseconds: the first one compiles everything that the others share. */
export const BUILD_DEADLINE_MS = 25 * 60_000

/** Release of Kubernetes that is built, such as `v1.34.4`. */
export function kubernetesVersion(): string {
  const version = /^require k8s\.io\/kubernetes (v\S+)/m.exec(
    readFileSync(join(KUBERNETES.folder, "go.mod"), "utf8"),
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
 * @returns paths of the programs
 * @throws Error saying what is missing, or the end of what the compiler said
 */
export async function ensureBinaries(
  wanted: readonly Binary[],
  say: (sentence: string) => void,
): Promise<(name: Binary) => string> {
  const missing = wanted.filter(name => !existsSync(cachedPath(name)))
  const lack = toolchainLack(wanted)
  if (lack !== null) throw new Error(`cluster: ${lack}`)
  for (const name of missing) {
    say(
      `building ${name} (Kubernetes ${kubernetesVersion()}) into ${cachedPath(name)}, once; the first takes some minutes`,
    )
    const startedMs = performance.now()
    await build(name)
    say(`built ${name} in ${Math.round((performance.now() - startedMs) / 1000)} s`)
  }
  return cachedPath
}

/** What stands in the way of having those programs, as a sentence; null when they are built or can be. */
export function toolchainLack(wanted = Object.keys(PROGRAMS) as readonly Binary[]): string | null {
  const missing = wanted.filter(name => !existsSync(cachedPath(name)))
  if (missing.length === 0 || Bun.which("go") !== null) return null
  return `${missing.join(", ")} must be built once, and there is no go: install Go ${goVersion()} or newer (go.dev/dl), and have it in PATH`
}

/** Where a program is, or will be: by what it is built from. */
function cachedPath(name: Binary): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache")
  const [{ folder, files }] = PROGRAMS[name]
  const hash = createHash("sha256").update(process.arch)
  for (const file of files) hash.update(readFileSync(join(folder, file)))
  const version = `${basename(folder)}-${hash.digest("hex").slice(0, 12)}`
  return join(cache, "conduit/cluster", version, name)
}

async function build(name: Binary): Promise<void> {
  const target = cachedPath(name)
  const [source, what] = PROGRAMS[name]
  mkdirSync(dirname(target), { recursive: true })
  // Under the lock another run may have built it meanwhile. The compiler's output gets its name when it is whole.
  const script = `[ -e "$1" ] || { nice -n 19 go build -buildvcs=false -mod=readonly -ldflags "$3" -o "$1.part" "$2" && mv "$1.part" "$1"; }`
  const child = Bun.spawn(
    ["flock", `${target}.lock`, "sh", "-c", script, "sh", target, what, linkerFlags()],
    {
      cwd: source.folder,
      env: { ...process.env, ...(name === "pause" ? { CGO_ENABLED: "0" } : {}) },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      timeout: BUILD_DEADLINE_MS,
    },
  )
  const [said, code] = await Promise.all([child.stderr.text(), child.exited])
  if (code === 0) return
  throw new Error(`cluster: ${name} could not be built (exit code ${code}):\n${said.slice(-4000)}`)
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
  return /^go (\S+)/m.exec(readFileSync(join(KUBERNETES.folder, "go.mod"), "utf8"))?.[1] ?? "1.24"
}
