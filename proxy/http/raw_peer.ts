// Clients and servers for tests that say exactly which bytes go when, and see exactly which bytes come.
import { connect, createServer, type Server, type Socket } from "node:net"

/** How long a test waits for bytes before it fails. */
const PATIENCE_MS = 5_000

/** One side of a connection under a test's hand. */
export class RawPeer {
  readonly socket: Socket
  /** Everything that came, one character a byte. */
  received = ""
  /** The other side's FIN came. */
  ended = false
  /** "" while open; "end" for an orderly close, "reset" for an abrupt one. */
  closed = ""
  private readonly waiters: (() => void)[] = []

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on("data", (data: Uint8Array) => {
      this.received += Buffer.from(data).toString("latin1")
      this.wake()
    })
    socket.on("end", () => {
      this.ended = true
      this.wake()
    })
    socket.on("error", () => {
      this.closed = "reset"
    })
    socket.on("close", () => {
      if (this.closed === "") this.closed = "end"
      this.wake()
    })
  }

  /** Sends text, one byte a character. */
  send(text: string): void {
    this.socket.write(Buffer.from(text, "latin1"))
  }

  /** Waits until `condition` holds. @throws with what came when it never does */
  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS
    while (!condition()) {
      if (performance.now() > deadline) {
        throw new Error(`waited in vain for ${what}; came: ${JSON.stringify(this.received.slice(-2000))}`)
      }
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 50)
        this.waiters.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** Waits for `text`, takes what came up to its end, and gives that. */
  async take(text: string): Promise<string> {
    await this.until(() => this.received.includes(text), JSON.stringify(text))
    const end = this.received.indexOf(text) + text.length
    const taken = this.received.slice(0, end)
    this.received = this.received.slice(end)
    return taken
  }

  /** Waits for the other side's FIN or a reset. */
  async end(): Promise<void> {
    await this.until(() => this.ended || this.closed !== "", "the end")
  }

  private wake(): void {
    for (const waiter of this.waiters.splice(0)) waiter()
  }
}

/** Connects to 127.0.0.1. */
export async function rawClient(port: number): Promise<RawPeer> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true })
  const peer = new RawPeer(socket)
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", () => resolve())
    socket.once("error", reject)
  })
  return peer
}

/** A listening server whose connections a test takes one by one. */
export class RawServer {
  readonly port: number
  /** Connections so far. */
  readonly peers: RawPeer[] = []
  private readonly server: Server

  constructor(server: Server, port: number) {
    this.server = server
    this.port = port
    server.on("connection", socket => this.peers.push(new RawPeer(socket)))
  }

  /** The connection of this number, from 0, once it is there. */
  async peer(index: number): Promise<RawPeer> {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const peer = this.peers[index]
      if (peer !== undefined) return peer
      if (performance.now() > deadline) throw new Error(`connection ${index} never came`)
      await new Promise(resolve => setTimeout(resolve, 2))
    }
  }

  close(): void {
    this.server.close()
    for (const peer of this.peers) peer.socket.destroy()
  }
}

/** Listens on a port of 127.0.0.1. */
export async function rawServer(): Promise<RawServer> {
  const server = createServer({ allowHalfOpen: true })
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  return new RawServer(server, typeof address === "object" && address !== null ? address.port : 0)
}

/** A port of 127.0.0.1 on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = await rawServer()
  server.close()
  return server.port
}
