// For tests: clients and servers that speak HTTP/2 frame by frame over real sockets, so that anything can be said
// and everything said back can be read as lines such as `RST_STREAM 1 CANCEL`.
import type { Socket } from "bun"
import { FrameLines } from "../wire/http2/session_fixture.ts"

/** How long a line may take to come. */
const PATIENCE_MS = 3000

/** One end of a connection. */
export class WirePeer {
  /** Lines not yet taken by `expect`, without those that every connection has (SETTINGS, WINDOW_UPDATE 0). */
  readonly lines: string[] = []
  closed = false
  private readonly socket: Socket<WirePeer | null>
  private readonly reader = new FrameLines()
  private rest: Uint8Array
  private wake: (() => void) | null = null

  constructor(socket: Socket<WirePeer | null>, prefaceBytes: number) {
    this.socket = socket
    this.rest = new Uint8Array(0)
    this.skip = prefaceBytes
  }

  private skip: number
  private readonly bodies = new Map<number, string>()

  /** What came in DATA on a stream, one character an octet. */
  body(streamId: number): string {
    return this.bodies.get(streamId) ?? ""
  }

  private keepBody(bytes: Uint8Array, at: number, length: number): void {
    const id = (bytes[at + 8] ?? 0) | ((bytes[at + 7] ?? 0) << 8)
    const text = Buffer.from(bytes.subarray(at + 9, at + 9 + length)).toString("latin1")
    this.bodies.set(id, this.body(id) + text)
  }

  /** Sends bytes. */
  send(...parts: Uint8Array[]): void {
    for (const part of parts) this.socket.write(part as Uint8Array<ArrayBuffer>, 0, part.length)
  }

  /** Closes the connection. */
  close(): void {
    this.socket.end()
  }

  /** Stops and starts reading. */
  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  /** The next line that begins with `start`; others before it stay. */
  async line(start: string): Promise<string> {
    const until = Date.now() + PATIENCE_MS
    for (;;) {
      const at = this.lines.findIndex(line => line.startsWith(start))
      if (at >= 0) return this.lines.splice(at, 1)[0] ?? ""
      if (Date.now() >= until) throw new Error(`no line "${start}"; there are ${JSON.stringify(this.lines)}`)
      await this.something(until)
    }
  }

  /** Resolves once the other end has closed. */
  async closing(): Promise<void> {
    const until = Date.now() + PATIENCE_MS
    while (!this.closed) {
      if (Date.now() >= until) throw new Error("not closed")
      await this.something(until)
    }
  }

  /** Of the socket. */
  received(chunk: Uint8Array): void {
    let bytes = new Uint8Array(Buffer.concat([this.rest, chunk]))
    const skipped = Math.min(this.skip, bytes.length)
    this.skip -= skipped
    bytes = bytes.subarray(skipped)
    let end = 0
    while (bytes.length - end >= 9) {
      const length = ((bytes[end] ?? 0) << 16) | ((bytes[end + 1] ?? 0) << 8) | (bytes[end + 2] ?? 0)
      if (bytes.length - end < 9 + length) break
      if (bytes[end + 3] === 0) this.keepBody(bytes, end, length)
      end += 9 + length
    }
    for (const line of this.reader.read(bytes.subarray(0, end))) {
      if (!line.startsWith("SETTINGS") && !line.startsWith("WINDOW_UPDATE 0")) this.lines.push(line)
    }
    this.rest = bytes.slice(end)
    this.notify()
  }

  /** Of the socket. */
  ended(): void {
    this.closed = true
    this.notify()
  }

  private notify(): void {
    this.wake?.()
    this.wake = null
  }

  private something(until: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, Math.max(1, until - Date.now()))
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

const handlers = {
  binaryType: "uint8array" as const,
  data(socket: Socket<WirePeer | null>, chunk: Uint8Array) {
    socket.data?.received(chunk)
  },
  end(socket: Socket<WirePeer | null>) {
    socket.data?.ended()
  },
  close(socket: Socket<WirePeer | null>) {
    socket.data?.ended()
  },
}

/** Connects as a client and says hello. */
export async function wireClient(port: number, hello: Uint8Array): Promise<WirePeer> {
  const socket = await Bun.connect<WirePeer | null>({
    hostname: "127.0.0.1",
    port,
    data: null,
    socket: handlers,
  })
  const peer = new WirePeer(socket, 0)
  socket.data = peer
  peer.send(hello)
  return peer
}

/** A server that a test scripts. */
export interface WireServer {
  readonly port: number
  /** Connections so far, in order. */
  readonly peers: WirePeer[]
  /** The connection of this number, once it is there. */
  peer(index: number): Promise<WirePeer>
  close(): void
}

/** Listens, and says `hello` on each connection. */
export function wireServer(hello: Uint8Array): WireServer {
  const peers: WirePeer[] = []
  const server = Bun.listen<WirePeer | null>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      ...handlers,
      open(socket) {
        const peer = new WirePeer(socket, 24)
        socket.data = peer
        peers.push(peer)
        peer.send(hello)
      },
    },
  })
  return {
    port: server.port,
    peers,
    async peer(index) {
      for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await Bun.sleep(1)) {
        const peer = peers[index]
        if (peer !== undefined) return peer
      }
      throw new Error(`no connection ${index}`)
    },
    close: () => server.stop(true),
  }
}
