// Whether this machine can run a local cluster; if not, a plain sentence about what is missing.

/** Something that the machine lacks. The message says what, and how to get it. */
export class PreflightError extends Error {
  constructor(message: string) {
    super(message)
    this.name = "PreflightError"
  }
}

const TOOLS: readonly { readonly names: readonly string[]; readonly debian: string; readonly why: string }[] =
  [
    { names: ["ip"], debian: "iproute2", why: "to link pods" },
    {
      names: ["iptables-nft-restore", "iptables-legacy-restore"],
      debian: "iptables",
      why: "to redirect traffic to proxies",
    },
    {
      names: ["unshare", "nsenter", "setpriv", "mount"],
      debian: "util-linux",
      why: "to make and enter pods",
    },
  ]

/** Checks the machine; also completes this process's PATH. @throws PreflightError on the first thing that is missing */
export function preflight(): void {
  process.env.PATH = completePath(process.env.PATH ?? "")
  if (process.platform !== "linux") {
    throw new PreflightError(
      `conduit dev needs Linux: pods are network namespaces, and ${process.platform} has none`,
    )
  }
  const missing = TOOLS.filter(({ names }) =>
    names[0]?.startsWith("iptables") ? names.every(name => !found(name)) : names.some(name => !found(name)),
  )
  if (missing.length > 0) {
    const list = missing
      .map(({ names, why }) => `${names.filter(name => !found(name))[0]} (${why})`)
      .join(", ")
    const packages = missing.map(({ debian }) => debian).join(" ")
    throw new PreflightError(`conduit dev needs ${list}; on Debian: apt-get install ${packages}`)
  }
  tryNamespaces()
}

function tryNamespaces(): void {
  const flags = ["--fork", "--pid", "--mount-proc", "--net", "--uts", "--ipc"]
  const attempt = Bun.spawnSync(
    ["unshare", ...flags, "sh", "-c", "ip link set lo up && ip link add v0 type veth peer name v1"],
    { stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  )
  if (attempt.exitCode === 0) return
  const said = attempt.stderr.toString().trim().split("\n").at(-1) ?? ""
  const why = "root may not make them here; inside a container it needs --privileged"
  throw new PreflightError(
    `conduit dev cannot make network namespaces: ${said === "" ? why : `${said} (${why})`}`,
  )
}

/** Where tools of the system are, that not everyone's PATH names. */
const SYSTEM_PATHS = ["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

/** The PATH given, with the system's own folders at its end where it lacks them. */
export function completePath(path: string): string {
  const folders = path.split(":").filter(folder => folder !== "")
  return [...folders, ...SYSTEM_PATHS.filter(folder => !folders.includes(folder))].join(":")
}

function found(tool: string): boolean {
  return Bun.which(tool, { PATH: process.env.PATH ?? "" }) !== null
}
