// A port of 127.0.0.1 that leads to the dashboard: each connection gets a way of its own, looked for when it is needed, so
// that a pod that went, or a mesh that was started anew, is found again by the page's next request.
import { createServer, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { Failure } from "../failure.ts"

/** A way is found in well under this, through an API server far away too. */
export const OPEN_TIMEOUT_MS = 15_000
/** Most connections at once: a browser opens six for each window. */
export const MAX_VIEWERS = 256

/** A port that leads to the dashboard. */
export interface LocalPort {
  readonly port: number
  stop(): void
}

/**
 * Listens.
 *
 * @param ports  the first that is free is taken; 0 is any
 * @param open  makes a connection to the dashboard; what it throws is told to the browser, and to `onTrouble`
 * @throws Failure when all are taken
 */
export async function leadTo(
  ports: readonly number[],
  open: () => Promise<Duplex>,
  onTrouble: (sentence: string | null) => void,
): Promise<LocalPort> {
  const sockets = new Set<Socket>()
  const server = createServer({ pauseOnConnect: true }, socket => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    socket.on("error", () => socket.destroy())
    void join(socket, open, onTrouble)
  })
  server.maxConnections = MAX_VIEWERS
  for (const port of ports) {
    const taken = await new Promise<boolean>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void =>
        error.code === "EADDRINUSE" || error.code === "EACCES" ? resolve(true) : reject(error)
      server.once("error", failed)
      server.listen(port, "127.0.0.1", () => {
        server.off("error", failed)
        resolve(false)
      })
    })
    if (taken) continue
    const address = server.address()
    return {
      port: typeof address === "object" && address !== null ? address.port : port,
      stop: () => {
        server.close()
        for (const socket of sockets) socket.destroy()
      },
    }
  }
  throw new Failure(
    `port ${ports[0]} of 127.0.0.1 cannot be listened on: another program uses it, or it needs root; --port names another`,
  )
}

async function join(
  socket: Socket,
  open: () => Promise<Duplex>,
  onTrouble: (sentence: string | null) => void,
): Promise<void> {
  let way: Duplex
  try {
    way = await open()
    onTrouble(null)
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error)
    onTrouble(sentence)
    socket.resume()
    const body = `conduit: ${sentence}\n`
    const head = `HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}`
    socket.end(`${head}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n${body}`)
    return
  }
  way.on("error", () => socket.destroy())
  way.on("close", () => socket.destroySoon())
  socket.on("close", () => way.destroy())
  if (socket.destroyed) return void way.destroy()
  way.pipe(socket)
  socket.pipe(way)
  socket.resume()
}
