// The program of the `conduit-init` container: gives its pod the redirect that its arguments describe, by iptables of
// the kernel's nftables or, where that does not go, of its older tables.
import { readFileSync } from "node:fs"
import { parseRedirectArgs, redirectRules } from "./redirect.ts"

/** iptables' two ways into the kernel, the current one first. */
const BACKENDS = ["nft", "legacy"] as const

/** A pod without an address of that family has nothing to redirect in it. */
function hasIpv6Address(): boolean {
  try {
    // Addresses, one a line; the fourth word is the scope: 00 global, 10 loopback, 20 link.
    const lines = readFileSync("/proc/net/if_inet6", "latin1").trim().split("\n")
    return lines.some(line => line.split(/\s+/)[3] === "00")
  } catch {
    return false
  }
}

/** Feeds rules to iptables-restore. @returns null, or what every backend complained of */
function apply(family: "iptables" | "ip6tables", rules: string): string | null {
  const complaints: string[] = []
  for (const backend of BACKENDS) {
    const program = `${family}-${backend}-restore`
    if (Bun.which(program) === null) {
      complaints.push(`${program} is not in the image`)
      continue
    }
    // The older tables have a lock file, and the pod's root may be read-only.
    const env = { ...process.env, XTABLES_LOCKFILE: "/dev/shm/xtables.lock" }
    const run = Bun.spawnSync([program], { stdin: Buffer.from(rules), stdout: "pipe", stderr: "pipe", env })
    if (run.exitCode === 0) return null
    complaints.push(
      `${program}: ${run.stderr.toString().trim().split("\n").join("; ") || `exit code ${run.exitCode}`}`,
    )
  }
  return complaints.join(" | ")
}

function main(args: readonly string[]): string | null {
  const rules = redirectRules(parseRedirectArgs(args))
  const failed = apply("iptables", rules)
  if (failed !== null) {
    return `the pod's TCP could not be redirected: ${failed}. The container needs NET_ADMIN and NET_RAW, the node's kernel nftables (nft_redir) or ip_tables (xt_REDIRECT)`
  }
  if (!hasIpv6Address()) return null
  const failed6 = apply("ip6tables", rules)
  return failed6 === null ? null : `the pod's TCP over IPv6 could not be redirected: ${failed6}`
}

let complaint: string | null
try {
  complaint = main(process.argv.slice(2))
} catch (error) {
  complaint = error instanceof Error ? error.message.replace(/^conduit-init: /, "") : String(error)
}
if (complaint !== null) process.stderr.write(`conduit-init: ${complaint}\n`)
process.exitCode = complaint === null ? 0 : 1
