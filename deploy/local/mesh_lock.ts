// The right to run the mesh of a name, held by one process at a time and by the kernel alone: an abstract socket
// (unix(7)) goes with its process however that ends, so that no stale lock is left for anyone to judge.
import { meshRoot } from "./state.ts"

/** Held until released, or until the process ends. */
export interface MeshLock {
  release(): void
}

/** Takes the right to run the mesh of that name; null when another process has it. */
export function lockMesh(name: string): MeshLock | null {
  try {
    const listener = Bun.listen({
      unix: `\0conduit-dev ${meshRoot()} ${name}`,
      socket: { open: socket => void socket.end(), data() {} },
    })
    listener.unref()
    return { release: () => listener.stop(true) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return null
    throw error
  }
}
