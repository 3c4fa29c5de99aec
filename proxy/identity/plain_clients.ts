// Addresses of clients that spoke without TLS of the mesh, so that the next silent connection of theirs is not held up.

/** Addresses remembered at most; whoever was met longest ago is forgotten first. */
export const PLAIN_CLIENTS_MAX = 1024

/** Addresses of unmeshed clients. */
export class PlainClients {
  private readonly addresses = new Set<string>()

  /** Whether a client at the address spoke plainly last time. */
  has(address: string): boolean {
    return this.addresses.has(address)
  }

  /** A client at the address spoke plainly. */
  add(address: string): void {
    if (this.addresses.has(address)) return
    this.addresses.add(address)
    if (this.addresses.size > PLAIN_CLIENTS_MAX) {
      // Not empty, so there is a first one.
      this.addresses.delete(this.addresses.values().next().value as string)
    }
  }

  /** A client at the address is of the mesh. */
  remove(address: string): void {
    this.addresses.delete(address)
  }
}
