// Whether a client is one that a rule's `from` means. Done once per kind of client, not per request.
import { contains, type Network, parseIp, parseNetwork } from "./network.ts"
import type { Source } from "./workload_policy.ts"

/** A client as policies see it. */
export interface PolicyClient {
  /** IP address as text. */
  readonly address: string
  /** SPIFFE id that it proved; empty for none. */
  readonly spiffeId: string
}

/** A client with what its address and identity mean. */
export class ClientFacts {
  readonly spiffeId: string
  /** It proved an identity of the trust domain. */
  readonly meshed: boolean
  /** Bytes of the address; null when the text is none, which no network contains. */
  readonly address: Uint8Array | null

  constructor(client: PolicyClient, trustDomain: string) {
    this.spiffeId = client.spiffeId
    this.meshed = client.spiffeId.startsWith(`spiffe://${trustDomain}/`)
    this.address = parseIp(client.address)
  }
}

/** A rule's `from`. */
export class Sources {
  private readonly any: boolean
  private readonly matchUnknown: boolean
  private readonly identities = new Set<string>()
  private readonly prefixes: string[] = []
  private readonly networks: Network[] = []
  private readonly shared: { readonly identities: ReadonlySet<string>; readonly addresses: Set<string> }[] =
    []
  private unknown = false

  /**
   * @param matchUnknown  a client of a kind that this version does not know is matched: so in a Deny, for what it
   *   was meant to refuse must not slip through
   */
  constructor(sources: readonly Source[], matchUnknown: boolean) {
    this.any = sources.length === 0
    this.matchUnknown = matchUnknown
    for (const { client } of sources) {
      if (client.case === "identity") this.identities.add(client.value)
      else if (client.case === "identityPrefix") this.prefixes.push(client.value)
      else if (client.case === "network") {
        const network = parseNetwork(client.value)
        if (typeof network === "string") this.unknown = true
        else this.networks.push(network)
      } else if (client.case === "workload") {
        const { identities, addresses, exclusive } = client.value
        if (exclusive) for (const identity of identities) this.identities.add(identity)
        else
          this.shared.push({ identities: new Set(identities), addresses: new Set(addresses.map(addressKey)) })
      } else this.unknown = true
    }
  }

  /** Whether the client is one of them. */
  match(client: ClientFacts): boolean {
    if (this.any || (this.unknown && this.matchUnknown)) return true
    const { spiffeId, address } = client
    if (spiffeId !== "") {
      if (this.identities.has(spiffeId)) return true
      for (const prefix of this.prefixes) {
        if (prefix === "" ? client.meshed : spiffeId.startsWith(prefix)) return true
      }
      if (address !== null && this.shared.length > 0) {
        const key = addressKey(address)
        for (const one of this.shared) if (one.identities.has(spiffeId) && one.addresses.has(key)) return true
      }
    }
    if (address !== null) for (const network of this.networks) if (contains(network, address)) return true
    return false
  }
}

/** Either family as text; an IPv4-mapped address has been made IPv4 by whoever parsed it. */
function addressKey(address: Uint8Array): string {
  return address.join(".")
}
