// Gives the network namespace that this thread is in its redirect, by iptables of the kernel's nftables or, where that
// does not go, of its older tables: in a pod (conduit-init) and for one (the CNI plugin).
import { readFileSync } from "node:fs"
import { type RedirectOptions, redirectRules } from "./redirect.ts"

/** Longest run of iptables; it takes milliseconds, and whoever starts the pod waits for it. */
export const IPTABLES_TIMEOUT_MS = 10_000

/** iptables' two ways into the kernel, the current one first. */
const BACKENDS = ["nft", "legacy"] as const

/** IPv4's program or IPv6's. */
export type Family = "iptables" | "ip6tables"

/** A program to run, with variables besides those of this process. */
export interface IptablesCommand {
  readonly command: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** How iptables' programs are run here. */
export interface Iptables {
  /** The command of, say, `iptables-nft-restore`; null where there is none. */
  readonly find: (
    family: Family,
    backend: "nft" | "legacy",
    action: "restore" | "save",
  ) => IptablesCommand | null
  /** Lock of the older tables: a file that this process can write to. */
  readonly lockFile: string
}

/** iptables' programs in PATH, by the names that Debian's package gives them. */
export function iptablesInPath(lockFile: string, path = process.env.PATH ?? ""): Iptables {
  return {
    lockFile,
    find: (family, backend, action) => {
      const program = Bun.which(`${family}-${backend}-${action}`, { PATH: path })
      return program === null ? null : { command: [program] }
    },
  }
}

/**
 * Redirects TCP of this network namespace, of IPv6 too where it has an address. Twice is as once.
 *
 * @returns null, or what every backend complained of
 */
export function applyRedirect(options: RedirectOptions, iptables: Iptables): string | null {
  const rules = redirectRules(options)
  const failed = restore("iptables", rules, iptables)
  if (failed !== null) return `the pod's TCP could not be redirected: ${failed}`
  if (!hasIpv6Address()) return null
  const failed6 = restore("ip6tables", rules, iptables)
  return failed6 === null ? null : `the pod's TCP over IPv6 could not be redirected: ${failed6}`
}

/** Whether this network namespace has a redirect, in every family in which it has addresses. */
export function isRedirected(iptables: Iptables): boolean {
  return hasChains("iptables", iptables) && (!hasIpv6Address() || hasChains("ip6tables", iptables))
}

/** A pod without an address of that family has nothing to redirect in it. */
function hasIpv6Address(): boolean {
  try {
    // Addresses, one a line; the fourth word is the scope: 00 global, 10 loopback, 20 link.
    const lines = readFileSync("/proc/thread-self/net/if_inet6", "latin1").trim().split("\n")
    return lines.some(line => line.split(/\s+/)[3] === "00")
  } catch {
    return false
  }
}

function hasChains(family: Family, iptables: Iptables): boolean {
  return BACKENDS.some(backend => {
    const program = iptables.find(family, backend, "save")
    return program !== null && run(program, "", iptables).stdout.includes(":CONDUIT_OUTBOUND")
  })
}

function restore(family: Family, rules: string, iptables: Iptables): string | null {
  const complaints: string[] = []
  for (const backend of BACKENDS) {
    const program = iptables.find(family, backend, "restore")
    if (program === null) {
      complaints.push(`${family}-${backend}-restore is missing`)
      continue
    }
    const { exitCode, stderr } = run(program, rules, iptables)
    if (exitCode === 0) return null
    complaints.push(
      `${family}-${backend}-restore: ${stderr.trim().split("\n").join("; ") || `exit code ${exitCode}`}`,
    )
  }
  return complaints.join(" | ")
}

function run({ command, env }: IptablesCommand, input: string, { lockFile }: Iptables) {
  const child = Bun.spawnSync([...command], {
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
    timeout: IPTABLES_TIMEOUT_MS,
    env: { ...process.env, ...env, XTABLES_LOCKFILE: lockFile },
  })
  return { exitCode: child.exitCode, stdout: child.stdout.toString(), stderr: child.stderr.toString() }
}
