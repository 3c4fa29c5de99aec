// A stream as a socket of the kernel's. Under Bun 1.4.5 an HTTP/2 session over any other stream hands out a response's
// head, body and end in one turn, and whoever reads the body after that gets "Premature close".
import { mkdtempSync, rmSync } from "node:fs"
import { connect, createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Duplex } from "node:stream"

/**
 * Joins a stream to one end of a pair of sockets; both end together.
 *
 * The pair meets in a folder that only this user may enter, and which is gone when this returns: nobody else comes in.
 *
 * @returns the other end
 * @throws Error when the folder cannot be made
 */
export async function kernelSocket(stream: Duplex): Promise<Socket> {
  const folder = mkdtempSync(join(tmpdir(), "conduit-"))
  const path = join(folder, "socket")
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject)
      server.listen(path, resolve)
    })
    const met = new Promise<Socket>(resolve => server.once("connection", resolve))
    const ours = connect(path)
    await new Promise<void>((resolve, reject) => {
      ours.once("error", reject)
      ours.once("connect", resolve)
    })
    bind(stream, await met)
    return ours
  } finally {
    server.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function bind(stream: Duplex, socket: Socket): void {
  socket.on("error", () => socket.destroy())
  stream.on("error", () => socket.destroy())
  stream.pipe(socket)
  socket.pipe(stream)
  stream.on("close", () => socket.destroySoon())
  socket.on("close", () => stream.destroy())
  if (stream.destroyed) socket.destroy()
}
