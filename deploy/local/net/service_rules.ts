// What kube-proxy does, as text for iptables-restore in the router's namespace: a Service's address becomes one
// of its ready endpoints', each new connection by chance.
import { DNS_ADDRESS, SERVICE_NETWORK, SERVICE_NETWORK_V6 } from "./addresses.ts"

/** One port of a Service with the endpoints that are ready for it. */
export interface ServicePortRules {
  /** Address of the Service; IPv4 and IPv6 ones go to different tables. */
  readonly address: string
  readonly protocol: "tcp" | "udp"
  readonly port: number
  readonly endpoints: readonly { readonly address: string; readonly port: number }[]
}

/**
 * Rules of one address family. They replace the chains of an earlier call as a whole (`iptables-restore
 * --noflush`), so established connections go on and new ones see only the new endpoints.
 *
 * Hairpin: a pod that reaches itself through a Service would answer itself directly; its address is masked.
 */
export function serviceRules(ports: readonly ServicePortRules[], family: "v4" | "v6"): string {
  const mine = ports.filter(port => isV6(port.address) === (family === "v6"))
  const nat = ["*nat", ":CONDUIT_SERVICES - [0:0]", ":CONDUIT_HAIRPIN - [0:0]"]
  const pods = new Set<string>()
  for (const { address, protocol, port, endpoints } of mine) {
    for (const [index, endpoint] of endpoints.entries()) {
      const left = endpoints.length - index
      const chance = left === 1 ? "" : ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}`
      const to =
        family === "v6" ? `[${endpoint.address}]:${endpoint.port}` : `${endpoint.address}:${endpoint.port}`
      nat.push(
        `-A CONDUIT_SERVICES -d ${address} -p ${protocol} -m ${protocol} --dport ${port}${chance} -j DNAT --to-destination ${to}`,
      )
      pods.add(endpoint.address)
    }
  }
  for (const pod of [...pods].sort()) nat.push(`-A CONDUIT_HAIRPIN -s ${pod} -d ${pod} -j MASQUERADE`)
  nat.push("COMMIT", "")
  return nat.join("\n")
}

/**
 * Rules that stay for the router's life; what still goes to a Service's address has no endpoint: refuse it, from the router
 * itself too. A packet that is dropped instead is remembered by conntrack as it was, and sent again to nobody for two
 * minutes, whatever the rules say by then.
 */
export function baseRules(family: "v4" | "v6"): string {
  const network = family === "v6" ? SERVICE_NETWORK_V6 : SERVICE_NETWORK
  const unreachable = family === "v6" ? "icmp6-port-unreachable" : "icmp-port-unreachable"
  return [
    "*nat",
    ":CONDUIT_SERVICES - [0:0]",
    ":CONDUIT_HAIRPIN - [0:0]",
    "-A PREROUTING -j CONDUIT_SERVICES",
    "-A OUTPUT -j CONDUIT_SERVICES",
    "-A POSTROUTING -j CONDUIT_HAIRPIN",
    "COMMIT",
    "*filter",
    `-A FORWARD -d ${network} -p tcp -j REJECT --reject-with tcp-reset`,
    `-A FORWARD -d ${network} -j REJECT --reject-with ${unreachable}`,
    // The router's own.
    ...(family === "v6" ? [] : [`-A OUTPUT -d ${DNS_ADDRESS} -j ACCEPT`]),
    `-A OUTPUT -d ${network} -p tcp -j REJECT --reject-with tcp-reset`,
    "COMMIT",
    "",
  ].join("\n")
}

/** Whether an address is IPv6. */
export function isV6(address: string): boolean {
  return address.includes(":")
}
