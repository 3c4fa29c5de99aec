// Where a redirected connection was meant to go: SO_ORIGINAL_DST, and IP6T_SO_ORIGINAL_DST for IPv6
// (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h). Costs about a microsecond.
import { formatIpv4, formatIpv6 } from "./address.ts"
import { readSocketOption } from "./socket_options.ts"

/** An address and port as text and number. */
export interface SocketAddress {
  /** IPv4 or IPv6 address in canonical text form; an IPv4-mapped one as IPv4. */
  readonly address: string
  /** TCP port, 1 to 65535. */
  readonly port: number
}

const SOL_IP = 0
const SOL_IPV6 = 41
const SO_ORIGINAL_DST = 80
const SOCKADDR_IN6_BYTES = 28

const buffer = new Uint8Array(SOCKADDR_IN6_BYTES)
const length = new Uint32Array(1)

/**
 * The address before iptables' REDIRECT.
 *
 * @param fd  descriptor of an accepted socket
 * @param ipv6  whether the connection came over IPv6 (not IPv4-mapped)
 * @returns null when the connection was not redirected or is gone
 */
export function originalDestination(fd: number, ipv6: boolean): SocketAddress | null {
  const found = ipv6
    ? readSocketOption(fd, SOL_IPV6, SO_ORIGINAL_DST, buffer, length)
    : readSocketOption(fd, SOL_IP, SO_ORIGINAL_DST, buffer.subarray(0, 16), length)
  if (!found) return null
  // sockaddr_in: family, port (network order), address at 4. sockaddr_in6: address at 8.
  const port = ((buffer[2] ?? 0) << 8) | (buffer[3] ?? 0)
  if (port === 0) return null
  return { address: ipv6 ? formatIpv6(buffer, 8) : formatIpv4(buffer, 4), port }
}
