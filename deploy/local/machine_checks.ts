// What a local cluster needs of its machine: one table, for `conduit dev up` and `conduit check`.
import { completePath, PreflightError } from "./preflight.ts"
import { userNamespace } from "./user_namespace.ts"

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

/** Something that a machine must have. */
export interface MachineCheck {
  /** Stable name. */
  readonly id: string
  /** What is checked, in a few words. */
  readonly about: string
  /** A sentence that says what is missing and how to get it; null when all is well. */
  readonly complaint: () => string | null
}

/** Everything that a local cluster needs of its machine, in the order in which it is to be had. */
export const MACHINE_CHECKS: readonly MachineCheck[] = [
  { id: "machine-linux", about: "the machine runs Linux", complaint: notLinux },
  { id: "machine-programs", about: "the system's programs are installed", complaint: missingPrograms },
  { id: "machine-namespaces", about: "network namespaces can be made", complaint: noNamespaces },
  { id: "machine-redirect", about: "the kernel can redirect a pod's TCP", complaint: noRedirect },
]

/** Checks the machine; also completes this process's PATH. @throws PreflightError on the first thing that is missing */
export function preflight(): void {
  for (const { complaint } of MACHINE_CHECKS) {
    const said = complaint()
    if (said !== null) throw new PreflightError(said)
  }
}

function notLinux(): string | null {
  if (process.platform === "linux") return null
  return `conduit dev needs Linux: pods are network namespaces, and ${process.platform} has none`
}

function missingPrograms(): string | null {
  process.env.PATH = completePath(process.env.PATH ?? "")
  const missing = TOOLS.filter(({ names }) =>
    names[0]?.startsWith("iptables") ? names.every(name => !found(name)) : names.some(name => !found(name)),
  )
  if (missing.length === 0) return null
  const list = missing.map(({ names, why }) => `${names.filter(name => !found(name))[0]} (${why})`).join(", ")
  const packages = missing.map(({ debian }) => debian).join(" ")
  return `conduit dev needs ${list}; on Debian: apt-get install ${packages}`
}

function noNamespaces(): string | null {
  let enter: readonly string[]
  try {
    enter = userNamespace({ outlive: true })
  } catch (error) {
    if (error instanceof PreflightError) return error.message
    throw error
  }
  const said = tryInNamespace(enter, "ip link set lo up && ip link add v0 type veth peer name v1", "")
  if (said === null) return null
  const why = "root may not make them here; inside a container it needs --privileged"
  return `conduit dev cannot make network namespaces: ${said === "" ? why : `${said} (${why})`}`
}

/** One rule of the kind that each pod gets, by either of iptables' ways into the kernel. */
const REDIRECT_TRIAL = "*nat\n-A OUTPUT -p tcp -j REDIRECT --to-ports 4140\nCOMMIT\n"

function noRedirect(): string | null {
  const said = tryInNamespace(
    userNamespace({ outlive: true }),
    'rules=$(cat); for way in nft legacy; do printf "%s\\n" "$rules" | "iptables-$way-restore" && exit 0; done; exit 1',
    REDIRECT_TRIAL,
  )
  if (said === null) return null
  return `conduit dev cannot redirect traffic to proxies: ${said === "" ? "iptables refuses" : said} (the kernel needs nftables with nft_redir, or ip_tables with xt_REDIRECT)`
}

/** @returns null when the script succeeds, or the last line that it complained with */
function tryInNamespace(enter: readonly string[], script: string, input: string): string | null {
  const flags = ["--fork", "--pid", "--mount-proc", "--net", "--uts", "--ipc"]
  const attempt = Bun.spawnSync([...enter, "unshare", ...flags, "sh", "-c", script], {
    stdin: Buffer.from(input),
    stdout: "ignore",
    stderr: "pipe",
  })
  return attempt.exitCode === 0 ? null : (attempt.stderr.toString().trim().split("\n").at(-1) ?? "")
}

function found(tool: string): boolean {
  return Bun.which(tool, { PATH: process.env.PATH ?? "" }) !== null
}
