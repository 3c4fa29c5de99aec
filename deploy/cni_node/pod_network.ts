// Finds a pod's network namespace among those that a runtime keeps on the node, by the pod's addresses, and redirects it.
// A process of its own does that: it goes from network to network and does not come back.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { enterNetwork, ownNetwork } from "../cni/mod.ts"
import { applyRedirect, iptablesInPath, type RedirectOptions } from "../redirect/mod.ts"

/**
 * Redirects every network namespace in a folder that has one of the addresses.
 *
 * @param folder  where the runtime keeps them, such as /run/netns
 * @returns null, or what went wrong, that none has such an address among it
 */
export function redirectByAddress(
  folder: string,
  addresses: readonly string[],
  options: RedirectOptions,
): string | null {
  const home = ownNetwork()
  let found = 0
  for (const name of readdirSync(folder)) {
    try {
      enterNetwork(join(folder, name), home)
    } catch {
      // One that is just going, no network at all, or the node's own.
      continue
    }
    if (!ownAddresses().some(address => addresses.includes(address))) continue
    found++
    const complaint = applyRedirect(options, iptablesInPath("/dev/shm/xtables.lock"))
    if (complaint !== null) return complaint
  }
  return found > 0 ? null : `no network namespace in ${folder} has the address ${addresses.join(" or ")}`
}

/** Addresses of the network that this thread is in. */
function ownAddresses(): string[] {
  const table = readFileSync("/proc/thread-self/net/fib_trie", "latin1")
  const ipv4 = [...table.matchAll(/\|-- (\d+\.\d+\.\d+\.\d+)\n\s+\/32 host LOCAL/g)].map(
    match => match[1] ?? "",
  )
  let lines = ""
  try {
    lines = readFileSync("/proc/thread-self/net/if_inet6", "latin1")
  } catch {
    // A kernel without IPv6.
  }
  const ipv6 = lines.split("\n").flatMap(line => {
    const [hex = ""] = line.split(" ")
    return hex.length === 32 ? [canonicalIpv6(hex.replace(/(.{4})(?!$)/g, "$1:"))] : []
  })
  return [...ipv4, ...ipv6].filter(address => !address.startsWith("127.") && address !== "::1")
}

/** IPv6 address in the shortest form (RFC 5952), as Kubernetes writes it. */
function canonicalIpv6(address: string): string {
  return new URL(`http://[${address}]/`).hostname.slice(1, -1)
}
