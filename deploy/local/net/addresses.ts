// The address plan of a local cluster: pods, Services and the name server, IPv4 and IPv6.

/** All pods; 10.244.0.1 is the router's side of every pod's link. */
export const POD_NETWORK = "10.244.0.0/16"
/** See {@link POD_NETWORK}. */
export const POD_NETWORK_V6 = "fd00:10:244::/64"
/** Next hop of every pod. */
export const GATEWAY = "10.244.0.1"
/**
 * Where probes come from. They are no traffic of the mesh: pods do not redirect this address, so that probing a
 * hundred times while a pod starts does not show as failed requests.
 */
export const PROBE_SOURCE = "10.244.0.2"
/** Next hop of every pod for IPv6. */
export const GATEWAY_V6 = "fd00:10:244::1"
/** All Services' own addresses. */
export const SERVICE_NETWORK = "10.96.0.0/16"
/** See {@link SERVICE_NETWORK}. */
export const SERVICE_NETWORK_V6 = "fd00:10:96::/112"
/** The name server, where Kubernetes' usual setup has it. */
export const DNS_ADDRESS = "10.96.0.10"

/** One pod's addresses. */
export interface PodAddress {
  readonly v4: string
  readonly v6: string
}

/** Hands out pod addresses, each again only after all others were used: a stale one should not meet a stranger. */
export class PodAddresses {
  readonly #used = new Set<number>()
  #last = 9

  /** @throws Error when all 65,000 addresses are taken */
  take(): PodAddress {
    for (let tries = 0; tries < 65_524; tries++) {
      this.#last = this.#last >= 65_533 ? 10 : this.#last + 1
      if (this.#used.has(this.#last)) continue
      this.#used.add(this.#last)
      return {
        v4: `10.244.${this.#last >> 8}.${this.#last & 255}`,
        v6: `fd00:10:244::${this.#last.toString(16)}`,
      }
    }
    throw new Error("no pod address is left in 10.244.0.0/16: delete some pods")
  }

  /** Gives an address back. */
  release(address: PodAddress): void {
    const [, , high = "0", low = "0"] = address.v4.split(".")
    this.#used.delete(Number(high) * 256 + Number(low))
  }
}

/** A Service's addresses, the same at every start for the same name unless another holds them. */
export class ServiceAddresses {
  readonly #byKey = new Map<string, number>()
  readonly #used = new Set<number>([10])

  /** IPv4 and IPv6 address of the Service `namespace/name`. */
  take(key: string): PodAddress {
    let index = this.#byKey.get(key)
    if (index === undefined) {
      index = 256 + (fnv1a(key) % 65_000)
      while (this.#used.has(index)) index = index >= 65_500 ? 256 : index + 1
      this.#used.add(index)
      this.#byKey.set(key, index)
    }
    return { v4: `10.96.${index >> 8}.${index & 255}`, v6: `fd00:10:96::${index.toString(16)}` }
  }

  /** Gives the address of a deleted Service back. */
  release(key: string): void {
    const index = this.#byKey.get(key)
    if (index === undefined) return
    this.#byKey.delete(key)
    this.#used.delete(index)
  }
}

/** FNV-1a, 32 bits: spreads names over numbers, the same way every time. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0
  }
  return hash >>> 0
}
