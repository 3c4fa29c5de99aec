// Names of the control plane to addresses, with the pod's own resolver.
import { parseAddress } from "../net/mod.ts"

/**
 * Addresses of a host, in the resolver's order; an address is returned as it is.
 *
 * @throws Error (rejects) when the name does not exist or the resolver fails
 */
export async function resolveName(host: string): Promise<readonly string[]> {
  if (parseAddress(host) !== null) return [host]
  const answers = await Bun.dns.lookup(host, { backend: "libc" })
  return answers.map(answer => answer.address)
}
