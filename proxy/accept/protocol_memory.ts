// What earlier connections to an address have spoken, so that the next one need not wait to find out.

/** Nothing is known. */
export const SPOKEN_UNKNOWN = 0
/** The server spoke first: dial it at once. */
export const SPOKEN_SERVER_FIRST = 1
/** HTTP of either version. */
export const SPOKEN_HTTP = 2
/** The client spoke first, and it was no HTTP. */
export const SPOKEN_CLIENT_FIRST = 3

/** One of the `SPOKEN_` constants. */
export type Spoken = 0 | 1 | 2 | 3

/** Addresses remembered; beyond it the one that was learnt longest ago is forgotten. About 100 KB. */
export const PROTOCOL_MEMORY_MAX = 1024

/** Remembers per address and port; a guess that speeds things up and never decides alone. */
export class ProtocolMemory {
  private readonly byAddress = new Map<string, Spoken>()
  private readonly limit: number

  constructor(limit: number = PROTOCOL_MEMORY_MAX) {
    this.limit = limit
  }

  /** What the last connection there spoke. */
  recall(address: string, port: number): Spoken {
    return this.byAddress.get(`${address}|${port}`) ?? SPOKEN_UNKNOWN
  }

  /** Remembers what a connection spoke. */
  learn(address: string, port: number, spoken: Spoken): void {
    const key = `${address}|${port}`
    if (this.byAddress.get(key) === spoken) return
    this.byAddress.delete(key)
    this.byAddress.set(key, spoken)
    if (this.byAddress.size > this.limit) {
      // The size is above 0, so there is a first key.
      this.byAddress.delete(this.byAddress.keys().next().value as string)
    }
  }
}
