// A way to the API server that a test can cut, block and silence, as networks do.
import { connect, createServer, type Socket } from "node:net"

/** A TCP relay on loopback. Use with `using`. */
export class CutLink implements Disposable {
  private readonly server
  private readonly pairs = new Set<readonly [Socket, Socket]>()
  private blocked = false
  private silent = false

  private constructor(target: URL) {
    this.server = createServer(client => {
      if (this.blocked) return void client.resetAndDestroy()
      const upstream = connect(Number(target.port), target.hostname)
      const pair = [client, upstream] as const
      this.pairs.add(pair)
      const end = (): void => {
        this.pairs.delete(pair)
        client.destroy()
        upstream.destroy()
      }
      for (const [from, to] of [pair, [upstream, client] as const]) {
        from.on("data", bytes => {
          if (!this.silent) to.write(bytes)
        })
        from.on("error", end)
        from.on("close", end)
      }
    })
  }

  /** Opens one to a server such as `https://127.0.0.1:40123`. */
  static async to(server: string): Promise<CutLink> {
    const link = new CutLink(new URL(server))
    await new Promise<void>(resolve => link.server.listen(0, "127.0.0.1", resolve))
    return link
  }

  /** Where it listens. */
  get address(): string {
    const address = this.server.address()
    if (address === null || typeof address === "string") throw new Error("the link is closed")
    return `https://127.0.0.1:${address.port}`
  }

  /** Connections open now. */
  get open(): number {
    return this.pairs.size
  }

  /** Resets every connection; new ones are taken. */
  cut(): void {
    for (const [client, upstream] of this.pairs) {
      client.resetAndDestroy()
      upstream.destroy()
    }
  }

  /** Resets every connection, and each new one until `pass` is called. */
  block(): void {
    this.blocked = true
    this.cut()
  }

  /** Loses what is sent, both ways, over connections that stay open. */
  silence(): void {
    this.silent = true
  }

  /** Passes everything again. */
  pass(): void {
    this.blocked = false
    this.silent = false
  }

  [Symbol.dispose](): void {
    this.cut()
    this.server.close()
  }
}
